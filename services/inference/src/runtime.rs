//! Finding, loading and starting ONNX Runtime, once a process.
//!
//! The library is loaded at run time, and only by an explicit path: left to itself the binding
//! would look for a library on its own and panic when there is none. Once started it stays until
//! the process ends, because ONNX Runtime refuses a second environment; so the one environment
//! lives in a static and [`Runtime`] is a handle on it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::error::{Error, Result, Tried};

/// File name of the pinned library; `deploy/runtime/fetch.py` fetches exactly this one.
const PINNED: &str = "libonnxruntime.so.1.31.1";

/// File name under which distributions install whatever version they have.
const PLAIN: &str = "libonnxruntime.so";

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

/// The started ONNX Runtime of this process. Clones are handles on the same one.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    library: Arc<Path>,
}

impl Runtime {
    /// Loads and starts ONNX Runtime, or hands out the one that is running.
    ///
    /// `library` (a flag) or else `ORT_DYLIB_PATH` names the file or its folder; what was named is
    /// the only thing tried, so that a person gets that one or an error. With neither, the folders
    /// around the executable and `/usr/lib/kumobooru` are searched.
    ///
    /// # Errors
    /// [`Error::RuntimeNotFound`] with every path tried and why it failed;
    /// [`Error::RuntimeFailed`]; [`Error::RuntimeAlreadyLoaded`] if `library` names another file
    /// than the one in use.
    pub fn load(library: Option<&Path>) -> Result<Self> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return runtime.clone().accept(library);
        }
        let named = env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
        let executable = env::current_exe().ok();
        let runtime = start(&candidates(library, named, executable.as_deref()))?;
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library file in use.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// What the library says of its own build: version, commit, flags.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Folder of the library, where its GPU companions lie if there are any.
    pub(crate) fn folder(&self) -> &Path {
        self.library.parent().unwrap_or(Path::new("."))
    }

    fn accept(self, asked: Option<&Path>) -> Result<Self> {
        let Some(asked) = asked else { return Ok(self) };
        let same = in_folder(asked)
            .iter()
            .filter_map(|path| path.canonicalize().ok())
            .any(|path| Some(path) == self.library.canonicalize().ok());
        if same {
            Ok(self)
        } else {
            Err(Error::RuntimeAlreadyLoaded {
                loaded: self.library.to_path_buf(),
                asked: asked.to_path_buf(),
            })
        }
    }
}

/// Every file to try, in order. The working directory is not among them: a library from there
/// would be code from wherever the program happened to be started.
fn candidates(
    flag: Option<&Path>,
    named: Option<OsString>,
    executable: Option<&Path>,
) -> Vec<PathBuf> {
    if let Some(path) = flag.map(Path::to_path_buf).or(named.map(PathBuf::from)) {
        return in_folder(&path);
    }
    let mut folders = Vec::new();
    if let Some(beside) = executable.and_then(Path::parent) {
        folders.push(beside.to_path_buf());
        // Installed under a prefix: PREFIX/bin beside PREFIX/lib.
        if let Some(prefix) = beside.parent() {
            folders.push(prefix.join("lib/kumobooru"));
            folders.push(prefix.join("lib"));
        }
        // Built in place: target/debug, or target/debug/deps for tests, below the source folder.
        for depth in [2, 3] {
            if let Some(source) = beside.ancestors().nth(depth) {
                folders.push(source.join(".runtime/onnxruntime"));
            }
        }
    }
    folders.push(PathBuf::from("/usr/lib/kumobooru"));
    folders.push(PathBuf::from("/usr/local/lib/kumobooru"));
    folders
        .iter()
        .flat_map(|folder| [folder.join(PINNED), folder.join(PLAIN)])
        .collect()
}

fn in_folder(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        vec![path.join(PINNED), path.join(PLAIN)]
    } else {
        vec![path.to_path_buf()]
    }
}

fn start(candidates: &[PathBuf]) -> Result<Runtime> {
    let mut tried = Vec::new();
    for path in candidates {
        // An absolute path, since the binding resolves a relative one against the executable.
        let full = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        if let Some(cause) = obstacle(&full) {
            tried.push(Tried { path: full, cause });
            continue;
        }
        match ort::init_from(&full) {
            Ok(builder) => return build(builder, full),
            Err(cause) => tried.push(Tried {
                path: full,
                cause: explain(&cause),
            }),
        }
    }
    Err(Error::RuntimeNotFound { tried })
}

