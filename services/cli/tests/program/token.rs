//! Tokens are made, listed and revoked on the auth file, cluster or not.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::fake::{Said, kumo};

fn token(data: &Path, words: &[&str]) -> Said {
    let output = kumo(data).arg("token").args(words).output();
    output.expect("runs").into()
}

#[test]
fn a_token_is_shown_once_and_only_its_hash_is_kept() {
    let data = tempfile::tempdir().expect("a folder");
    let made = token(data.path(), &["create", "phone", "--scope", "read,write"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let secret = made.out.trim_end();
    assert!(
        secret.starts_with("kumo_") && secret.len() == 69,
        "{secret}"
    );
    assert!(made.err.contains("not shown again"), "{made:?}");
    let auth = data.path().join("auth");
    let text = fs::read_to_string(&auth).expect("reads");
    assert!(
        text.starts_with("phone read,write sha256:") && !text.contains(secret),
        "{text}"
    );
    let mode = fs::metadata(&auth).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let out = data.path().join("den.token");
    let words = [
        "create",
        "den",
        "--scope",
        "node",
        "--expires",
        "30d",
        "--json",
        "--out",
    ];
    let out_word = out.to_str().expect("UTF-8");
    let made = token(data.path(), &[&words[..], &[out_word]].concat());
    let object = &made.objects()[0];
    assert_eq!(object["name"], "den");
    assert!(
        object["expires"].is_string() && object.get("token").is_none(),
        "{object}"
    );
    assert!(
        fs::read_to_string(&out)
            .expect("reads")
            .starts_with("kumo_")
    );
    let again = token(data.path(), &[&words[..], &[out_word]].concat());
    assert_ne!(
        again.code,
        Some(0),
        "a file that is there is not overwritten"
    );
    let lines = fs::read_to_string(&auth).expect("reads").lines().count();
    assert_eq!(lines, 2, "and nothing was granted for it");

    let listed = token(data.path(), &["list"]);
    for word in ["phone", "read, write", "never", "den", "node"] {
        assert!(listed.out.contains(word), "{word} in {}", listed.out);
    }
    assert!(!listed.out.contains(secret));
}

#[test]
fn tokens_are_revoked_by_name_or_by_id_and_all_or_none() {
    let data = tempfile::tempdir().expect("a folder");
    for name in ["den", "den", "phone"] {
        let made = token(data.path(), &["create", name, "--scope", "read"]);
        assert_eq!(made.code, Some(0), "{made:?}");
    }
    let wrong = token(data.path(), &["revoke", "den", "nobody"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(
        wrong.err.contains("nobody") && wrong.err.contains("kumo token list"),
        "{wrong:?}"
    );
    let all = token(data.path(), &["list", "--json"]).objects();
    assert_eq!(all.len(), 3);
    let id = all[0]["id"].as_str().expect("a string");
    let gone = token(data.path(), &["revoke", id, "--json"]).objects();
    assert_eq!((gone.len(), &gone[0]["id"]), (1, &all[0]["id"]));
    token(data.path(), &["revoke", "den"]);
    let left = token(data.path(), &["list", "--json"]).objects();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["name"], "phone");
}

#[test]
fn what_is_wrong_with_a_token_is_said_before_anything_is_made() {
    let data = tempfile::tempdir().expect("a folder");
    for (words, told) in [
        (&["create", "phone"][..], "--scope"),
        (&["create", "phone", "--scope", "fly"], "no scope"),
        (&["create", "a/b", "--scope", "read"], "letters, digits"),
        (
            &["create", "phone", "--scope", "read", "--expires", "soon"],
            "90d",
        ),
    ] {
        let said = token(data.path(), words);
        assert_eq!(said.code, Some(64), "{said:?}");
        assert!(said.err.contains(told), "{said:?}");
    }
    assert!(!data.path().join("auth").exists());
    fs::write(data.path().join("auth"), "den fly\n").expect("writes");
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(data.path().join("auth"), private).expect("sets");
    let said = token(data.path(), &["list"]);
    assert_eq!(said.code, Some(64), "{said:?}");
    assert!(said.err.contains("line 1"), "{said:?}");
    let none = token(tempfile::tempdir().expect("a folder").path(), &["list"]);
    assert_eq!(none.code, Some(0));
    assert!(none.err.contains("kumo token create"), "{none:?}");
}
