//! Which of several near-duplicates to keep.

use crate::index::PostId;

/// What is known of a post that may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The post.
    pub post: PostId,
    /// Width × height of the original.
    pub pixels: u64,
    /// Bytes of the original.
    pub bytes: u64,
    /// Its media type.
    pub media_type: String,
    /// Whether only a part of the picture could be decoded.
    pub partial: bool,
    /// Edits by people.
    pub edits: u32,
}

/// The suggestion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// The post to keep.
    pub post: PostId,
    /// The first thing by which it is better than the others.
    pub reason: String,
}

/// One thing by which a post can be better: the greater, the better.
type Merit = fn(&Facts) -> u64;

/// In this order: a whole picture before a damaged one, then more pixels, then a format that loses
/// nothing, then a person's work, then more bytes, then age.
const MERITS: [Merit; 6] = [
    |facts| u64::from(!facts.partial),
    |facts| facts.pixels,
    |facts| u64::from(lossless(&facts.media_type)),
    |facts| u64::from(facts.edits),
    |facts| facts.bytes,
    |facts| u64::from(u32::MAX - facts.post),
];

/// The best of the posts of a group; `None` of none.
#[must_use]
pub fn keeper(facts: &[Facts]) -> Option<Keeper> {
    let mut left: Vec<&Facts> = facts.iter().collect();
    let mut reason = String::from("it is the only one");
    for (at, merit) in MERITS.iter().enumerate() {
        let best = left.iter().map(|facts| merit(facts)).max()?;
        let beaten: Vec<&Facts> = left
            .iter()
            .filter(|facts| merit(facts) < best)
            .copied()
            .collect();
        if beaten.is_empty() {
            continue;
        }
        // The reason is what sets it apart from the last ones that could have been kept instead.
        let second = beaten.iter().max_by_key(|facts| merit(facts))?;
        left.retain(|facts| merit(facts) == best);
        reason = say(at, left.first()?, second);
    }
    let post = left.first()?.post;
    Some(Keeper { post, reason })
}

fn say(merit: usize, kept: &Facts, other: &Facts) -> String {
    match merit {
        0 => "the whole picture; others are damaged".to_owned(),
        1 => format!("more pixels: {} against {}", kept.pixels, other.pixels),
        2 => format!(
            "{} keeps every pixel; {} does not",
            kept.media_type, other.media_type
        ),
        3 => format!(
            "more edits by people: {} against {}",
            kept.edits, other.edits
        ),
        4 => format!("more bytes: {} against {}", kept.bytes, other.bytes),
        _ => "the oldest; nothing else tells them apart".to_owned(),
    }
}

/// WebP is not among them: most of it loses something.
fn lossless(media_type: &str) -> bool {
    matches!(media_type, "image/png" | "image/bmp" | "image/tiff")
}

#[cfg(test)]
mod tests {
    use super::{Facts, keeper};

    fn facts(post: u32) -> Facts {
        Facts {
            post,
            pixels: 1000,
            bytes: 500,
            media_type: "image/jpeg".to_owned(),
            partial: false,
            edits: 0,
        }
    }

    fn kept(facts: &[Facts]) -> (u32, String) {
        let keeper = keeper(facts).expect("there are some");
        (keeper.post, keeper.reason)
    }

    #[test]
    fn merits_count_in_their_order() {
        let mut posts: Vec<Facts> = (1..=6).map(facts).collect();
        assert_eq!(kept(&posts).0, 1, "the oldest");
        posts[1].bytes = 900;
        assert_eq!(kept(&posts), (2, "more bytes: 900 against 500".into()));
        posts[2].edits = 3;
        assert_eq!(
            kept(&posts),
            (3, "more edits by people: 3 against 0".into())
        );
        posts[3].media_type = "image/png".into();
        assert_eq!(
            kept(&posts),
            (4, "image/png keeps every pixel; image/jpeg does not".into())
        );
        posts[4].pixels = 2000;
        assert_eq!(kept(&posts), (5, "more pixels: 2000 against 1000".into()));
        for post in &mut posts[..5] {
            post.partial = true;
        }
        assert_eq!(
            kept(&posts),
            (6, "the whole picture; others are damaged".into())
        );
    }

    #[test]
    fn of_none_there_is_none_and_of_one_it_is_that() {
        assert_eq!(keeper(&[]), None);
        assert_eq!(kept(&[facts(9)]), (9, "it is the only one".into()));
    }
}
