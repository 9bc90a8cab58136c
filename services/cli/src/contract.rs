//! `kumo proto`: writes the contract, so that clients in any language can be made from it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use crate::{amount, error::Error, run::Session};

/// Flags of `kumo proto`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo proto --out protos
  python3 -m pip install grpcio-tools
  python3 -m grpc_tools.protoc -I protos --python_out=gen --grpc_python_out=gen \\
      $(find protos -name '*.proto')

The files keep their folders (kumo/store/v1/…), as their imports expect. Files that are there with
another content are left alone, and nothing is written, unless --force is given.
JSON keys of each line: path, state (written, unchanged).")]
pub(crate) struct Flags {
    /// Folder to write into; it is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Overwrite files that are there with another content.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let terminal = &session.terminal;
    let mut stale = Vec::new();
    for (name, text) in proto::SOURCES {
        let path = flags.out.join(name);
        if !is_same(&path, text)? {
            let exists = path.symlink_metadata().is_ok();
            stale.push((path, *text, exists));
        }
    }
    let mut others = stale.iter().filter(|(_, _, exists)| *exists);
    if let Some((other, ..)) = others.next().filter(|_| !flags.force) {
        return Err(Error::Failed(format!(
            "{} is there with another content; nothing was written. Choose another --out, or \
             --force to overwrite it",
            other.display()
        )));
    }
    for (path, text, _) in &stale {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
        }
        fs::write(path, text).map_err(Error::file("write", path))?;
    }
    if terminal.json() {
        return proto::SOURCES.iter().try_for_each(|(name, _)| {
            let path = flags.out.join(name);
            let is_written = stale.iter().any(|(written, ..)| *written == path);
            let state = if is_written { "written" } else { "unchanged" };
            terminal.object(&json!({ "path": path.display().to_string(), "state": state }))
        });
    }
    let out = flags.out.display();
    terminal.line(&crate::terminal::escape(&format!(
        "{} written to {out}, {} unchanged",
        amount::of(stale.len() as u64, "file"),
        proto::SOURCES.len() - stale.len()
    )))?;
    terminal.hint(&format!(
        "a Python client: python3 -m pip install grpcio-tools && mkdir -p gen && python3 -m \
         grpc_tools.protoc -I {out} --python_out=gen --grpc_python_out=gen $(find {out} -name '*.proto')"
    ));
    Ok(())
}

/// Whether a file is there with this text.
fn is_same(path: &Path, text: &str) -> Result<bool, Error> {
    match fs::read(path) {
        Ok(found) => Ok(found == text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}
