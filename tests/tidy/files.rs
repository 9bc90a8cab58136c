//! Files: small, explained, and without what we do not keep.

use crate::{report, repository, sources};

/// Past this a room is two rooms.
const MOST_LINES: usize = 450;

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = sources("rs")
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    report("Rule: every .rs file opens with a `//!` line.", &silent);
}

#[test]
fn rooms_are_small() {
    let large: Vec<String> = sources("rs")
        .into_iter()
        .filter_map(|(path, text)| {
            let lines = text.lines().count();
            (lines > MOST_LINES).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    report(
        "Rule: files aim at 200 lines and end before 450; split it by nouns.",
        &large,
    );
}

#[test]
fn modules_are_named_for_what_they_hold() {
    let vague: Vec<String> = sources("rs")
        .into_iter()
        .filter(|(path, _)| {
            let stem = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            ["mod", "util", "utils", "common", "helpers", "misc", "types"].contains(&stem.as_str())
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    report(
        "Rule: no mod.rs, util, common, helpers, misc or types; name the noun.",
        &vague,
    );
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled in two halves, so that this file does not find itself.
    let banned: Vec<String> = [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("#[ig", "nore"),
        ("#[all", "ow("),
        ("X", "XX"),
    ]
    .iter()
    .map(|(a, b)| format!("{a}{b}"))
    .collect();
    let mut found = Vec::new();
    for (path, text) in sources("rs") {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = banned.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    report(
        "Rule: finish it or leave it out; no skipped tests; #[expect(…, reason)] for lints.",
        &found,
    );
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut numbers: Vec<usize> = std::fs::read_dir(repository().join("docs/adr"))
        .expect("docs/adr exists")
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.split_once('-')?.0.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    let expected: Vec<usize> = (1..=numbers.len()).collect();
    assert_eq!(
        numbers, expected,
        "Rule: docs/adr/NNNN-title.md, numbered from 0001 without gaps."
    );
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let mut names: Vec<String> = sources("sql")
        .into_iter()
        .filter(|(path, _)| {
            path.parent()
                .is_some_and(|folder| folder.ends_with("store/core/schema"))
        })
        .map(|(path, _)| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    assert!(!names.is_empty(), "the store has a schema");
    for (index, name) in names.iter().enumerate() {
        let number = format!("{:04}_", index + 1);
        assert!(
            name.starts_with(&number),
            "Rule: migrations are NNNN_what.sql; {name} is not {number}…"
        );
    }
}

#[test]
fn the_main_of_every_service_is_the_same() {
    for role in ["store", "watcher", "tagger", "embedder", "similarity"] {
        let folder = repository().join("services").join(role).join("src");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let lines = read("main.rs")
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count();
        let told = read("main.rs") + &read("lib.rs");
        assert!(
            lines <= 4 && told.contains("kit::run::main::<"),
            "Rule: main.rs only starts the story of kit::run; see {}",
            folder.display()
        );
        for room in ["config.rs", "error.rs", "grpc.rs"] {
            assert!(
                !read(room).is_empty(),
                "Rule: every service has the same five rooms; {role} lacks {room}"
            );
        }
    }
}
