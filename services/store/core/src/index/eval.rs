//! Plan → set of posts.
//!
//! Every condition is answered *within* a set that what came before has
//! already narrowed, so a rare tag makes the rest of the query cheap and a
//! scanned condition (a number compared post by post) runs last, over what
//! remains. Bitmaps are borrowed until something has to change them.

use std::borrow::Cow;

use roaring::RoaringBitmap;

use super::Index;
use super::columns::Columns;
use crate::query::{Field, Node, Ranges, RatingSet};
use crate::{Rating, TagId};

/// When a condition of an "and" is carried out: earlier classes first, and
/// within a class the one that keeps fewest posts.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Set operations that can only keep what they hold.
    Indexed(u64),
    /// Set operations that take away.
    Excluding,
    /// Has scanned conditions somewhere inside.
    Scanned,
}

impl Index {
    /// The posts of `base` that fulfil `node`.
    pub(super) fn evaluate<'a>(
        &'a self,
        node: &Node,
        base: Cow<'a, RoaringBitmap>,
    ) -> Cow<'a, RoaringBitmap> {
        if base.is_empty() {
            return base;
        }
        match node {
            Node::And(parts) => {
                let mut parts: Vec<&Node> = parts.iter().collect();
                parts.sort_by_cached_key(|part| self.turn(part));
                parts
                    .into_iter()
                    .fold(base, |kept, part| self.evaluate(part, kept))
            }
            Node::Or(parts) => {
                let mut any = RoaringBitmap::new();
                for part in parts {
                    any |= &*self.evaluate(part, Cow::Borrowed(&base));
                }
                Cow::Owned(any)
            }
            Node::Not(part) => Cow::Owned(self.exclude(part, base)),
            Node::Tags(tags) => Cow::Owned(self.tagged(tags, base)),
            Node::Rating(ratings) => Cow::Owned(self.rated(*ratings, &base)),
            Node::Number(field, ranges) => Cow::Owned(self.measured(*field, ranges, &base)),
        }
    }

    fn exclude(&self, part: &Node, base: Cow<'_, RoaringBitmap>) -> RoaringBitmap {
        if let Node::Tags(tags) = part {
            let mut kept = base.into_owned();
            for tag in tags {
                self.postings.subtract(*tag, &mut kept);
            }
            return kept;
        }
        let out = self.evaluate(part, Cow::Borrowed(&base));
        &*base - &*out
    }

    fn tagged(&self, tags: &[TagId], base: Cow<'_, RoaringBitmap>) -> RoaringBitmap {
        match (tags, base) {
            ([], _) => RoaringBitmap::new(),
            ([tag], Cow::Borrowed(base)) => self.postings.within(*tag, base),
            ([tag], Cow::Owned(mut base)) => {
                self.postings.keep(*tag, &mut base);
                base
            }
            (tags, base) => {
                let mut any = self.postings.union(tags);
                any &= &*base;
                any
            }
        }
    }

    fn rated(&self, ratings: RatingSet, base: &RoaringBitmap) -> RoaringBitmap {
        let wanted = |rating: &&Rating| ratings.contains(Some(**rating));
        let of = |rating: &Rating| &self.ratings[usize::from(rating.code())];
        if !ratings.contains(None) {
            let mut any = RoaringBitmap::new();
            for (nth, rating) in Rating::ALL.iter().filter(wanted).enumerate() {
                match nth {
                    0 => any = base & of(rating),
                    _ => any |= base & of(rating),
                }
            }
            return any;
        }
        // Unrated posts are in no bitmap: take the unwanted ones away instead.
        let mut kept = base.clone();
        for rating in Rating::ALL.iter().filter(|rating| !wanted(rating)) {
            kept -= of(rating);
        }
        kept
    }

    fn measured(&self, field: Field, ranges: &Ranges, base: &RoaringBitmap) -> RoaringBitmap {
        let columns = |id| self.columns.get(id);
        match field {
            Field::Id => by_id(ranges, base),
            Field::Width => scan(base, ranges, |id| u64::from(columns(id).width)),
            Field::Height => scan(base, ranges, |id| u64::from(columns(id).height)),
            Field::Size => scan(base, ranges, |id| columns(id).bytes),
            Field::Pixels => scan(base, ranges, |id| Columns::pixels(columns(id))),
            Field::TagCount => scan(base, ranges, |id| u64::from(self.columns.tag_count(id))),
        }
    }

    fn turn(&self, node: &Node) -> Turn {
        if is_scanned(node) {
            return Turn::Scanned;
        }
        match node {
            Node::Not(_) => Turn::Excluding,
            _ => Turn::Indexed(self.at_most(node)),
        }
    }

    /// An upper bound on how many posts fulfil an indexed condition.
    fn at_most(&self, node: &Node) -> u64 {
        let all = self.live.len().max(self.trashed.len());
        let bound = match node {
            Node::Tags(tags) => tags.iter().map(|tag| self.postings.len(*tag)).sum(),
            Node::And(parts) => parts.iter().map(|p| self.at_most(p)).min().unwrap_or(all),
            Node::Or(parts) => parts.iter().map(|p| self.at_most(p)).sum(),
            Node::Rating(ratings) if !ratings.contains(None) => Rating::ALL
                .iter()
                .filter(|rating| ratings.contains(Some(**rating)))
                .map(|rating| self.ratings[usize::from(rating.code())].len())
                .sum(),
            Node::Rating(_) | Node::Not(_) | Node::Number(..) => all,
        };
        bound.min(all)
    }
}

fn is_scanned(node: &Node) -> bool {
    match node {
        Node::And(parts) | Node::Or(parts) => parts.iter().any(is_scanned),
        Node::Not(part) => is_scanned(part),
        Node::Number(field, _) => *field != Field::Id,
        Node::Tags(_) | Node::Rating(_) => false,
    }
}

fn by_id(ranges: &Ranges, base: &RoaringBitmap) -> RoaringBitmap {
    let mut ids = RoaringBitmap::new();
    for (low, high) in ranges.iter() {
        // Ids end at u32::MAX, ranges need not.
        if let Ok(low) = u32::try_from(low) {
            ids.insert_range(low..=u32::try_from(high).unwrap_or(u32::MAX));
        }
    }
    ids &= base;
    ids
}

fn scan(base: &RoaringBitmap, ranges: &Ranges, value: impl Fn(u32) -> u64) -> RoaringBitmap {
    let mut kept = RoaringBitmap::new();
    // Measured: seven times faster than `from_sorted_iter`.
    kept.extend(base.iter().filter(|id| ranges.contains(value(*id))));
    kept
}
