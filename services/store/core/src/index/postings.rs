//! Tag → the posts that have it.
//!
//! Most tags of a booru are on a handful of posts, and most associations
//! belong to a few thousand common tags; each gets the form that is small:
//!
//! | posts with the tag | form | bytes an association |
//! |---|---|---|
//! | up to [`FEW`] | sorted ids, exact length | 4 |
//! | more, < 1 in 16 | roaring array, by 65,536 posts | 2 (up to 4 after growth) |
//! | more, ≥ 1 in 16 | roaring bitset, by 65,536 posts | 2 falling to 0.125 |
//!
//! A tag itself costs [`SLOT`] bytes times the hash table's slack (1.14 to
//! 2.3), and in roaring form 32 more for every 65,536 posts it reaches into.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use roaring::{MultiOps, RoaringBitmap};

use crate::TagId;

/// Most posts of a tag kept as plain ids.
const FEW: usize = 32;
/// Below this a roaring form goes back to plain ids; apart from [`FEW`], so
/// that a tag at the border does not change form with every post.
const FEW_AGAIN: u64 = 16;
/// One slot of the hash table: tag id, posting, control byte.
const SLOT: usize = size_of::<(TagId, Posting)>() + 1;
/// One roaring container without its content.
const CONTAINER: usize = 32;
/// Content of a roaring bitset container.
const BITSET: usize = 8192;

/// The posts of one tag.
pub(super) enum Posting {
    /// Ascending. A boxed slice, not a `Vec`: it keeps the enum at 24 bytes.
    Few(Box<[u32]>),
    Many(RoaringBitmap),
}

/// The postings of all tags.
#[derive(Default)]
pub(super) struct Postings {
    tags: HashMap<TagId, Posting>,
}

impl Postings {
    /// Whether the association is new.
    pub(super) fn insert(&mut self, tag: TagId, post: u32) -> bool {
        let posting = self
            .tags
            .entry(tag)
            .or_insert_with(|| Posting::Few(Box::default()));
        posting.insert(post)
    }

    /// Whether there was such an association.
    pub(super) fn remove(&mut self, tag: TagId, post: u32) -> bool {
        let Entry::Occupied(mut entry) = self.tags.entry(tag) else {
            return false;
        };
        let removed = entry.get_mut().remove(post);
        if entry.get().len() == 0 {
            entry.remove();
        }
        removed
    }

    /// How many posts have the tag, live or not.
    pub(super) fn len(&self, tag: TagId) -> u64 {
        self.tags.get(&tag).map_or(0, Posting::len)
    }

    /// The posts that have the tag, if there are any.
    pub(super) fn get(&self, tag: TagId) -> Option<&Posting> {
        self.tags.get(&tag)
    }

    /// The posts of `base` that have the tag.
    pub(super) fn within(&self, tag: TagId, base: &RoaringBitmap) -> RoaringBitmap {
        match self.tags.get(&tag) {
            None => RoaringBitmap::new(),
            Some(Posting::Many(posts)) => base & posts,
            Some(Posting::Few(posts)) => {
                posts.iter().filter(|post| base.contains(**post)).collect()
            }
        }
    }

    /// Leaves in `base` only posts that have the tag.
    pub(super) fn keep(&self, tag: TagId, base: &mut RoaringBitmap) {
        match self.tags.get(&tag) {
            Some(Posting::Many(posts)) => *base &= posts,
            _ => *base = self.within(tag, base),
        }
    }

    /// Takes the posts that have the tag out of `base`.
    pub(super) fn subtract(&self, tag: TagId, base: &mut RoaringBitmap) {
        match self.tags.get(&tag) {
            None => {}
            Some(Posting::Many(posts)) => *base -= posts,
            Some(Posting::Few(posts)) => {
                for post in posts.iter() {
                    base.remove(*post);
                }
            }
        }
    }

    /// The posts that have any of the tags, in one pass over all of them.
    pub(super) fn union(&self, tags: &[TagId]) -> RoaringBitmap {
        let postings = || tags.iter().filter_map(|tag| self.tags.get(tag));
        let many = postings().filter_map(|posting| match posting {
            Posting::Many(posts) => Some(posts),
            Posting::Few(_) => None,
        });
        let mut any = many.union();
        for posting in postings() {
            if let Posting::Few(posts) = posting {
                any.extend(posts.iter());
            }
        }
        any
    }

    /// Bytes held, without the allocator's own. Visits every tag.
    pub(super) fn memory(&self) -> usize {
        // The table keeps one slot in eight free and a power of two in all.
        let slots = match self.tags.capacity() {
            0 => 0,
            capacity => (capacity * 8).div_ceil(7).next_power_of_two(),
        };
        slots * SLOT + self.tags.values().map(Posting::memory).sum::<usize>()
    }

    /// Tags that have a post, and associations in all. Visits every tag.
    pub(super) fn counts(&self) -> (usize, u64) {
        let associations = self.tags.values().map(Posting::len).sum();
        (self.tags.len(), associations)
    }
}

impl Posting {
    pub(super) fn contains(&self, post: u32) -> bool {
        match self {
            Self::Few(posts) => posts.binary_search(&post).is_ok(),
            Self::Many(posts) => posts.contains(post),
        }
    }

