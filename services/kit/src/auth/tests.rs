//! Who is let in, and who is not.

use std::net::Ipv4Addr;

use super::*;

const HOME: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
const AWAY: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("writes");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("sets the mode");
}

#[test]
fn the_local_owner_is_let_in_from_loopback_alone() {
    let data = folder();
    let credential = Credential::local(data.path()).expect("made");
    let authority = Authority::load(Some(&credential), None).expect("loads");
    let header = credential.header();
    let owner = authority
        .identify(Some(header.as_bytes()), HOME)
        .expect("is let in");
    assert!(owner.may(Scope::Node) && owner.may(Scope::Admin));
    let from_afar = authority.identify(Some(header.as_bytes()), AWAY);
    assert_eq!(from_afar, Err(Refusal::NotLocal));
    assert_eq!(
        authority.identify(Some(header.as_bytes()), None),
        Err(Refusal::NotLocal)
    );
    assert_eq!(authority.identify(None, HOME), Err(Refusal::Missing));
    assert_eq!(
        authority.identify(Some(b"Bearer wrong"), HOME),
        Err(Refusal::Unknown)
    );
    assert_eq!(
        authority.identify(Some(b"Basic abc"), HOME),
        Err(Refusal::Missing)
    );
}

#[test]
fn the_token_is_made_once_and_private() {
    let data = folder();
    let made: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Credential::local(data.path()).expect("made").hash()))
            .collect();
        makers
            .into_iter()
            .map(|maker| maker.join().expect("joins"))
            .collect()
    });
    assert!(made.iter().all(|hash| hash == &made[0]));
    let path = data.path().join("local.token");
    let mode = fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(data.path()).expect("lists").count(),
        1,
        "no drafts are left"
    );

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("sets");
    assert!(matches!(
        Credential::local(data.path()),
        Err(Error::TooOpen { .. })
    ));
}

#[test]
fn the_auth_file_gives_scopes_and_nothing_more() {
    let data = folder();
    let path = data.path().join("auth");
    let hash = crate::hex::encode(&Sha256::digest("a-long-enough-token"));
    write(
        &path,
        &format!("# nodes\n\nden node,read sha256:{hash}\n"),
        0o600,
    );
    let authority = Authority::load(None, Some(&path)).expect("loads");
    let den = authority
        .identify(Some(b"Bearer a-long-enough-token"), AWAY)
        .expect("is let in");
    assert_eq!(&*den.name, "den");
    assert!(den.may(Scope::Node) && den.may(Scope::Read));
    assert!(!den.may(Scope::Write) && !den.may(Scope::Admin));
}

#[test]
fn a_malformed_auth_file_names_its_line() {
    let data = folder();
    let path = data.path().join("auth");
    for (text, problem) in [
        ("den node", "2 fields"),
        ("den fly sha256:00", "no scope"),
        ("den node sha256:00", "64 lower-case"),
        ("den node plaintexttoken", "64 lower-case"),
    ] {
        write(&path, &format!("# first\n{text}\n"), 0o600);
        let error = Authority::load(None, Some(&path))
            .expect_err("is refused")
            .to_string();
        assert!(
            error.contains("line 2") && error.contains(problem),
            "{error}"
        );
    }
    write(&path, "", 0o640);
    assert!(matches!(
        Authority::load(None, Some(&path)),
        Err(Error::TooOpen { .. })
    ));
}
