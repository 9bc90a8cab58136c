//! The feed as a stream: pages of state, then what is committed from now on.
//!
//! A message comes at once when a change is committed or another embedding model serves. Nothing is
//! queued for a follower. It reads the next page from the store when it has taken the
//! last one, so a slow one costs no memory and only sees a post's last change.

use std::time::Duration;

use futures_util::stream;
use kit::Shutdown;
use proto::store::v1::{
    Change, Cursor, WatchChangesRequest, WatchChangesResponse, feed_service_server::FeedService,
};
use store_core::{ModelId, feed};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::{Answers, Door, model, refuse};
use crate::{
    Error,
    engine::{Engine, Head},
};

/// Changes in one page.
const PAGE: u32 = 500;
/// A follower hears something at least this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

#[tonic::async_trait]
impl FeedService for Door {
    type WatchChangesStream = Answers<WatchChangesResponse>;

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let request = request.into_inner();
        let mut follower = Follower {
            engine: self.engine.clone(),
            shutdown: self.shutdown.clone(),
            committed: self.engine.feed(),
            cursor: request.cursor.map(cursor),
            until_now: request.until_now,
            embed_model: None,
            state: State::Behind,
        };
        // A cursor that is refused is an error of the call, not of the stream.
        let first = follower.page().await.map_err(refuse)?;
        let rest = stream::unfold(follower, |mut follower| async move {
            let page = follower.next().await?;
            Some((page.map_err(refuse), follower))
        });
        let first = stream::iter([Ok(first)]);
        Ok(Response::new(Box::pin(futures_util::StreamExt::chain(
            first, rest,
        ))))
    }
}

/// One who follows.
struct Follower {
    engine: Engine,
    shutdown: Shutdown,
    committed: watch::Receiver<Head>,
    /// `None` until the first page: the beginning, in the present epoch.
    cursor: Option<feed::Cursor>,
    until_now: bool,
    /// The embedding model, as told last.
    embed_model: Option<ModelId>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// More is there already.
    Behind,
    /// Everything there was has been told.
    Abreast,
    /// An error has been told; nothing follows it.
    Over,
}

impl Follower {
    /// The next message; `None` at the end.
    async fn next(&mut self) -> Option<Result<WatchChangesResponse, Error>> {
        if self.state == State::Over || (self.until_now && self.state == State::Abreast) {
            return None;
        }
        if self.state == State::Abreast {
            let seen = self.cursor.map_or(0, |cursor| cursor.seq);
            let told = self.embed_model;
            let news = |head: &Head| head.seq > seen || head.embed_model != told;
            tokio::select! {
                () = self.shutdown.begun() => return None,
                () = tokio::time::sleep(SIGN_OF_LIFE) => {}
                changed = self.committed.wait_for(news) => {
                    // The engine has ended: so does the stream.
                    changed.ok()?;
                }
            }
        }
        let page = match self.shutdown.is_begun() {
            // Who asked for all there is would take an end for that.
            true if self.until_now => Err(Error::Stopping),
            true => return None,
            false => self.page().await,
        };
        if page.is_err() {
            self.state = State::Over;
        }
        Some(page)
    }

    async fn page(&mut self) -> Result<WatchChangesResponse, Error> {
        let cursor = self.cursor;
        let read = self.engine.read(move |store, _| {
            let beginning = feed::Cursor {
                seq: 0,
                ..store.cursor()
            };
            let page = store.changes(cursor.unwrap_or(beginning), PAGE)?;
            Ok((page, store.embed_model()?.map(|model| model.id)))
        });
        let (page, embed_model) = read.await?;
        self.cursor = Some(page.cursor);
        self.embed_model = embed_model;
        self.state = if page.more {
            State::Behind
        } else {
            State::Abreast
        };
        Ok(message(page, embed_model))
    }
}

/// A cursor as a message.
pub(super) fn cursor_message(cursor: feed::Cursor) -> Cursor {
    Cursor {
        epoch: cursor.epoch,
        seq: cursor.seq,
    }
}

fn cursor(message: Cursor) -> feed::Cursor {
    feed::Cursor {
        epoch: message.epoch,
        seq: message.seq,
    }
}

fn message(page: feed::Page, embed_model: Option<ModelId>) -> WatchChangesResponse {
    let change = |change: feed::Change| Change {
        post: format!("posts/{}", change.post),
        seq: change.seq,
        deleted: change.deleted,
        trashed: change.trashed,
    };
    WatchChangesResponse {
        changes: page.changes.into_iter().map(change).collect(),
        cursor: Some(cursor_message(page.cursor)),
        embed_model: model::optional_name(embed_model),
    }
}
