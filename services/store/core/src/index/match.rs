//! Matching: answers with numbers of posts and with scores, for those who go on with them.

mod tags;

use std::ops::Bound;

use roaring::RoaringBitmap;

use super::Index;
use crate::PostId;
use crate::query::Plan;

pub use tags::{Matches, Question, TagMatch, TagMatching};

/// The posts that a query found at one moment: at most 1 bit a post of the library, and less for
/// few. Holding it keeps nothing else from changing.
#[derive(Debug, Clone, PartialEq)]
pub struct Found(RoaringBitmap);

impl Found {
    /// The first `limit` posts after `after`, ascending.
    pub fn page(&self, after: Option<PostId>, limit: usize) -> Vec<PostId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.range((from, Bound::Unbounded)).take(limit).collect()
    }

    /// Whether a post is among them.
    pub fn contains(&self, post: PostId) -> bool {
        self.0.contains(post)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<PostId> for Found {
    fn from_iter<I: IntoIterator<Item = PostId>>(posts: I) -> Self {
        Self(posts.into_iter().collect())
    }
}

impl Index {
    /// Whether a post is there and not in the trash.
    pub fn is_live(&self, post: PostId) -> bool {
        self.live.contains(post)
    }

    /// All posts of `plan`. Takes as long as the first page of a search.
    pub fn find(&self, plan: &Plan) -> Found {
        Found(self.found(plan, None).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Found;
    use crate::PostId;

    #[test]
    fn what_is_found_is_told_page_by_page_without_gaps_or_doubles() {
        let posts: BTreeSet<PostId> = (0..1_000).map(|n| n * 97 + n % 13).collect();
        let found = posts.iter().copied().collect::<Found>();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = found.page(after, 33);
            let Some(&last) = page.last() else { break };
            after = Some(last);
            seen.extend(page);
        }
        assert_eq!(seen, posts.into_iter().collect::<Vec<_>>());
        assert_eq!(found.len(), 1_000);
        assert_eq!(
            std::iter::once(PostId::MAX)
                .collect::<Found>()
                .page(Some(PostId::MAX), 9),
            []
        );
    }
}
