//! Dependencies run one way, and the always-on programs link no ML library.

use std::{collections::BTreeSet, process::Command};

use crate::{report, repository};

/// Names of the packages that `package` is built from, itself among them.
fn built_from(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}",
        ])
        .args(["--package", package])
        .current_dir(repository())
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// What a package of ours may use of ours.
const ARROWS: &[(&str, &[&str])] = &[
    ("kumo-proto", &[]),
    ("kumo-kit", &["kumo-proto"]),
    ("kumo-store-core", &[]),
    ("kumo-store", &["kumo-proto", "kumo-kit", "kumo-store-core"]),
    ("kumo-renderer", &[]),
    ("kumo-watcher", &["kumo-proto", "kumo-kit", "kumo-renderer"]),
    ("kumo-inference", &["kumo-proto", "kumo-kit"]),
    (
        "kumo-tagger",
        &["kumo-proto", "kumo-kit", "kumo-inference", "kumo-renderer"],
    ),
    (
        "kumo-embedder",
        &["kumo-proto", "kumo-kit", "kumo-inference", "kumo-renderer"],
    ),
    (
        "kumo-similarity",
        &["kumo-proto", "kumo-kit", "kumo-renderer"],
    ),
    ("kumo-cli", &["kumo-proto", "kumo-kit"]),
];

#[test]
fn dependencies_run_one_way() {
    let mut wrong = Vec::new();
    for (package, allowed) in ARROWS {
        for used in built_from(package) {
            let ours = used.starts_with("kumo-") && used != *package;
            if ours && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{package} → {used}"));
            }
        }
    }
    report(
        "Rule: proto ← kit ← services ← tests; services meet in proto.",
        &wrong,
    );
}

#[test]
fn the_core_of_the_store_knows_no_network() {
    let used = built_from("kumo-store-core");
    for stranger in ["tokio", "tonic", "prost", "hyper"] {
        assert!(
            !used.contains(stranger),
            "Rule: store/core is plain and synchronous; it uses {stranger}"
        );
    }
}

#[test]
fn always_on_programs_link_no_ml_library() {
    for package in [
        "kumo-store",
        "kumo-watcher",
        "kumo-renderer",
        "kumo-similarity",
        "kumo-cli",
    ] {
        let used = built_from(package);
        for library in ["ort", "ort-sys", "kumo-inference"] {
            assert!(
                !used.contains(library),
                "Rule: {package} never links an ML library; it uses {library}"
            );
        }
    }
    assert!(
        built_from("kumo-tagger").contains("ort"),
        "this check can fail"
    );
}

#[test]
fn only_the_renderer_links_a_decoder_of_outside_bytes() {
    for package in ["kumo-store", "kumo-cli"] {
        let used = built_from(package);
        for library in ["image", "turbojpeg"] {
            assert!(
                !used.contains(library),
                "Rule: {package} parses no picture; it uses {library}"
            );
        }
    }
}