    /// All posts, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let (few, many) = match self {
            Self::Few(posts) => (&posts[..], None),
            Self::Many(posts) => (&[][..], Some(posts.iter())),
        };
        few.iter().copied().chain(many.into_iter().flatten())
    }

    /// Calls `act` with every post from `first` to `last`. Several times faster than an iterator
    /// over both forms.
    pub(super) fn each(&self, first: u32, last: u32, mut act: impl FnMut(u32)) {
        match self {
            Self::Few(posts) => {
                let start = posts.partition_point(|&post| post < first);
                let rest = posts[start..].iter().take_while(|post| **post <= last);
                rest.for_each(|&post| act(post));
            }
            Self::Many(posts) => posts.range(first..=last).for_each(act),
        }
    }

    fn insert(&mut self, post: u32) -> bool {
        let posts = match self {
            Self::Many(posts) => return posts.insert(post),
            Self::Few(posts) => posts,
        };
        let Err(at) = posts.binary_search(&post) else {
            return false;
        };
        if posts.len() < FEW {
            let mut more = std::mem::take(posts).into_vec();
            more.reserve_exact(1);
            more.insert(at, post);
            *posts = more.into_boxed_slice();
        } else {
            let mut many: RoaringBitmap = posts.iter().collect();
            many.insert(post);
            *self = Self::Many(many);
        }
        true
    }

    fn remove(&mut self, post: u32) -> bool {
        match self {
            Self::Few(posts) => {
                let Ok(at) = posts.binary_search(&post) else {
                    return false;
                };
                let mut fewer = std::mem::take(posts).into_vec();
                fewer.remove(at);
                *posts = fewer.into_boxed_slice();
                true
            }
            Self::Many(posts) => {
                let removed = posts.remove(post);
                if posts.len() < FEW_AGAIN {
                    *self = Self::Few(posts.iter().collect());
                }
                removed
            }
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Few(posts) => posts.len() as u64,
            Self::Many(posts) => posts.len(),
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Few(posts) => size_of_val::<[u32]>(posts),
            Self::Many(posts) => bitmap_bytes(posts),
        }
    }
}

/// Bytes behind a bitmap. Roaring's own statistics count an array's 2-byte
/// entries as 4 and a bitset's 8,192 bytes as 65,536, so only its counts and
/// capacities are used.
pub(super) fn bitmap_bytes(bitmap: &RoaringBitmap) -> usize {
    let statistics = bitmap.statistics();
    let arrays = usize::try_from(statistics.n_bytes_array_containers / 2).unwrap_or(usize::MAX);
    let runs = usize::try_from(statistics.n_bytes_run_containers).unwrap_or(usize::MAX);
    statistics.n_containers as usize * CONTAINER
        + statistics.n_bitset_containers as usize * BITSET
        + arrays
        + runs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use roaring::RoaringBitmap;

    use super::{BITSET, CONTAINER, FEW, Posting, Postings, SLOT, bitmap_bytes};

    #[test]
    fn a_posting_agrees_with_a_plain_set_while_it_grows_and_shrinks() {
        let mut postings = Postings::default();
        let mut plain = BTreeSet::new();
        let base: RoaringBitmap = (0..200_000).step_by(2).collect();
        // A fixed walk over growing and shrinking stretches, across both forms.
        for step in 0_u32..400 {
            let post = step.wrapping_mul(2_654_435_761) % 150;
            let post = post * 1000;
            if (step / 100) % 2 == 0 {
                assert_eq!(postings.insert(1, post), plain.insert(post));
            } else {
                assert_eq!(postings.remove(1, post), plain.remove(&post));
            }
            assert_eq!(postings.len(1), plain.len() as u64);
            let expected: RoaringBitmap = plain.iter().filter(|p| base.contains(**p)).collect();
            assert_eq!(postings.within(1, &base), expected);
            let mut kept = base.clone();
            postings.keep(1, &mut kept);
            assert_eq!(kept, expected);
            let mut rest = base.clone();
            postings.subtract(1, &mut rest);
            assert_eq!(rest, &base - &expected);
            let all: RoaringBitmap = plain.iter().collect();
            assert_eq!(postings.union(&[2, 1, 1]), all);
        }
    }

    #[test]
    fn a_tag_without_posts_costs_nothing() {
        let mut postings = Postings::default();
        for post in 0..100 {
            postings.insert(9, post);
        }
        for post in 0..100 {
            assert!(postings.remove(9, post));
        }
        assert_eq!(postings.counts(), (0, 0));
        assert!(!postings.remove(9, 1));
    }

    #[test]
    fn bytes_are_those_documented() {
        assert_eq!(SLOT, 33);
        let mut few = Posting::Few(Box::default());
        for post in (0..320_000).step_by(10_000) {
            few.insert(post);
        }
        assert_eq!(few.memory(), FEW * 4);
        few.insert(1);
        assert!(matches!(few, Posting::Many(_)));
        let mut dense = RoaringBitmap::new();
        dense.extend((0..131_072).step_by(2));
        assert_eq!(bitmap_bytes(&dense), 2 * (CONTAINER + BITSET));
        let array: RoaringBitmap = RoaringBitmap::from_sorted_iter(0..1024).expect("ascending");
        let bytes = bitmap_bytes(&array);
        assert!(
            (CONTAINER + 2048..=CONTAINER + 4096).contains(&bytes),
            "{bytes}"
        );
    }
}
