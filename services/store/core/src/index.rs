//! The search index: which posts have which tags, and enough of every post to
//! filter and sort, all in memory.
//!
//! It holds no truth: it is filled from the database at start, and every
//! committed change is applied as a [`PostDelta`]. Cost: 2 to 4 bytes an
//! association (`postings`), 10 bytes a post (`columns`) and under 1 byte a
//! post for ratings and liveness; [`Index::memory`] counts what is really held.
//! A search needs besides one bitmap a nesting level, at most 1 bit a post.

mod columns;
mod eval;
mod r#match;
mod order;
mod postings;
mod set;

use std::borrow::Cow;
use std::collections::BinaryHeap;

use roaring::RoaringBitmap;

use crate::query::{Plan, Status};
use crate::{PostId, Rating, TagId};

pub use columns::Columns;
pub use r#match::{Found, Matches, Question, TagMatch, TagMatching};
pub use order::{Cursor, CursorError, Order};
pub use set::{MAX_SET, PostSet};

use columns::Table;
use postings::{Postings, bitmap_bytes};

/// A committed change of one post. Says how things are now, so applying one
/// twice is the same as once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostDelta {
    /// Which post.
    pub post: PostId,
    /// Effective tags it has now; a tag both here and in `removed` is added.
    pub added: Vec<TagId>,
    /// Effective tags it no longer has.
    pub removed: Vec<TagId>,
    /// Its measures; `None` leaves them as they were.
    pub columns: Option<Columns>,
    /// Its effective rating, if it has one.
    pub rating: Option<Rating>,
    /// Where it stands.
    pub standing: Standing,
}

/// Whether searches may return a post. One in the trash keeps its tags here,
/// so restoring it needs no more than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Searches return it.
    Live,
    /// Only searches of the trash return it.
    Trashed,
    /// There is no such post any more.
    Gone,
}

/// One page of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Posts in the plan's order.
    pub ids: Vec<PostId>,
    /// Exact number of posts that match, over all pages, at this moment.
    pub total: u64,
    /// Where the next page begins; `None` when this is the last.
    pub next: Option<Cursor>,
}

/// What the index holds, without the allocator's own overhead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Tag postings, bytes.
    pub postings: usize,
    /// Dimensions, lengths and tag counts, bytes.
    pub columns: usize,
    /// Ratings and liveness, bytes.
    pub flags: usize,
    /// Tags with at least one post.
    pub tags: usize,
    /// Pairs of post and tag.
    pub associations: u64,
    /// Posts that searches may return.
    pub live: u64,
    /// Posts in the trash.
    pub trashed: u64,
}

/// The index of all posts.
#[derive(Default)]
pub struct Index {
    postings: Postings,
    columns: Table,
    /// By [`Rating::code`]; a post is in at most one.
    ratings: [RoaringBitmap; Rating::ALL.len()],
    live: RoaringBitmap,
    trashed: RoaringBitmap,
}

impl Index {
    /// An index of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the index agree with a committed change.
    pub fn apply(&mut self, delta: &PostDelta) {
        let post = delta.post;
        let mut tags = self.columns.tag_count(post);
        for tag in &delta.removed {
            if self.postings.remove(*tag, post) {
                tags = tags.saturating_sub(1);
            }
        }
        for tag in &delta.added {
            if self.postings.insert(*tag, post) {
                tags = tags.saturating_add(1);
            }
        }
        self.columns.set_tag_count(post, tags);
        if let Some(columns) = delta.columns {
            self.columns.set(post, columns);
        }
        for (rating, posts) in Rating::ALL.into_iter().zip(&mut self.ratings) {
            put(posts, post, delta.rating == Some(rating));
        }
        put(&mut self.live, post, delta.standing == Standing::Live);
        put(&mut self.trashed, post, delta.standing == Standing::Trashed);
    }

    /// How many posts have the tag, those in the trash included.
    pub fn tag_count(&self, tag: TagId) -> u64 {
        self.postings.len(tag)
    }

