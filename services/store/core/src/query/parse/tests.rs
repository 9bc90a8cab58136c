//! What the parser reads, and what it refuses.

use proptest::prelude::*;

use crate::query::{Error, MAX_BYTES, MAX_DEPTH, MAX_TERMS, Problem, Query};

fn spelled(text: &str) -> String {
    let query: Query = text.parse().expect(text);
    query.to_string()
}

fn refused(text: &str) -> Error {
    text.parse::<Query>().expect_err(text)
}

#[test]
fn every_form_is_read_as_documented() {
    for (text, canonical) in [
        ("", "order:newest"),
        ("  \t\n", "order:newest"),
        ("1girl", r#""1girl" order:newest"#),
        ("A_B  -C", r#""a_b" -"c" order:newest"#),
        ("ÄRGER", r#""ärger" order:newest"#),
        ("a\u{3000}b", r#""a" "b" order:newest"#),
        (r#""Long  hair ""#, r#""long_hair" order:newest"#),
        (r#"artist:"foo bar""#, r#"artist:"foo_bar" order:newest"#),
        (
            "char:saber_(fate)",
            r#"character:"saber_(fate)" order:newest"#,
        ),
        ("copy:x art:y", r#"copyright:"x" artist:"y" order:newest"#),
        (":3 11:00 ^_^ :)", r#"":3" "11:00" "^_^" ":)" order:newest"#),
        (
            r#""re:zero" "a*b" "(o)""#,
            r#""re:zero" "a*b" "(o)" order:newest"#,
        ),
        (r#""\"\\\n""#, r#""\"\\\\n" order:newest"#),
        ("blue_*", r#""blue_"* order:newest"#),
        (r#""long h"*"#, r#""long_h"* order:newest"#),
        ("--a ---b", r#""a" -"b" order:newest"#),
        ("-(-a)", r#"-(-"a") order:newest"#),
        ("rating:g", "rating:general order:newest"),
        (
            "-rating:E,q,unrated",
            "-rating:questionable,explicit,unrated order:newest",
        ),
        ("order:SIZE a", r#""a" order:size"#),
        ("order:mpixels_asc", "order:mpixels_asc"),
        ("status:active a", r#""a" order:newest"#),
        ("STATUS:Trash a", r#""a" order:newest status:trash"#),
        (
            "a or b status:trash",
            r#"("a" or "b") order:newest status:trash"#,
        ),
        (
            "width:>=100 height:100..200",
            "width:100.. height:100..200 order:newest",
        ),
        ("id:1,3,2", "id:1..3 order:newest"),
        ("size:<5", "size:0..4 order:newest"),
        ("filesize:>=1kb", "size:1024.. order:newest"),
        ("mpixels:>2.5", "mpixels:2.500001.. order:newest"),
        ("tagcount:0", "tagcount:0..0 order:newest"),
        ("a or b", r#"("a" or "b") order:newest"#),
        (
            "a b OR c order:oldest",
            r#"(("a" "b") or "c") order:oldest"#,
        ),
        ("a and b", r#""a" "b" order:newest"#),
        ("~a ~b c", r#""c" ("a" or "b") order:newest"#),
        ("~-a ~b", r#"(-"a" or "b") order:newest"#),
        ("~a", r#""a" order:newest"#),
        ("(a or b) -(c d)", r#"("a" or "b") -("c" "d") order:newest"#),
        ("(a_(b) or c)", r#"("a_(b)" or "c") order:newest"#),
        ("((a))", r#""a" order:newest"#),
        (r#"("a")"#, r#""a" order:newest"#),
        (r#""or" "and""#, r#""or" "and" order:newest"#),
    ] {
        assert_eq!(spelled(text), canonical, "{text}");
    }
}

#[test]
fn every_mistake_is_named_where_it_stands() {
    for (text, problem, at, fragment) in [
        ("a -", Problem::DanglingOperator, 2, "-"),
        ("a ~ b", Problem::DanglingOperator, 2, "~"),
        ("-~a", Problem::DanglingOperator, 1, "~"),
        ("a or", Problem::DanglingOperator, 2, "or"),
        ("or a", Problem::DanglingOperator, 0, "or"),
        ("a or or b", Problem::DanglingOperator, 2, "or"),
        ("a or order:size", Problem::DanglingOperator, 2, "or"),
        ("and a", Problem::DanglingOperator, 0, "and"),
        ("a and", Problem::DanglingOperator, 2, "and"),
        ("a and and b", Problem::DanglingOperator, 6, "and"),
        ("-or", Problem::DanglingOperator, 1, "or"),
        ("(a", Problem::UnclosedGroup, 0, "(a"),
        ("a )b", Problem::UnopenedGroup, 2, ")b"),
        ("é ()", Problem::EmptyGroup, 3, "("),
        ("(-)", Problem::DanglingOperator, 2, ")"),
        (r#"a "b c"#, Problem::UnclosedQuote, 2, r#""b c"#),
        (r#""a"b"#, Problem::TextAfterQuote, 3, "b"),
        (r#""""#, Problem::EmptyValue, 0, r#""""#),
        ("artist:", Problem::EmptyValue, 0, "artist:"),
        ("a ratign:g", Problem::UnknownMetatag, 2, "ratign"),
        ("rating:", Problem::EmptyValue, 7, ""),
        ("rating:g,,e", Problem::EmptyValue, 9, ""),
        ("rating:g,safe", Problem::UnknownRating, 9, "safe"),
        ("order:sise", Problem::UnknownOrder, 6, "sise"),
        ("order:", Problem::UnknownOrder, 6, ""),
        ("-order:size", Problem::MisplacedOrder, 1, "order:size"),
        ("(order:size)", Problem::MisplacedOrder, 1, "order:size"),
        (
            "order:size order:size",
            Problem::RepeatedOrder,
            11,
            "order:size",
        ),
        ("status:deleted", Problem::UnknownStatus, 7, "deleted"),
        (
            "a -status:trash",
            Problem::MisplacedStatus,
            3,
            "status:trash",
        ),
        (
            "(a status:trash)",
            Problem::MisplacedStatus,
            3,
            "status:trash",
        ),
        (
            "status:trash status:active",
            Problem::RepeatedStatus,
            13,
            "status:active",
        ),
        ("width:wide", Problem::BadNumber, 6, "wide"),
        ("width:5,x", Problem::BadNumber, 8, "x"),
        ("width:9..1", Problem::EmptyRange, 6, "9..1"),
        ("*_hair", Problem::BadWildcard, 0, "*_hair"),
        ("*", Problem::BadWildcard, 0, "*"),
        ("a*b*", Problem::BadWildcard, 0, "a*b*"),
        ("artist:*", Problem::BadWildcard, 0, "artist:*"),
    ] {
        let error = refused(text);
        assert_eq!(
            (error.problem, error.at, error.text.as_str()),
            (problem, at, fragment),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_query_about_a_ranked_set_has_no_order() {
    let query = Query::of_ranked("a status:trash").expect("has none");
    assert_eq!(query, "a status:trash".parse().expect("is one"));
    for text in ["a order:newest", "order:size"] {
        let error = Query::of_ranked(text).expect_err(text);
        assert_eq!(error.problem, Problem::MisplacedOrder);
        assert!(error.text.starts_with("order:"), "{error}");
    }
}

#[test]
fn near_misses_are_suggested() {
    for (text, suggestion) in [
        ("ratign:g", Some("rating")),
        ("oder:size", Some("order")),
        ("artis:x", Some("artist")),
        ("heigth:5", Some("height")),
        ("order:newst", Some("newest")),
        ("order:mpixel", Some("mpixels")),
        ("rating:explict", Some("explicit")),
        ("favgroup:3", None),
    ] {
        assert_eq!(refused(text).suggestion.as_deref(), suggestion, "{text}");
    }
    assert_eq!(
        refused("a ratign:g").to_string(),
        "unknown metatag at byte 2: `ratign`; accepted: rating, order, status, id, width, height, \
         size, mpixels, tagcount, general, character, copyright, artist, species, meta; a tag with a \
         colon in it goes in quotes; did you mean `rating`?"
    );
}

#[test]
fn limits_hold_to_the_byte_the_term_and_the_level() {
    assert!("a".repeat(MAX_BYTES).parse::<Query>().is_ok());
    assert_eq!(
        refused(&"a".repeat(MAX_BYTES + 1)).problem,
        Problem::TooLong
    );

    assert!("a ".repeat(MAX_TERMS).parse::<Query>().is_ok());
    let error = refused(&"a ".repeat(MAX_TERMS + 1));
    assert_eq!(
        (error.problem, error.at),
        (Problem::TooManyTerms, 2 * MAX_TERMS)
    );

    let nested = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(nested(MAX_DEPTH).parse::<Query>().is_ok());
    let error = refused(&nested(MAX_DEPTH + 1));
    assert_eq!((error.problem, error.at), (Problem::TooDeep, MAX_DEPTH));
    assert!(
        format!("{}a", "-".repeat(MAX_BYTES - 1))
            .parse::<Query>()
            .is_ok()
    );
}

/// Text made of the pieces the language is made of, in any order.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "-", "~", "(", ")", "\"", "\\", ":", "*", ",", "..", ">=", "<", " ", "or", "and", "a",
        "blue_", "rating", "order", "width", "size", "mpixels", "artist", "g", "size_asc", "5",
        "0.5mb", "Σ", "İ", "\u{3000}", "\0",
    ]);
    prop_oneof![
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat()),
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn hostile_text_is_read_or_refused_inside_itself(text in hostile()) {
        if let Err(error) = text.parse::<Query>() {
            prop_assert!(error.at <= text.len());
            prop_assert!(text.is_char_boundary(error.at));
            prop_assert!(!error.accepted.is_empty());
        }
    }

    #[test]
    fn the_canonical_spelling_reads_back_as_itself(text in hostile()) {
        if let Ok(query) = text.parse::<Query>() {
            let canonical = query.to_string();
            match canonical.parse::<Query>() {
                Ok(again) => prop_assert_eq!(again.to_string(), canonical),
                // Quotes and parentheses it adds may pass the limits.
                Err(error) => prop_assert!(
                    matches!(error.problem, Problem::TooLong | Problem::TooDeep),
                    "{}: {}", canonical, error
                ),
            }
        }
    }
}

proptest! {
    #[test]
    fn a_quoted_name_is_sought_as_it_is_stored(name in "[ a-zA-ZÀ-ÿΑ-ωİẞЖж_]{1,30}") {
        if let Ok(stored) = crate::normalize(&name) {
            prop_assert_eq!(spelled(&format!("\"{name}\"")), format!("\"{stored}\" order:newest"));
        }
    }
}
