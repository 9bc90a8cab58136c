//! Sets of posts that a search is restricted to, and perhaps ordered by: what look-alike search
//! found, what a person chose.
//!
//! A set costs 4 bytes a post for its order, and at most 2 for its bitmap.

use roaring::RoaringBitmap;

use super::{Cursor, CursorError, Index, Order, Page};
use crate::error::at_most;
use crate::query::Plan;
use crate::{Error, PostId};

/// Most posts in a set.
pub const MAX_SET: usize = 100_000;

/// Posts, each once.
#[derive(Debug, Clone, PartialEq)]
pub struct PostSet {
    /// In the order given, which is the order of the results; `None` if the query's order counts.
    ranked: Option<Vec<PostId>>,
    members: RoaringBitmap,
    fingerprint: u64,
}

impl PostSet {
    /// A set of at most [`MAX_SET`] posts, which need not exist; `keep_order` to get results in
    /// the order of `ids`. Takes milliseconds for a large one.
    ///
    /// # Errors
    /// If there are too many, or one comes twice.
    pub fn new(ids: Vec<PostId>, keep_order: bool) -> Result<Self, Error> {
        at_most("posts in the set", ids.len(), MAX_SET)?;
        // In order: a bitmap moves half of its containers for every one that comes in between.
        let mut ascending = ids.clone();
        ascending.sort_unstable();
        if let Some(pair) = ascending.windows(2).find(|pair| pair[0] == pair[1]) {
            let rule = "each post of a set comes once";
            return Err(Error::invalid("post number", &pair[0], rule));
        }
        let members: RoaringBitmap = ascending.into_iter().collect();
        let ranked = keep_order.then_some(ids);
        let fingerprint = match &ranked {
            Some(ids) => fingerprint(b'r', ids.iter().copied()),
            None => fingerprint(b's', members.iter()),
        };
        Ok(Self {
            ranked,
            members,
            fingerprint,
        })
    }

