//! How large a library is.

/// Sizes of a library.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) posts: u32,
    pub(crate) tags: u32,
    /// Pairs of post and tag.
    pub(crate) associations: u64,
    /// Source records in all, bytes; 0 for none.
    pub(crate) record_bytes: u64,
}

/// The library that was investigated: 13,028 pictures of one person.
const L1: Scale = Scale {
    posts: 13_028,
    tags: 21_113,
    associations: 624_717,
    record_bytes: 74_000_000,
};
/// Tags that one tagger may have besides the four ratings.
const MOST_TAGS: u32 = 199_996;
/// A million pictures. Without source records, which would be six gigabytes.
const L2: Scale = Scale {
    posts: 1_000_000,
    tags: MOST_TAGS,
    associations: 35_000_000,
    record_bytes: 0,
};

impl Scale {
    /// `L1`, `L2`, or a number of posts, which has tags and records as L1 has them, in proportion.
    pub(crate) fn read(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "L1" => Some(L1),
            "L2" => Some(L2),
            number => {
                let posts: u32 = number.parse().ok().filter(|posts| *posts > 0)?;
                let share = |of: u64| of * u64::from(posts) / u64::from(L1.posts);
                Some(Self {
                    posts,
                    tags: share(u64::from(L1.tags)).clamp(2_000, u64::from(MOST_TAGS)) as u32,
                    associations: share(L1.associations),
                    record_bytes: share(L1.record_bytes),
                })
            }
        }
    }

    /// The part of `total` that belongs to post `number` from 0: as even as can be, or, if it
    /// `varies`, from half to one and a half of that. All parts together are exactly `total`.
    pub(crate) fn part(&self, total: u64, number: u32, varies: bool) -> u64 {
        let end = |number: u32| total * u64::from(number) / u64::from(self.posts);
        let even = end(number + 1) - end(number);
        let partner = number ^ 1;
        if !varies || partner >= self.posts {
            return even;
        }
        // What one of a pair has more, the other has less.
        let first = u64::from(number.min(partner));
        let shift =
            (first.wrapping_mul(0x9e37_79b9) >> 7) % (total / u64::from(self.posts) / 2 + 1);
        match number < partner {
            true => even + shift,
            false => even.saturating_sub(shift),
        }
    }
}
