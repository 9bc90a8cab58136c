//! The trash, and content that was rejected.

use std::collections::HashSet;

use prost::Message;
use proto::store::v1::{
    AllowRejectedRequest, AllowRejectedResponse, ListRejectedRequest, ListRejectedResponse,
    PurgePostsRequest, PurgePostsResponse, RejectedContent, RestorePostsRequest,
    RestorePostsResponse, TrashPostsRequest, TrashPostsResponse,
    trash_service_server::TrashService,
};
use store_core::{
    PostId,
    rejected::{self, Rejected},
    trash,
};
use tonic::{Request, Response, Status};

use super::{ANSWER, Door, at_most, hash, location::Roots, page, refuse, timestamp};
use crate::Error;

/// Pages of the rejected contents.
const LIST: [u8; 6] = *b"reject";
/// Contents in one request of a group: of each, all places are written.
const ALLOWED: usize = 50;

#[tonic::async_trait]
impl TrashService for Door {
    async fn trash_posts(
        &self,
        request: Request<TrashPostsRequest>,
    ) -> Result<Response<TrashPostsResponse>, Status> {
        let posts = posts(&request.into_inner().names).map_err(refuse)?;
        let write = self
            .engine
            .write(move |write, now| write.trash_posts(&posts, now));
        let purge_ms = write.await.map_err(refuse)?;
        Ok(Response::new(TrashPostsResponse {
            purge_time: purge_ms.and_then(timestamp),
        }))
    }

    async fn restore_posts(
        &self,
        request: Request<RestorePostsRequest>,
    ) -> Result<Response<RestorePostsResponse>, Status> {
        let posts = posts(&request.into_inner().names).map_err(refuse)?;
        let write = self
            .engine
            .write(move |write, _| write.restore_posts(&posts));
        write.await.map_err(refuse)?;
        Ok(Response::new(RestorePostsResponse {}))
    }

    async fn purge_posts(
        &self,
        request: Request<PurgePostsRequest>,
    ) -> Result<Response<PurgePostsResponse>, Status> {
        let posts = posts(&request.into_inner().names).map_err(refuse)?;
        let mut posts = Some(posts);
        loop {
            let first = posts.take();
            let write = self.engine.write(move |write, now| match &first {
                Some(posts) => write.purge_posts(posts, now),
                None => write.purge_ended(now),
            });
            if !write.await.map_err(refuse)? {
                break;
            }
        }
        Ok(Response::new(PurgePostsResponse {}))
    }

    async fn list_rejected(
        &self,
        request: Request<ListRejectedRequest>,
    ) -> Result<Response<ListRejectedResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size, 100, 1_000).map_err(refuse)?;
        let before = match page::Place::read(&request.page_token).map_err(refuse)? {
            Some(place) if place.list == LIST => Some(place.after),
            Some(_) => return Err(refuse(page::bad(&request.page_token))),
            None => None,
        };
        let read = self.engine.read(move |store, now| {
            let roots = Roots::read(store, now)?;
            let contents = store.rejected(before, size)?;
            // Paths may be long: the page ends where clients would refuse it.
            let (mut told, mut bytes) = (Vec::new(), 0);
            for content in &contents {
                let one = message(content, &roots);
                bytes += one.encoded_len();
                if bytes > ANSWER && !told.is_empty() {
                    break;
                }
                told.push(one);
            }
            let more = told.len() < contents.len() || contents.len() == size as usize;
            let last = contents[..told.len()].last().filter(|_| more);
            let next = last.map(|last| page::Place {
                list: LIST,
                after: last.id,
            });
            Ok(ListRejectedResponse {
                next_page_token: next.map_or_else(String::new, page::Place::token),
                contents: told,
            })
        });
        Ok(Response::new(read.await.map_err(refuse)?))
    }

    async fn allow_rejected(
        &self,
        request: Request<AllowRejectedRequest>,
    ) -> Result<Response<AllowRejectedResponse>, Status> {
        let texts = request.into_inner().sha256s;
        at_most("contents", texts.len(), rejected::MAX_ALLOWED).map_err(refuse)?;
        let contents: Vec<[u8; 32]> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| hash(&format!("sha256s[{index}]"), text))
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        let mut allowed = 0;
        for slice in contents.chunks(ALLOWED) {
            let slice = slice.to_vec();
            let write = self
                .engine
                .write(move |write, now| write.allow_rejected(&slice, now));
            allowed += write.await.map_err(refuse)?;
        }
        Ok(Response::new(AllowRejectedResponse { allowed }))
    }
}

/// Numbers of posts, each of which comes once.
fn posts(names: &[String]) -> Result<Vec<PostId>, Error> {
    at_most("posts", names.len(), trash::MAX_POSTS)?;
    let mut seen = HashSet::with_capacity(names.len());
    names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let id: PostId = kit::id::parse("posts/", name)?;
            match seen.insert(id) {
                true => Ok(id),
                false => {
                    let rule = "each post comes once";
                    Err(Error::field(format!("names[{index}]"), name, rule))
                }
            }
        })
        .collect()
}

fn message(content: &Rejected, roots: &Roots) -> RejectedContent {
    let places = content.places.iter();
    RejectedContent {
        sha256: kit::hex::encode(&content.sha256),
        reject_time: timestamp(content.rejected_ms),
        display_paths: places
            .map(|(root, path)| roots.display(*root, path))
            .collect(),
    }
}
