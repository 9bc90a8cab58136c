//! Queries with and without `similar:`.

use std::path::Path;

use super::*;

fn split(query: &str) -> (String, String) {
    let like = take(query)
        .expect("can be meant")
        .expect("asks for look-alikes");
    (like.subject.display().to_string(), like.rest)
}

fn pair(subject: &str, rest: &str) -> (String, String) {
    (subject.to_owned(), rest.to_owned())
}

#[test]
fn the_term_is_taken_out_wherever_it_stands() {
    for (query, subject, rest) in [
        ("similar:12", "12", ""),
        ("similar:12 blue_theme -dark", "12", "blue_theme -dark"),
        (
            "blue_theme similar:posts/12 -dark",
            "posts/12",
            "blue_theme -dark",
        ),
        ("a SIMILAR:New.JPG", "New.JPG", "a"),
        ("similar:12 and a and b", "12", "a and b"),
        ("a and similar:12", "12", "a"),
        ("a and similar:12 and b", "12", "a and b"),
        ("similar:12 (a or b) -(c d)", "12", "(a or b) -(c d)"),
        ("similar:12 saber_(fate) :3", "12", "saber_(fate) :3"),
        ("similar:a_(1).jpg (x)", "a_(1).jpg", "(x)"),
    ] {
        assert_eq!(split(query), pair(subject, rest), "{query}");
    }
}

#[test]
fn a_path_in_quotes_may_hold_anything() {
    assert_eq!(
        split(r#"similar:"my \"best\" (1) \\ x.jpg" a"#),
        pair(r#"my "best" (1) \ x.jpg"#, "a")
    );
    assert_eq!(split(r#"similar:"a\b c.jpg""#), pair(r"a\b c.jpg", ""));
    let typed = r#"odd "name" \ x.jpg"#;
    assert_eq!(split(&quoted(typed)), pair(typed, ""));
}

#[test]
fn what_only_looks_like_it_is_a_tag() {
    for query in [
        "",
        "similar",
        "\"similar:12\"",
        "a\"similar:12",
        "not-similar:12",
        "x:similar:1",
    ] {
        assert_eq!(take(query).expect("can be meant"), None, "{query}");
    }
}

#[test]
fn what_has_no_meaning_is_refused_with_what_to_type() {
    for (query, said) in [
        ("similar:1 similar:2", "once"),
        ("-similar:1", "without a sign"),
        ("~similar:1 ~a", "without a sign"),
        ("(similar:1 a)", "outside parentheses"),
        ("similar:1 a or b", "similar:12 (a or b)"),
        ("similar:1 order:size", "leave order: out"),
        ("similar:", "similar:12"),
        ("similar:\"\"", "similar:12"),
        ("similar:\"open", "not closed"),
    ] {
        let error = take(query).expect_err(query).to_string();
        assert!(error.contains(said), "{query}: {error}");
    }
}

#[test]
fn the_home_folder_is_found_behind_the_colon() {
    let Some(home) = std::env::var_os("HOME") else {
        return;
    };
    let like = take("similar:~/x.jpg")
        .expect("can be meant")
        .expect("is there");
    assert_eq!(like.subject, Path::new(&home).join("x.jpg"));
}
