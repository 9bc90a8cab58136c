//! Reading the files of a model folder: bounded, and with an answer to each thing that goes wrong
//! when folders are copied by hand.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

use super::labels::{self, Label};
use super::spec::ModelSpec;
use crate::error::{Error, Result};

/// Largest `model.toml`, in bytes.
const MAX_SPEC: u64 = 1 << 16;

/// Largest labels file, in bytes.
const MAX_LABELS: u64 = 64 << 20;

/// How a file begins that Git LFS has not fetched.
const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// Reads and checks `model.toml`.
pub(crate) fn read_spec(folder: &Path) -> Result<ModelSpec> {
    if !folder.is_dir() {
        return Err(unreadable(
            folder,
            "no such folder; a model is a folder with a model.toml",
        ));
    }
    let path = folder.join("model.toml");
    let text = read_text(&path, MAX_SPEC)?;
    let spec: ModelSpec = toml::from_str(&text)
        .map_err(|cause| Error::invalid(&path, cause.to_string().trim_end()))?;
    spec.check()
        .map_err(|problem| Error::invalid(&path, problem))?;
    let labels = spec.labels.iter().map(|labels| &labels.file);
    for name in [&spec.file]
        .into_iter()
        .chain(&spec.external_data)
        .chain(labels)
    {
        if !stays_inside(name) {
            return Err(Error::invalid(
                &path,
                format!("'{name}' must be a path below the model folder"),
            ));
        }
    }
    Ok(spec)
}

/// Reads the labels and hashes their file; nothing for a model without labels.
pub(crate) fn read_labels(folder: &Path, spec: &ModelSpec) -> Result<(Vec<Label>, Option<String>)> {
    let Some(labels) = &spec.labels else {
        return Ok((Vec::new(), None));
    };
    let path = folder.join(&labels.file);
    let text = read_text(&path, MAX_LABELS)?;
    let parsed = labels::parse(&text, labels).map_err(|problem| Error::invalid(&path, problem))?;
    Ok((parsed, Some(hex(&Sha256::digest(text.as_bytes())))))
}

/// Hashes the weights, all files of them, and compares with what `model.toml` demands.
pub(crate) fn hash_weights(folder: &Path, spec: &ModelSpec) -> Result<Vec<String>> {
    for suffix in [".data", "_data"] {
        let beside = format!("{}{suffix}", spec.file);
        if folder.join(&beside).exists() && !spec.external_data.contains(&beside) {
            return Err(Error::invalid(
                folder.join("model.toml"),
                format!("{beside} holds weights: add external_data = [\"{beside}\"]"),
            ));
        }
    }
    let mut hashes = Vec::new();
    for name in [&spec.file].into_iter().chain(&spec.external_data) {
        let path = folder.join(name);
        let hash = hash_file(&path)?;
        let demanded = spec.sha256.as_ref().filter(|_| *name == spec.file);
        if let Some(demanded) = demanded.filter(|text| !text.eq_ignore_ascii_case(&hash)) {
            return Err(Error::invalid(
                &path,
                format!(
                    "its sha256 is {hash}, model.toml demands {demanded}: the file is damaged or \
                     another version; copy it again"
                ),
            ));
        }
        hashes.push(hash);
    }
    Ok(hashes)
}

/// The revision: one hash over everything that decides the results.
pub(crate) fn revision(spec: &ModelSpec, weights: &[String], labels: Option<&str>) -> String {
    let mut digest = Sha256::new();
    digest.update(b"kumobooru model 1\n");
    for hash in weights {
        digest.update(format!("weights={hash}\n"));
    }
    digest.update(format!("labels={}\n", labels.unwrap_or("none")));
    digest.update(spec.canonical());
    hex(&digest.finalize())
}

/// Lower-case hex digits of bytes.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn hash_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|cause| missing(path, &cause))?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 1 << 20];
    let mut first = true;
    loop {
        let read = file
            .read(&mut block)
            .map_err(|cause| missing(path, &cause))?;
        if read == 0 && first {
            return Err(Error::invalid(path, "the file is empty; copy it again"));
        }
        if first && block[..read].starts_with(LFS_POINTER) {
            return Err(Error::invalid(
                path,
                "this is a Git LFS pointer, not the weights; run `git lfs pull` where it came from",
            ));
        }
        if read == 0 {
            return Ok(hex(&digest.finalize()));
        }
        first = false;
        digest.update(&block[..read]);
    }
}

fn read_text(path: &Path, limit: u64) -> Result<String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|cause| missing(path, &cause))?;
    if bytes.len() as u64 > limit {
        return Err(Error::invalid(path, format!("larger than {limit} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Error::invalid(path, "not UTF-8 text"))
}

fn missing(path: &Path, cause: &io::Error) -> Error {
    if cause.kind() == io::ErrorKind::NotFound {
        unreadable(
            path,
            "no such file; docs/MODELS.md says what a model folder holds",
        )
    } else {
        unreadable(path, &cause.to_string())
    }
}

fn unreadable(path: &Path, cause: &str) -> Error {
    Error::ModelUnreadable {
        path: path.to_path_buf(),
        cause: cause.to_owned(),
    }
}

fn stays_inside(name: &str) -> bool {
    let path = Path::new(name);
    !name.is_empty()
        && path
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
}
