//! Posts: registering, reading, searching.

mod message;
mod search;

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use prost::Message;
use proto::store::v1::{
    BatchGetPostsRequest, BatchGetPostsResponse, GetPostRequest, GetPostResponse, Post, PostView,
    RegisterPostsRequest, RegisterPostsResponse, RegisteredPost, SearchPostsRequest,
    SearchPostsResponse, post_service_server::PostService,
};
use store_core::{PostId, Store, post};
use tonic::{Request, Response, Status};

use super::{ANSWER, Door, at_most, hash, refuse};
use crate::Error;
use message::Reader;
use search::Search;

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
        let registered = registered.into_iter().flatten().map(|told| match told {
            post::Registered::Post { id, created } => RegisteredPost {
                name: format!("posts/{id}"),
                created,
                rejected: false,
            },
            post::Registered::Rejected => RegisteredPost {
                rejected: true,
                ..RegisteredPost::default()
            },
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
        let search = Search::read(request.into_inner()).map_err(refuse)?;
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
}

/// Which post is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    Id(PostId),
    Sha256([u8; 32]),
    Md5([u8; 16]),
}

impl Wanted {
    /// Reads `posts/123`, `posts/sha256:…` or `posts/md5:…`.
    pub(super) fn read(name: &str) -> Result<Self, Error> {
        if let Some(text) = name.strip_prefix("posts/sha256:") {
            return Ok(Self::Sha256(hash("name", text)?));
        }
        if let Some(text) = name.strip_prefix("posts/md5:") {
            return Ok(Self::Md5(hash("name", text)?));
        }
        Ok(Self::Id(kit::id::parse("posts/", name)?))
    }

    /// The number of the post, which need not exist.
    pub(super) fn find(self, store: &Store) -> Result<Option<PostId>, Error> {
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
