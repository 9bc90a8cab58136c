//! Posts: registering, reading, searching.

mod message;

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use prost::Message;
use proto::store::v1::{
    BatchGetPostsRequest, BatchGetPostsResponse, GetPostRequest, GetPostResponse, Post, PostView,
    RegisterPostsRequest, RegisterPostsResponse, RegisteredPost, SearchPostsRequest,
    SearchPostsResponse, post_service_server::PostService,
};
use store_core::{
    PostId, Store,
    index::Cursor,
    post,
    query::{Plan, Query},
};
use tonic::{Request, Response, Status};

use super::{ANSWER, Door, at_most, hash, page, refuse};
use crate::Error;
use message::Reader;

/// Posts in one request of a group, so that it holds the thread for milliseconds only.
const SLICE: usize = 64;
/// Most names in one BatchGetPosts.
const MAX_NAMES: usize = 1_000;
/// Reading posts holds the thread for about this long at once.
const HELD: Duration = Duration::from_millis(8);

#[tonic::async_trait]
impl PostService for Door {
    async fn register_posts(
        &self,
        request: Request<RegisterPostsRequest>,
    ) -> Result<Response<RegisterPostsResponse>, Status> {
        let posts = request.into_inner().posts;
        at_most("posts", posts.len(), post::MAX_REGISTER).map_err(refuse)?;
        let trace = kit::trace::current().map_or_else(String::new, |trace| trace.to_string());
        // All of them are looked at before any of them is taken.
        let posts: Vec<post::NewPost> = posts
            .into_iter()
            .enumerate()
            .map(|(index, post)| message::new_post(&format!("posts[{index}]"), post, &trace))
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        let slices = posts.chunks(SLICE).map(|slice| {
            let slice = slice.to_vec();
            self.engine
                .write(move |write, now| write.register_posts(&slice, now))
        });
        let registered = try_join_all(slices).await.map_err(refuse)?;
        let registered = registered.into_iter().flatten().map(|post| RegisteredPost {
            name: format!("posts/{}", post.id),
            created: post.created,
            ..RegisteredPost::default()
        });
        Ok(Response::new(RegisterPostsResponse {
            posts: registered.collect(),
        }))
    }

    async fn get_post(
        &self,
        request: Request<GetPostRequest>,
    ) -> Result<Response<GetPostResponse>, Status> {
        let GetPostRequest { name, view } = request.into_inner();
        let wanted = Wanted::read(&name).map_err(refuse)?;
        let full = is_full("view", view, true).map_err(refuse)?;
        let read = self.engine.read(move |store, now| {
            let found = wanted.find(store)?;
            let mut reader = Reader::new(store, now, full)?;
            let post = match found {
                Some(id) => reader.post(id)?,
                None => None,
            };
            post.ok_or_else(|| store_core::Error::NotFound { noun: "post", name }.into())
        });
        Ok(Response::new(GetPostResponse {
            post: Some(read.await.map_err(refuse)?),
        }))
    }

    async fn batch_get_posts(
        &self,
        request: Request<BatchGetPostsRequest>,
    ) -> Result<Response<BatchGetPostsResponse>, Status> {
        let BatchGetPostsRequest { names, view } = request.into_inner();
        at_most("names", names.len(), MAX_NAMES).map_err(refuse)?;
        let full = is_full("view", view, false).map_err(refuse)?;
        let ids: Vec<PostId> = names
            .iter()
            .map(|name| kit::id::parse("posts/", name))
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        let found = self.posts(&ids, full).await.map_err(refuse)?;
        let mut response = BatchGetPostsResponse::default();
        for (post, name) in found.into_iter().zip(names) {
            match post {
                Some(post) => response.posts.push(post),
                None => response.missing.push(name),
            }
        }
        Ok(Response::new(response))
    }

    async fn search_posts(
        &self,
        request: Request<SearchPostsRequest>,
    ) -> Result<Response<SearchPostsResponse>, Status> {
        let search = Search::read(&request.into_inner()).map_err(refuse)?;
        Ok(Response::new(self.search(search).await.map_err(refuse)?))
    }
}

impl Door {
    /// The posts of these numbers in their order, `None` for those that do not exist. Read in
    /// slices, so that a thousand full posts do not hold the thread.
    async fn posts(&self, ids: &[PostId], full: bool) -> Result<Vec<Option<Post>>, Error> {
        let mut posts = Vec::with_capacity(ids.len());
        let mut bytes = 0;
        while posts.len() < ids.len() {
            let rest = ids[posts.len()..].to_vec();
            let slice = self.engine.read(move |store, now| {
                let mut reader = Reader::new(store, now, full)?;
                let started = Instant::now();
                let mut slice = Vec::new();
                for id in rest {
                    slice.push(reader.post(id)?);
                    if started.elapsed() > HELD {
                        break;
                    }
                }
                Ok(slice)
            });
            for post in slice.await? {
                bytes += post.as_ref().map_or(0, Message::encoded_len);
                posts.push(post);
            }
            if bytes > ANSWER {
                return Err(Error::AnswerTooLarge { limit: ANSWER });
            }
        }
        Ok(posts)
    }

    /// One page, read in slices. Each slice goes on from the cursor of the one before, so what is
    /// added or removed in between shifts nothing.
    async fn search(&self, mut search: Search) -> Result<SearchPostsResponse, Error> {
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

/// A search under way.
#[derive(Debug, Clone)]
struct Search {
    query: Query,
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
    fn read(request: &SearchPostsRequest) -> Result<Self, Error> {
        let after = match page::bytes(&request.page_token)? {
            Some(bytes) => Some(Cursor::from_bytes(&bytes)?),
            None => None,
        };
        Ok(Self {
            query: request.query.parse()?,
            after,
            left: page::size(request.page_size, 100, 1_000)? as usize,
            full: is_full("view", request.view, false)?,
        })
    }

    /// As many posts of the page as can be read in a few milliseconds and `room` bytes, at least
    /// one.
    fn slice(&self, store: &Store, mut reader: Reader<'_>, room: usize) -> Result<Slice, Error> {
        let plan = self.query.plan(store.tags())?;
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
        Ok(store.index().search(plan, after, limit, None)?)
    }
}

/// Which post is asked for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Id(PostId),
    Sha256([u8; 32]),
    Md5([u8; 16]),
}

impl Wanted {
    fn read(name: &str) -> Result<Self, Error> {
        if let Some(text) = name.strip_prefix("posts/sha256:") {
            return Ok(Self::Sha256(hash("name", text)?));
        }
        if let Some(text) = name.strip_prefix("posts/md5:") {
            return Ok(Self::Md5(hash("name", text)?));
        }
        Ok(Self::Id(kit::id::parse("posts/", name)?))
    }

    fn find(self, store: &Store) -> Result<Option<PostId>, Error> {
        Ok(match self {
            Self::Id(id) => Some(id),
            Self::Sha256(sha256) => store.post_by_sha256(&sha256)?,
            Self::Md5(md5) => store.post_by_md5(&md5)?,
        })
    }
}

fn is_full(field: &str, view: i32, default: bool) -> Result<bool, Error> {
    match PostView::try_from(view) {
        Ok(PostView::Unspecified) => Ok(default),
        Ok(PostView::Basic) => Ok(false),
        Ok(PostView::Full) => Ok(true),
        Err(_) => Err(Error::field(field, &view, "a PostView")),
    }
}