    /// The posts of `plan`, from after `after` on, at most `limit` of them, and
    /// only those in `within` if it is given. A `limit` of 0 only counts.
    ///
    /// `within` is no part of the cursor's bond to its query: a caller paging
    /// through a set uses [`Index::search_set`], which binds it.
    ///
    /// # Errors
    /// [`CursorError::OtherQuery`] when `after` came from another query.
    pub fn search(
        &self,
        plan: &Plan,
        after: Option<&Cursor>,
        limit: usize,
        within: Option<&RoaringBitmap>,
    ) -> Result<Page, CursorError> {
        let order = plan.order();
        if let Some(cursor) = after {
            cursor.belongs_to(plan)?;
        }
        let found = self.found(plan, within);
        let (ids, more) = if limit == 0 {
            (Vec::new(), false)
        } else if order.is_by_id() {
            first_by_id(&found, order, after, limit)
        } else {
            self.first_by_key(&found, order, after, limit)
        };
        let next = ids.last().filter(|_| more).map(|&id| Cursor {
            order,
            fingerprint: plan.fingerprint(),
            key: order.key(self.columns.get(id)),
            id,
        });
        Ok(Page {
            ids,
            total: found.len(),
            next,
        })
    }

    /// The posts that `plan` finds, only those in `within` if it is given.
    fn found(&self, plan: &Plan, within: Option<&RoaringBitmap>) -> Cow<'_, RoaringBitmap> {
        let all = match plan.status() {
            Status::Active => &self.live,
            Status::Trash => &self.trashed,
        };
        let base = match within {
            Some(set) => Cow::Owned(all & set),
            None => Cow::Borrowed(all),
        };
        self.evaluate(plan.root(), base)
    }

    /// The first `limit` posts after `after` by the order's key, and whether
    /// there are more: one pass over `found`, holding `limit` + 1 places.
    fn first_by_key(
        &self,
        found: &RoaringBitmap,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> (Vec<PostId>, bool) {
        let after = after.map(|cursor| order.place(cursor.key, cursor.id));
        let mut first: BinaryHeap<(u64, u32)> = BinaryHeap::new();
        let mut more = false;
        for id in found {
            let place = order.place(order.key(self.columns.get(id)), id);
            if after.is_some_and(|after| place <= after) {
                continue;
            }
            if first.len() < limit {
                first.push(place);
                continue;
            }
            more = true;
            if let Some(mut last) = first.peek_mut()
                && place < *last
            {
                *last = place;
            }
        }
        let places = first.into_sorted_vec();
        let ids = places.into_iter().map(|place| order.at_place(place).1);
        (ids.collect(), more)
    }

    /// Counts what is held. Visits every tag: for a status page, not a loop.
    pub fn memory(&self) -> Memory {
        let (tags, associations) = self.postings.counts();
        Memory {
            postings: self.postings.memory(),
            columns: self.columns.memory(),
            flags: bitmap_bytes(&self.live)
                + bitmap_bytes(&self.trashed)
                + self.ratings.iter().map(bitmap_bytes).sum::<usize>(),
            tags,
            associations,
            live: self.live.len(),
            trashed: self.trashed.len(),
        }
    }
}

/// A summary: the whole would be millions of ids.
impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Index").field(&self.memory()).finish()
    }
}

fn put(set: &mut RoaringBitmap, post: PostId, member: bool) {
    if member {
        set.insert(post);
    } else {
        set.remove(post);
    }
}

fn first_by_id(
    found: &RoaringBitmap,
    order: Order,
    after: Option<&Cursor>,
    limit: usize,
) -> (Vec<PostId>, bool) {
    let take = |posts: &mut dyn Iterator<Item = PostId>| -> (Vec<PostId>, bool) {
        let ids = posts.take(limit).collect();
        (ids, posts.next().is_some())
    };
    match (order, after.map(|cursor| cursor.id)) {
        (Order::Newest, None) => take(&mut found.iter().rev()),
        (Order::Newest, Some(id)) => take(&mut found.range(..id).rev()),
        (_, None) => take(&mut found.iter()),
        (_, Some(id)) => {
            let mut rest = found.range(id..);
            if found.contains(id) {
                rest.next();
            }
            take(&mut rest)
        }
    }
}

#[cfg(test)]
mod tests;
