//! Samples on a disk that this machine shares with their watcher.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Fetched, Sample, Samples, Search, portion};
use crate::leases::task::{Cause, Failure};

impl Samples {
    /// Finds what it can; gives back the searches that must go on elsewhere.
    pub(super) async fn look_on_disk(
        &self,
        searches: Vec<Search>,
        found: &impl Fn(Fetched),
    ) -> Vec<Search> {
        let local = |search: &Search| !search.task.paths.is_empty();
        let (mut local, mut rest): (Vec<_>, Vec<_>) = searches.into_iter().partition(local);
        while !local.is_empty() {
            let part = portion(&mut local, usize::MAX);
            let mut share = self
                .reserve(
                    part.iter()
                        .map(|s| super::units(s.bytes()) * super::UNIT)
                        .sum(),
                )
                .await;
            // Disks block, and so does hashing, a little.
            let read = tokio::task::spawn_blocking(move || {
                let read = |search: Search| look(search);
                part.into_iter().map(read).collect::<Vec<_>>()
            });
            // Only the end of the runtime takes a read away.
            let Ok(read) = read.await else { return rest };
            for (search, bytes) in read {
                let share = share.split(super::units(search.bytes()));
                match bytes.zip(share) {
                    Some((bytes, share)) => found((search.task, Ok(Sample { bytes, share }))),
                    None => rest.push(search),
                }
            }
        }
        rest
    }
}

/// Looks at each path of a search.
fn look(mut search: Search) -> (Search, Option<Vec<u8>>) {
    for path in std::mem::take(&mut search.task.paths) {
        match read(&path, search.bytes()) {
            Ok(bytes) => match search.verify(&bytes, &path.display().to_string()) {
                Ok(()) => return (search, Some(bytes)),
                Err(failure) => search.failed(failure),
            },
            Err(error) => {
                let message = format!("{}: {error}", path.display());
                let cause = Cause::SourceUnavailable;
                search.failed(Failure::new(cause, "SAMPLE_UNREADABLE", message));
            }
        }
    }
    (search, None)
}

/// Reads a file of an expected length, and one byte more if there is more. The path comes from
/// another machine's words, so a FIFO there must not hold us up.
fn read(path: &Path, length: usize) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::with_capacity(length + 1);
    file.take(length as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
