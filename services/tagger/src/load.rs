//! Finding the model folder, and loading runtime and model.

use std::path::{Path, PathBuf};

use inference::{Kind, Model, Runtime, Session, SessionOptions};

use crate::{Config, Error};

/// The built-in model, below the folder of models.
const BUILT_IN: &str = "palette-tagger";

/// A tagging model that has been loaded and run once.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    pub(crate) session: Session,
}

/// Reads the model folder, without loading the weights.
pub(crate) fn model(config: &Config) -> Result<Model, Error> {
    let folder = match &config.model {
        Some(folder) => folder.clone(),
        None => built_in()?,
    };
    let model = Model::open(&folder)?;
    match model.spec().kind {
        Kind::Tag => Ok(model),
        Kind::Embed => Err(Error::NotATagger { folder }),
    }
}

/// Loads everything; blocks for as long as reading the weights takes.
pub(crate) fn load(config: &Config) -> Result<Loaded, Error> {
    // The folder first: it takes no time, and no runtime mends it.
    let model = model(config)?;
    let runtime = Runtime::load(config.runtime.as_deref())?;
    let options = SessionOptions {
        device: config.device,
        threads: config.intra_threads(),
        ..SessionOptions::default()
    };
    let session = Session::open(&runtime, &model, &options)?;
    Ok(Loaded { model, session })
}

fn built_in() -> Result<PathBuf, Error> {
    let executable = std::env::current_exe().unwrap_or_default();
    let tried = candidates(&executable);
    let found = tried.iter().find(|folder| folder.is_dir()).cloned();
    found.ok_or(Error::NoModel { tried })
}

/// Where the built-in model may be: under the prefix of an installed program, or in the source
/// folder of one built there (target/debug, or target/debug/deps for tests).
fn candidates(executable: &Path) -> Vec<PathBuf> {
    let installed = |folder: &Path| folder.join("share/kumobooru/models").join(BUILT_IN);
    let source = |folder: &Path| folder.join("services/inference/models").join(BUILT_IN);
    let mut ancestors = executable.ancestors().skip(2);
    let mut folders: Vec<PathBuf> = ancestors.next().map(installed).into_iter().collect();
    folders.extend(ancestors.take(2).map(source));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_is_found_under_a_prefix_and_in_the_source_folder() {
        let prefix = candidates(Path::new("/usr/bin/kumo-tagger"));
        let wanted = Path::new("/usr/share/kumobooru/models/palette-tagger");
        assert_eq!(prefix.first().map(PathBuf::as_path), Some(wanted));
        let wanted = Path::new("/src/services/inference/models/palette-tagger");
        for built in [
            "/src/target/release/kumo-tagger",
            "/src/target/debug/deps/t-1",
        ] {
            let list = candidates(Path::new(built));
            assert!(list.iter().any(|path| path == wanted), "{list:?}");
        }
        assert!(built_in().is_ok(), "this very test is such a program");
    }
}
