//! The rules of the house that a machine can check. Each message names the rule.

mod arrows;
mod contract;
mod files;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The root of the repository.
fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("tests/ lies in the repository")
        .to_owned()
}

/// Every file of ours with this ending, with its text.
fn sources(extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![repository()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the repository can be read") {
            let path = entry.expect("the repository can be read").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_symlink() || name.starts_with('.') || name == "target" || name == "demo" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = fs::read_to_string(&path).expect("source files are UTF-8");
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// Fails with all complaints at once.
fn report(rule: &str, complaints: &[String]) {
    assert!(
        complaints.is_empty(),
        "{rule}\n  {}",
        complaints.join("\n  ")
    );
}