    /// The same for the same set in every process: page tokens belong to it.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// FNV-1a, 64 bits, over little-endian numbers.
fn fingerprint(kind: u8, ids: impl Iterator<Item = PostId>) -> u64 {
    let bytes = ids.flat_map(PostId::to_le_bytes);
    std::iter::once(kind)
        .chain(bytes)
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

impl Index {
    /// The posts of `plan` that are in `set`, as [`Index::search`] returns them. The plan must be
    /// bound to the set ([`Plan::bound_to`]), so that its cursors are refused with another one.
    ///
    /// # Errors
    /// [`CursorError::OtherQuery`] when `after` came from another query or set.
    pub fn search_set(
        &self,
        plan: &Plan,
        after: Option<&Cursor>,
        limit: usize,
        set: &PostSet,
    ) -> Result<Page, CursorError> {
        match &set.ranked {
            Some(ranked) => {
                let found = self.found(plan, Some(&set.members));
                first_by_rank(&found, plan, ranked, after, limit)
            }
            None => self.search(plan, after, limit, Some(&set.members)),
        }
    }
}

/// The first `limit` posts after `after` in the order of `ranked`. A cursor names the last post
/// returned: its rank follows from the set, to which the cursor is bound.
fn first_by_rank(
    found: &RoaringBitmap,
    plan: &Plan,
    ranked: &[PostId],
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Page, CursorError> {
    let rest = match after {
        Some(cursor) => {
            cursor.belongs_to(plan)?;
            let rank = ranked.iter().position(|&id| id == cursor.id);
            let rank = rank.ok_or(CursorError::Malformed {
                length: Cursor::BYTES,
            })?;
            &ranked[rank + 1..]
        }
        None => ranked,
    };
    let mut matching = rest.iter().copied().filter(|&id| found.contains(id));
    let ids: Vec<PostId> = matching.by_ref().take(limit).collect();
    let more = limit > 0 && matching.next().is_some();
    let next = ids.last().filter(|_| more).map(|&id| Cursor {
        order: Order::default(),
        fingerprint: plan.fingerprint(),
        key: 0,
        id,
    });
    Ok(Page {
        ids,
        total: found.len(),
        next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{PostDelta, Standing};
    use crate::query::Query;
    use crate::tag::TagTable;

    fn index() -> Index {
        let mut index = Index::new();
        for post in 1..=20 {
            index.apply(&PostDelta {
                post,
                added: Vec::new(),
                removed: Vec::new(),
                columns: None,
                rating: None,
                standing: match post {
                    7 => Standing::Trashed,
                    9 => Standing::Gone,
                    _ => Standing::Live,
                },
            });
        }
        index
    }

    fn plan(query: &str, set: &PostSet) -> Plan {
        let query: Query = query.parse().unwrap();
        let plan = query.plan(&TagTable::default()).unwrap();
        plan.bound_to(set.fingerprint())
    }

    #[test]
    fn a_ranked_set_comes_in_its_order_page_by_page_and_only_what_is_there() {
        let index = index();
        let set = PostSet::new(vec![12, 3, 99, 7, 18, 9, 1, 5], true).unwrap();
        let plan = plan("id:2..", &set);
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = index.search_set(&plan, after.as_ref(), 2, &set).unwrap();
            assert_eq!(page.total, 4);
            seen.extend(page.ids);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, [12, 3, 18, 5]);
        let counted = index.search_set(&plan, None, 0, &set).unwrap();
        assert_eq!(
            (counted.ids.len(), counted.total, counted.next),
            (0, 4, None)
        );
    }

    #[test]
    fn a_cursor_belongs_to_its_set_and_its_order() {
        let index = index();
        let ids = vec![4, 2, 6, 8];
        let set = PostSet::new(ids.clone(), true).unwrap();
        let page = index.search_set(&plan("", &set), None, 1, &set).unwrap();
        let cursor = page.next.unwrap();
        let others = [
            PostSet::new(ids.clone(), false).unwrap(),
            PostSet::new(vec![2, 4, 6, 8], true).unwrap(),
            PostSet::new(vec![4, 2, 6], true).unwrap(),
            PostSet::new(Vec::new(), true).unwrap(),
        ];
        for other in others {
            let refused = index.search_set(&plan("", &other), Some(&cursor), 1, &other);
            let refused = refused.unwrap_err();
            assert!(
                matches!(refused, CursorError::OtherQuery { .. }),
                "{other:?}: {refused}"
            );
        }
        let again = PostSet::new(ids, true).unwrap();
        let page = index.search_set(&plan("", &again), Some(&cursor), 1, &again);
        assert_eq!(page.unwrap().ids, [2]);
    }

    #[test]
    fn an_unranked_set_is_the_same_however_it_is_written() {
        let one = PostSet::new(vec![3, 1, 2], false).unwrap();
        let other = PostSet::new(vec![1, 2, 3], false).unwrap();
        assert_eq!(one, other);
        let index = index();
        let page = index.search_set(&plan("order:oldest", &one), None, 9, &one);
        assert_eq!(page.unwrap().ids, [1, 2, 3]);
        let nothing = PostSet::new(Vec::new(), false).unwrap();
        let page = index.search_set(&plan("", &nothing), None, 9, &nothing);
        assert_eq!(page.unwrap().total, 0);
    }

    #[test]
    fn numbers_scattered_over_the_whole_range_make_a_set_as_fast_as_others() {
        // An odd factor scatters numbers and keeps them apart.
        let ids = (0..MAX_SET as u32).map(|n| n.wrapping_mul(2_654_435_761));
        let started = std::time::Instant::now();
        let set = PostSet::new(ids.collect(), true).unwrap();
        let took = started.elapsed();
        assert_eq!(set.members.len(), MAX_SET as u64);
        assert!(took < std::time::Duration::from_millis(500), "{took:?}");
    }

    #[test]
    fn sets_with_a_post_twice_and_sets_too_large_are_refused() {
        for (ids, repeated) in [
            (vec![1, 2, 1], 1),
            (vec![u32::MAX, 7, 0, u32::MAX], u32::MAX),
        ] {
            let twice = PostSet::new(ids, true).unwrap_err().to_string();
            assert!(twice.contains(&format!("\"{repeated}\"")), "{twice}");
        }
        let many = (0..=MAX_SET as u32).collect();
        let many = PostSet::new(many, false).unwrap_err();
        assert!(matches!(many, Error::TooMany { .. }), "{many}");
    }
}
