//! What passes between the parts: files to be read, and what was found out about files.

use kit::trace::TraceContext;

use crate::{
    hash::Digests,
    known::{Checks, Sha256},
    place::Place,
    stamp::Stamp,
};

/// Reason code of a file that the system will not let us read, now.
pub const UNREADABLE: &str = "UNREADABLE";

/// A file to be read.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where it is.
    pub place: Place,
    /// What it was like when it had settled.
    pub stamp: Stamp,
    /// How often it has changed while it was read.
    pub tries: u8,
    /// Render it even if its content is known.
    pub again: bool,
    /// Its story, from the file event on.
    pub trace: TraceContext,
}

/// What was found out about a file, to be told to the store and remembered.
#[derive(Debug)]
pub enum Finding {
    /// A picture whose content is new.
    Picture(Box<Picture>),
    /// A file with a content that the store knows.
    Held(Place, Stamp, Sha256),
    /// A file that the store knows already; only its marks are to be remembered.
    Seen(Place, Stamp, Sha256),
    /// A file that is gone.
    Missing(Place, Stamp),
    /// A file that cannot become a post.
    Failed(Box<Failure>),
    /// A file that is no picture and does not claim to be one.
    Ignored(Place, Stamp),
}

/// A picture, rendered.
#[derive(Debug)]
pub struct Picture {
    /// Where its file is.
    pub place: Place,
    /// What the file was like before and after it was read.
    pub stamp: Stamp,
    /// What its bytes amount to.
    pub digests: Digests,
    /// What was rendered, without the bytes, which are on disk.
    pub checks: Checks,
    /// Size of the sample in pixels.
    pub sample_size: (u32, u32),
    /// Size of the picture in pixels.
    pub size: (u32, u32),
    /// Frames of an animation.
    pub frames: u32,
    /// Whether it has transparency.
    pub has_alpha: bool,
    /// Whether only a part could be decoded.
    pub partial: bool,
    /// Its perceptual hash.
    pub perceptual_hash: [u8; 32],
    /// How much there was to hash, as the renderer measures it.
    pub detail: Option<u16>,
    /// Its colour layout.
    pub colours: String,
    /// Its story.
    pub trace: TraceContext,
}

/// Why a file cannot become a post.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Where it is.
    pub place: Place,
    /// What it was like.
    pub stamp: Stamp,
    /// Reason code.
    pub reason: &'static str,
    /// The same for people.
    pub message: String,
    /// Its content, if it was read.
    pub sha256: Option<Sha256>,
}

impl Failure {
    /// The marks by which to leave the file alone until it changes. A file that could not be read
    /// has none: a disk or a server that failed may be well again without any mark of the file
    /// being another one, so the next scan tries again. What disk it lies on is remembered even
    /// so: a disk that fails is often away next, and that takes nothing along.
    #[must_use]
    pub fn remembered(&self) -> Stamp {
        if self.reason == UNREADABLE {
            Stamp {
                dev: self.stamp.dev,
                ..Stamp::default()
            }
        } else {
            self.stamp
        }
    }
}

impl Finding {
    /// The place it is about.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Self::Picture(picture) => &picture.place,
            Self::Failed(failure) => &failure.place,
            Self::Held(place, ..)
            | Self::Seen(place, ..)
            | Self::Missing(place, _)
            | Self::Ignored(place, _) => place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::RootId;

    #[test]
    fn a_file_that_could_not_be_read_is_tried_by_the_next_scan_and_a_broken_one_is_not() {
        let stamp = Stamp {
            dev: 5,
            ino: 7,
            ..Stamp::remembered(1, 2)
        };
        let remembered = |reason| {
            let failure = Failure {
                place: Place::new(RootId(1), b"a.png".as_slice()),
                stamp,
                reason,
                message: String::new(),
                sha256: None,
            };
            failure.remembered()
        };
        let disk_alone = Stamp {
            dev: 5,
            ..Stamp::default()
        };
        assert_eq!(remembered(UNREADABLE), disk_alone);
        assert_eq!(remembered("EMPTY_FILE"), stamp);
    }
}
