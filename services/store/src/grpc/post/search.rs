//! Searching, a page at a time and in slices.

use std::{sync::Arc, time::Instant};

use prost::Message;
use proto::store::v1::{Post, SearchPostsRequest, SearchPostsResponse};
use store_core::{
    Store,
    index::{Cursor, PostSet},
    query::{Plan, Query},
};

use super::{HELD, Reader, is_full};
use crate::{
    Error,
    grpc::{ANSWER, Door, page},
};

/// A search under way.
#[derive(Debug, Clone)]
pub(super) struct Search {
    query: Query,
    within: Option<Arc<PostSet>>,
    after: Option<Cursor>,
    /// Posts still wanted.
    left: usize,
    full: bool,
}

/// What one slice of a search found.
struct Slice {
    posts: Vec<Post>,
    bytes: usize,
    total: u64,
    next: Option<Cursor>,
}

impl Search {
    pub(super) fn read(request: SearchPostsRequest) -> Result<Self, Error> {
        let ranked = request.within.as_ref().is_some_and(|set| set.keep_order);
        let query = match ranked {
            true => Query::of_ranked(&request.query)?,
            false => request.query.parse()?,
        };
        let within = match request.within {
            Some(set) => Some(Arc::new(PostSet::new(set.ids, set.keep_order)?)),
            None => None,
        };
        let after = match page::bytes(&request.page_token)? {
            Some(bytes) => Some(Cursor::from_bytes(&bytes)?),
            None => None,
        };
        Ok(Self {
            query,
            within,
            after,
            left: page::size(request.page_size, 100, 1_000)? as usize,
            full: is_full("view", request.view, false)?,
        })
    }

    /// As many posts of the page as can be read in a few milliseconds and `room` bytes, at least
    /// one.
    fn slice(&self, store: &Store, mut reader: Reader<'_>, room: usize) -> Result<Slice, Error> {
        let mut plan = self.query.plan(store.tags())?;
        if let Some(set) = &self.within {
            plan = plan.bound_to(set.fingerprint());
        }
        let found = self.find(store, &plan, self.left)?;
        let started = Instant::now();
        let mut slice = Slice {
            posts: Vec::with_capacity(found.ids.len()),
            bytes: 0,
            total: found.total,
            next: found.next,
        };
        for (index, &id) in found.ids.iter().enumerate() {
            if let Some(post) = reader.post(id)? {
                slice.bytes += post.encoded_len();
                slice.posts.push(post);
            }
            let enough = slice.bytes > room / 2 || started.elapsed() > HELD;
            if enough && index + 1 < found.ids.len() {
                // The cursor of this shorter page: the same search, ended here.
                slice.next = self.find(store, &plan, index + 1)?.next;
                break;
            }
        }
        Ok(slice)
    }

    fn find(
        &self,
        store: &Store,
        plan: &Plan,
        limit: usize,
    ) -> Result<store_core::index::Page, Error> {
        let after = self.after.as_ref();
        let index = store.index();
        Ok(match &self.within {
            Some(set) => index.search_set(plan, after, limit, set)?,
            None => index.search(plan, after, limit, None)?,
        })
    }
}

impl Door {
    /// One page, read in slices. Each slice goes on from the cursor of the one before, so what is
    /// added or removed in between shifts nothing.
    pub(super) async fn search(&self, mut search: Search) -> Result<SearchPostsResponse, Error> {
        let mut response = SearchPostsResponse::default();
        let mut bytes = 0;
        loop {
            let slice = search.clone();
            let slice = self
                .engine
                .read(move |store, now| {
                    let reader = Reader::new(store, now, slice.full)?;
                    slice.slice(store, reader, ANSWER - bytes)
                })
                .await?;
            bytes += slice.bytes;
            search.left -= slice.posts.len();
            search.after = slice.next;
            response.posts.extend(slice.posts);
            response.total_size = slice.total;
            let full = search.left == 0 || bytes > ANSWER / 2;
            match slice.next {
                Some(_) if !full => {}
                next => {
                    let token = |cursor: Cursor| page::token(&cursor.to_bytes());
                    response.next_page_token = next.map(token).unwrap_or_default();
                    return Ok(response);
                }
            }
        }
    }
}