/// What stands in the way before the loader is even asked.
fn obstacle(path: &Path) -> Option<String> {
    match path.metadata() {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Some("no such file".into()),
        Err(cause) => Some(cause.to_string()),
        Ok(found) if !found.is_file() => Some("not a file".into()),
        Ok(found) if found.len() == 0 => Some("an empty file".into()),
        Ok(_) => None,
    }
}

fn explain(cause: &ort::LoadDynamicError) -> String {
    use ort::LoadDynamicError as Cause;
    match cause {
        Cause::Dlopen { error, .. } => {
            // The loader's own words hide behind `source`; the message alone says little.
            let inner = std::error::Error::source(error).map(ToString::to_string);
            format!("not loadable: {}", inner.unwrap_or(error.to_string()))
        }
        Cause::MissingApi { .. } => "a library, but not ONNX Runtime (no OrtGetApiBase)".into(),
        Cause::InvalidVersionString => "its version is not text".into(),
        Cause::BadVersion { version_str, .. } => format!(
            "version {version_str} is too old, 1.{} or newer is needed",
            ort::MINOR_VERSION
        ),
    }
}

fn build(builder: ort::environment::EnvironmentBuilder, path: PathBuf) -> Result<Runtime> {
    let environment = builder
        .with_name("kumobooru")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|cause| Error::RuntimeFailed {
            path: path.clone(),
            cause: cause.to_string(),
        })?;
    environment.set_log_level(LogLevel::Warning);
    tracing::info!(library.path = %path.display(), "ONNX Runtime loaded");
    Ok(Runtime {
        environment,
        library: path.into(),
    })
}

/// Brings ONNX Runtime's own messages into our log.
fn log(level: LogLevel, category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error => {
            tracing::error!(target: "onnxruntime", category, place, "{message}");
        }
        LogLevel::Warning => tracing::warn!(target: "onnxruntime", category, place, "{message}"),
        LogLevel::Info | LogLevel::Verbose => {
            tracing::debug!(target: "onnxruntime", category, place, "{message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_is_the_only_one_tried() {
        let flag = candidates(
            Some(Path::new("/a/x.so")),
            Some("/b/y.so".into()),
            Some(Path::new("/bin/k")),
        );
        assert_eq!(flag, [PathBuf::from("/a/x.so")]);
        let named = candidates(None, Some("/b/y.so".into()), Some(Path::new("/bin/k")));
        assert_eq!(named, [PathBuf::from("/b/y.so")]);
    }

    #[test]
    fn a_built_program_finds_the_source_folder() {
        for exe in [
            "/src/target/debug/kumo-tagger",
            "/src/target/debug/deps/t-1",
        ] {
            let list = candidates(None, None, Some(Path::new(exe)));
            let wanted = Path::new("/src/.runtime/onnxruntime").join(PINNED);
            assert!(list.contains(&wanted), "{exe}: {list:?}");
        }
    }

    #[test]
    fn an_installed_program_finds_its_prefix() {
        let list = candidates(None, None, Some(Path::new("/opt/kumo/bin/kumo-tagger")));
        assert!(list.contains(&Path::new("/opt/kumo/lib").join(PINNED)));
        assert!(list.contains(&Path::new("/usr/lib/kumobooru").join(PINNED)));
    }

    #[test]
    fn each_kind_of_wrong_library_is_named_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.so");
        std::fs::write(&text, "not a library ".repeat(100)).unwrap();
        let empty = folder.path().join("empty.so");
        std::fs::write(&empty, "").unwrap();
        let libc = PathBuf::from(if cfg!(target_arch = "aarch64") {
            "/lib/aarch64-linux-gnu/libc.so.6"
        } else {
            "/lib/x86_64-linux-gnu/libc.so.6"
        });
        let missing = folder.path().join("missing.so");
        let error = start(&[text, empty, libc, missing, folder.path().to_path_buf()]).unwrap_err();
        let said = error.to_string();
        for expected in [
            "invalid ELF header",
            "an empty file",
            "no OrtGetApiBase",
            "missing.so: no such file",
            "not a file",
            "deploy/runtime/fetch.py",
            "ORT_DYLIB_PATH",
        ] {
            assert!(
                said.contains(expected),
                "'{expected}' is missing in: {said}"
            );
        }
        assert_eq!(error.reason(), "ONNXRUNTIME_NOT_FOUND");
    }
}
