//! Searches with `similar:`, which one service ranks and the other tells of.

use crate::{
    fake::{Said, ask, data, kumo},
    similar::cluster,
};

#[test]
fn a_search_for_look_alikes_asks_one_service_who_and_the_other_what() {
    let (cluster, asked) = cluster();
    let said = ask(
        cluster,
        &[
            "search",
            "blue_theme",
            "similar:12",
            "-dark",
            "--limit",
            "5",
        ],
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    let lines: Vec<&str> = said.out.lines().collect();
    assert!(
        lines[0].starts_with("SCORE") && lines[1].contains("posts/9"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("0.750") && lines[2].contains("posts/4"),
        "{lines:?}"
    );
    assert!(said.err.contains("kumo similar --wait"), "{}", said.err);
    let options = asked.last_options();
    assert_eq!(
        (options.query.as_str(), options.page_size),
        ("blue_theme -dark", 5)
    );
    assert!(said.err.contains("2 posts"), "{}", said.err);
    assert!(!said.err.contains("--page-token"), "{}", said.err);
    let searches = std::mem::take(&mut *asked.searches.lock().expect("no test panics in it"));
    let tokens = searches.iter().map(|search| search.page_token.as_str());
    assert_eq!(
        tokens.collect::<Vec<_>>(),
        ["", "1"],
        "each page is asked for"
    );
    for search in searches {
        assert_eq!(search.query, "blue_theme -dark");
        let within = search.within.expect("a set");
        assert_eq!((within.ids, within.keep_order), (vec![9, 4], true));
    }
}

#[test]
fn a_file_whose_quotes_the_shell_took_is_found_also_at_home() {
    let (cluster, asked) = cluster();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("my picture.jpg");
    std::fs::write(&file, b"abc").expect("writes");
    let term = format!("similar:{}", file.display());
    let said = ask(cluster, &["search", &term, "x", "--json"]);
    assert_eq!(said.objects()[0]["score"], 0.75, "{}", said.err);
    assert_eq!(asked.last_subject(), "3");
    assert_eq!(asked.last_options().query, "x");

    std::fs::write(&file, b"abcd").expect("writes");
    for term in ["similar:~/my picture.jpg", "similar:\"~/my picture.jpg\""] {
        let data = data();
        let mut command = kumo(data.path());
        command.env("HOME", folder.path());
        for flag in ["--store", "--similarity"] {
            command.arg(flag).arg(cluster.to_string());
        }
        command.args(["search", term, "y"]);
        let said: Said = command.output().expect("runs").into();
        assert_eq!(said.code, Some(0), "{term}: {}", said.err);
        assert_eq!(asked.last_subject(), "4", "{term}");
        assert_eq!(asked.last_options().query, "y", "{term}");
    }
}
