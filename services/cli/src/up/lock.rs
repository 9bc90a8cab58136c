//! One `kumo up` for each data folder.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use kit::rundir::Announcement;
use rustix::fs::{FlockOperation, flock};

use crate::error::Error;

/// Held while this process runs the cluster; the kernel gives it back however the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the data folder if there is none, and takes its lock.
    pub(super) fn take(data: &Path) -> Result<Self, Error> {
        let run = data.join("run");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&run)
            .map_err(Error::file("make the folder", &run))?;
        let path = run.join("up.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(Error::file("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(taken(data, &mut file)),
            Err(error) => return Err(Error::file("lock", &path)(error.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(Error::file("write", &path))?;
        Ok(Self { _file: file })
    }
}

fn taken(data: &Path, file: &mut File) -> Error {
    let mut pid = String::new();
    // The number is only for the message.
    let _ = file.take(20).read_to_string(&mut pid);
    let process = match pid.trim() {
        "" => String::new(),
        pid => format!(" (process {pid})"),
    };
    let address = match Announcement::read(data, "store") {
        Some(found) => format!("; its store is at http://{}", found.address),
        None => String::new(),
    };
    Error::Failed(format!(
        "a `kumo up` runs already with the data folder {}{process}{address}. Stop it first, or \
         choose another folder with --data and other ports with --ports any",
        data.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_the_first_and_may_follow_it() {
        let data = tempfile::tempdir().expect("a folder");
        let first = Lock::take(data.path()).expect("free");
        let error = Lock::take(data.path()).expect_err("taken").to_string();
        let pid = format!("process {}", std::process::id());
        assert!(error.contains(&pid), "{error}");
        drop(first);
        Lock::take(data.path()).expect("free again");
    }
}
