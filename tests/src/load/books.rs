//! What an invented post has on file: names, sizes, hashes. Everything follows from its number.

use anyhow::{Context, Result};
use kit::hex;
use proto::store::v1::{NewLocation, NewPost, Sample};

use super::hashes::{self, Look};
use crate::pictures::Dice;

/// The number of the picture of which this one is another encoding, as one in fifty is; otherwise its
/// own.
pub(super) fn original(number: u64) -> u64 {
    number - u64::from(number % 50 == 1)
}

/// The number of a post, which its SHA-256 begins with.
pub(super) fn number_of(sha256: &str) -> Result<u64> {
    let digits = sha256.get(..16).context("a SHA-256 has 64 digits")?;
    Ok(u64::from_str_radix(digits, 16)?)
}

/// How posts are made up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Books {
    /// Other seeds give other libraries.
    pub(super) seed: u64,
    /// Hash and colours from a drawn picture each, instead of random ones.
    pub(super) drawn: bool,
}

impl Books {
    /// The registration of a post in a root.
    pub(super) fn post(self, root: &str, number: u64) -> NewPost {
        let mut dice = Dice::new(self.seed ^ (number << 8));
        let mut bytes = || {
            let mut all = [0; 32];
            for part in all.as_chunks_mut::<8>().0 {
                *part = dice.roll().to_le_bytes();
            }
            all
        };
        let (mut sha256, md5, sample, random) = (bytes(), bytes(), bytes(), bytes());
        sha256[..8].copy_from_slice(&number.to_be_bytes());
        let look = if self.drawn {
            hashes::drawn(self.seed, number)
        } else {
            Look {
                hash: random,
                detail: 4_000,
                colours: hashes::colours(&mut dice),
            }
        };
        NewPost {
            sha256: hex::encode(&sha256),
            md5: hex::encode(&md5[..16]),
            media_type: "image/jpeg".to_owned(),
            byte_size: 1_000_000 + number % 500_000,
            width: 2048,
            height: 1536,
            frames: 1,
            has_alpha: false,
            partial: false,
            sample: Some(Sample {
                render_revision: 1,
                byte_size: 300_000,
                sha256: hex::encode(&sample),
                width: 1632,
                height: 1224,
            }),
            perceptual_hash: hex::encode(&look.hash),
            colours: look.colours,
            location: Some(NewLocation {
                root: root.to_owned(),
                path: format!("{:04}/{number:08}.jpg", number / 500)
                    .into_bytes()
                    .into(),
                byte_size: 1_000_000 + number % 500_000,
                mtime_ns: 1_700_000_000_000_000_000,
            }),
            traceparent: String::new(),
            detail: Some(look.detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_tells_its_number_by_its_hash() {
        let books = Books {
            seed: 3,
            drawn: false,
        };
        let post = books.post("roots/1", 1_234_567);
        assert_eq!(number_of(&post.sha256).expect("a number"), 1_234_567);
        assert_ne!(post.sha256, books.post("roots/1", 1_234_568).sha256);
        assert_eq!((original(151), original(152)), (150, 152));
        assert!(number_of("short").is_err());
    }
}
