//! Where the built-in models are.

use std::path::{Path, PathBuf};

use super::Error;

/// The folder of a built-in model.
pub(super) fn built_in(name: &str) -> Result<PathBuf, Error> {
    let executable = std::env::current_exe().unwrap_or_default();
    let tried = candidates(&executable, name);
    let found = tried.iter().find(|folder| folder.is_dir()).cloned();
    found.ok_or(Error::NoModel { tried })
}

/// Under the prefix of an installed program, or in the source folder of one built there
/// (target/debug, or target/debug/deps for tests).
fn candidates(executable: &Path, name: &str) -> Vec<PathBuf> {
    let installed = |folder: &Path| folder.join("share/kumobooru/models").join(name);
    let source = |folder: &Path| folder.join("services/inference/models").join(name);
    let mut ancestors = executable.ancestors().skip(2);
    let mut folders: Vec<PathBuf> = ancestors.next().map(installed).into_iter().collect();
    folders.extend(ancestors.take(2).map(source));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_models_are_found_under_a_prefix_and_in_the_source_folder() {
        let prefix = candidates(Path::new("/usr/bin/kumo-tagger"), "palette-tagger");
        let wanted = Path::new("/usr/share/kumobooru/models/palette-tagger");
        assert_eq!(prefix.first().map(PathBuf::as_path), Some(wanted));
        let wanted = Path::new("/src/services/inference/models/layout-embedder");
        for built in [
            "/src/target/release/kumo-embedder",
            "/src/target/debug/deps/t-1",
        ] {
            let list = candidates(Path::new(built), "layout-embedder");
            assert!(list.iter().any(|path| path == wanted), "{list:?}");
        }
        // This very test is such a program.
        assert!(built_in("palette-tagger").is_ok() && built_in("layout-embedder").is_ok());
        let Err(Error::NoModel { tried }) = built_in("no-such-model") else {
            unreachable!("there is no such model");
        };
        assert_eq!(tried.len(), 3);
    }
}
