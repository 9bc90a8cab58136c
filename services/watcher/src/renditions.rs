//! Samples and previews on disk: `DATA/samples/ab/SHA256-rREVISION.jpg`, and previews likewise.
//!
//! Derived: a file is renamed into place without a sync of its own; one `syncfs` a batch comes
//! before the store is told, and a checksum kept in the known table finds what a power cut tore.

use std::{
    fs, io,
    io::Write,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use tokio::sync::Notify;

use crate::{
    hash,
    known::{RenditionCheck, Sha256},
};

/// No rendition is larger: a sample has at most 2 Mpx.
pub const LARGEST: u64 = 16 << 20;

/// Which of our re-encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What models see.
    Sample,
    /// The small one for grids.
    Preview,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Sample => "samples",
            Self::Preview => "previews",
        }
    }
}

/// The two folders of renditions.
#[derive(Debug)]
pub struct Renditions {
    data: PathBuf,
    drafts: PathBuf,
    next: AtomicU64,
    remade: AtomicI64,
    remade_news: Notify,
}

impl Renditions {
    /// Opens, or makes, the folders under `data`. Drafts that an earlier process left are removed.
    ///
    /// # Errors
    /// If the folders cannot be made.
    pub fn open(data: &Path) -> io::Result<Self> {
        let drafts = data.join("watcher").join("drafts");
        match fs::remove_dir_all(&drafts) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&drafts)?;
        for kind in [Kind::Sample, Kind::Preview] {
            fs::create_dir_all(data.join(kind.folder()))?;
        }
        Ok(Self {
            data: data.to_owned(),
            drafts,
            next: AtomicU64::new(0),
            remade: AtomicI64::new(0),
            remade_news: Notify::new(),
        })
    }

    /// A sample was made again because somebody asked for it: the samples take so many bytes more.
    pub fn note_remade(&self, bytes: i64) {
        self.remade.fetch_add(bytes, Ordering::Relaxed);
        self.remade_news.notify_one();
    }

    /// Waits until samples were made again, and tells how many bytes more they take than before.
    pub async fn remade(&self) -> i64 {
        self.remade_news.notified().await;
        self.remade.swap(0, Ordering::Relaxed)
    }

    /// The folder of the samples, as bytes, for nodes on the same disk.
    #[must_use]
    pub fn sample_dir(&self) -> Vec<u8> {
        self.data
            .join(Kind::Sample.folder())
            .as_os_str()
            .as_bytes()
            .to_vec()
    }

    /// Where a rendition lies.
    #[must_use]
    pub fn path(&self, kind: Kind, original: &Sha256, revision: u32) -> PathBuf {
        let name = kit::hex::encode(original);
        self.data
            .join(kind.folder())
            .join(&name[..2])
            .join(format!("{name}-r{revision}.jpg"))
    }

    /// Writes a rendition, whole or not at all, and gives its check. Not synced: see
    /// [`Renditions::sync`].
    ///
    /// # Errors
    /// What the file system answers.
    pub fn write(
        &self,
        kind: Kind,
        original: &Sha256,
        revision: u32,
        bytes: &[u8],
    ) -> io::Result<RenditionCheck> {
        let path = self.path(kind, original, revision);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let draft = self.drafts.join(number.to_string());
        let written = fs::File::create(&draft)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| rename(&draft, &path));
        if let Err(error) = written {
            // A draft that stays is removed at the next start.
            let _ = fs::remove_file(&draft);
            return Err(error);
        }
        Ok(RenditionCheck {
            bytes: bytes.len() as u64,
            sha256: hash::sha256(bytes),
        })
    }

    /// Reads a rendition if it is whole; `None` if it is absent or damaged.
    ///
    /// # Errors
    /// What the file system answers, other than that there is no such file.
    pub fn read(
        &self,
        kind: Kind,
        original: &Sha256,
        revision: u32,
        check: &RenditionCheck,
    ) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(kind, original, revision);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if size != check.bytes || size > LARGEST {
            return Ok(None);
        }
        let bytes = fs::read(&path)?;
        Ok((hash::sha256(&bytes) == check.sha256).then_some(bytes))
    }

    /// Removes a sample; that it is gone already is no error.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn remove_sample(&self, original: &Sha256, revision: u32) -> io::Result<()> {
        match fs::remove_file(self.path(Kind::Sample, original, revision)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Makes all that was written survive a power cut. Blocks.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn sync(&self) -> io::Result<()> {
        let folder = fs::File::open(&self.data)?;
        Ok(rustix::fs::syncfs(&folder)?)
    }
}

fn rename(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::rename(draft, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::rename(draft, path)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGINAL: Sha256 = [0xab; 32];

    #[test]
    fn what_was_written_is_read_back_and_damage_is_noticed() {
        let data = tempfile::tempdir().expect("a folder");
        let renditions = Renditions::open(data.path()).expect("opens");
        let check = renditions
            .write(Kind::Sample, &ORIGINAL, 3, b"jpeg")
            .expect("writes");
        let read = || {
            renditions
                .read(Kind::Sample, &ORIGINAL, 3, &check)
                .expect("reads")
        };
        assert_eq!(read().as_deref(), Some(b"jpeg".as_slice()));
        let path = renditions.path(Kind::Sample, &ORIGINAL, 3);
        assert!(
            path.starts_with(data.path().join("samples/ab")),
            "{}",
            path.display()
        );
        for damaged in [b"jpeX".as_slice(), b"jpe", b""] {
            fs::write(&path, damaged).expect("writes");
            assert_eq!(read(), None);
        }
        renditions.remove_sample(&ORIGINAL, 3).expect("removes");
        renditions
            .remove_sample(&ORIGINAL, 3)
            .expect("is gone already");
        assert_eq!(read(), None);
    }

    #[test]
    fn drafts_of_a_killed_process_are_removed() {
        let data = tempfile::tempdir().expect("a folder");
        drop(Renditions::open(data.path()).expect("opens"));
        let draft = data.path().join("watcher/drafts/7");
        fs::write(&draft, b"half").expect("writes");
        Renditions::open(data.path()).expect("opens");
        assert!(!draft.exists());
    }
}
