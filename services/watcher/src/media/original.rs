//! An open original. Blocks.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use kit::hex;
use rustix::fs::fstat;

use crate::{
    Error, hash,
    known::Sha256,
    place::RootId,
    roots::Root,
    stamp::{Kind, Stamp},
};

/// A user's file, open, with the marks it had when it was opened.
#[derive(Debug, Clone)]
pub struct Original {
    file: Arc<File>,
    stamp: Stamp,
    sha256: Sha256,
}

impl Original {
    /// Opens the first of the files that is there and is what it was.
    ///
    /// # Errors
    /// [`Error::NoSuchContent`] if there are none, else [`Error::Changed`] if one is there but not
    /// what it was, else [`Error::Away`].
    pub(super) fn open(
        sha256: &Sha256,
        holders: &[(RootId, Vec<u8>, Stamp)],
        roots: &[Root],
    ) -> Result<Self, Error> {
        let name = || hex::encode(sha256);
        if holders.is_empty() {
            return Err(Error::NoSuchContent(name()));
        }
        let mut changed = false;
        for (id, path, known) in holders {
            let base = roots
                .iter()
                .find(|root| root.id == *id)
                .and_then(Root::open);
            let Some(Ok(file)) = base.map(|base| base.file(path)) else {
                continue;
            };
            let Ok(stat) = fstat(&file) else { continue };
            let stamp = Stamp::of(&stat);
            let same = *known == stamp || (known.is_remembered() && known.agrees_with(&stamp));
            if Kind::of(&stat) == Kind::File && same {
                return Ok(Self {
                    file: Arc::new(file),
                    stamp,
                    sha256: *sha256,
                });
            }
            changed = true;
        }
        Err(if changed {
            Error::Changed(name())
        } else {
            Error::Away(name())
        })
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.stamp.size
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// Reads up to `length` bytes, and makes sure that the file did not change meanwhile.
    pub(super) fn piece(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        let read_error = |source| Error::Read {
            what: format!("the file with the content {}", hex::encode(&self.sha256)),
            source,
        };
        let mut piece = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self
                .file
                .read_at(&mut piece[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error)),
            }
        }
        piece.truncate(filled);
        self.still()?;
        Ok(piece)
    }

    /// Reads all of it, and makes sure that it has the content it should.
    pub(super) fn verify(&self, sha256: &Sha256) -> Result<(), Error> {
        let digests = hash::digests(&self.file).map_err(|source| Error::Read {
            what: format!("the file with the content {}", hex::encode(sha256)),
            source,
        })?;
        self.still()?;
        if digests.sha256 == *sha256 {
            Ok(())
        } else {
            Err(Error::Changed(hex::encode(sha256)))
        }
    }

    fn still(&self) -> Result<(), Error> {
        let now = fstat(&self.file)
            .map(|stat| Stamp::of(&stat))
            .unwrap_or_default();
        // A rename or a new link of the file changes its change time, but no byte of it.
        let same = Stamp { ctime_ns: 0, ..now }
            == Stamp {
                ctime_ns: 0,
                ..self.stamp
            };
        if same {
            Ok(())
        } else {
            Err(Error::Changed(hex::encode(&self.sha256)))
        }
    }
}
