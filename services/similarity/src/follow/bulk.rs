//! Reading everything: at the first start, after the store was replaced, and again for the vectors
//! of another model.
//!
//! An interruption costs nothing: reading goes on after the last post. The cursor becomes the one
//! that the *first* message named, so that whatever changed while this went on comes again in the
//! feed. For another model it stays where it was, for the same reason.

use std::sync::Arc;

use kit::hex;
use proto::store::v1::StreamEmbeddingsResponse;

use super::{Follower, Trouble, entries};
use crate::index::{Model, PostId};
use crate::live::{Live, View};
use crate::snapshot::Position;

/// What is being read, and how far that is.
#[derive(Debug, Clone)]
pub(super) struct Bulk {
    /// Name of the model; `None` for the one that counts, until the store has said which.
    model: Option<String>,
    /// Where the feed stood when it began.
    start: Option<Position>,
    /// Whether the index is filled for the first time.
    first: bool,
    /// The last post read.
    after: Option<PostId>,
}

impl Bulk {
    /// Everything, into an empty index.
    pub(super) fn first() -> Self {
        Self {
            model: None,
            start: None,
            first: true,
            after: None,
        }
    }

    /// Everything again, with vectors of another model.
    pub(super) fn again(model: &str) -> Self {
        Self {
            model: Some(model.to_owned()),
            first: false,
            ..Self::first()
        }
    }
}

impl Follower {
    /// Reads what `self.bulk` says, to the end.
    pub(super) async fn read(&mut self) -> Result<(), Trouble> {
        loop {
            let Some(mut bulk) = self.bulk.clone() else {
                return Ok(());
            };
            // Another store may not even know the model that is asked for.
            if let Some(from) = bulk.start.or(self.live.standing().cursor) {
                self.see_head(from).await?;
            }
            let model = bulk.model.clone().unwrap_or_default();
            let mut stream = self.store.stream(&model, bulk.after).await?;
            let (mut messages, mut posts) = (0_u64, 0);
            while let Some(message) = self.next(&mut stream).await? {
                messages += 1;
                posts += message.embeddings.len();
                self.take(&mut bulk, message).await?;
                self.bulk = Some(bulk.clone());
                self.readiness.tell(&self.live.standing());
            }
            if messages == 0 {
                return Err(Trouble::Ended);
            }
            // A store that stops also ends the stream in order: only one that has nothing more to
            // say has said everything.
            if posts == 0 {
                return self.complete(&bulk).await;
            }
        }
    }

    async fn take(
        &mut self,
        bulk: &mut Bulk,
        message: StreamEmbeddingsResponse,
    ) -> Result<(), Trouble> {
        let cursor = entries::position(message.cursor)?;
        match bulk.start {
            None => self.begin(bulk, cursor, &message.model).await?,
            Some(start) if start.epoch != cursor.epoch => return Err(Trouble::Resync),
            Some(_) => {}
        }
        let model = bulk.model.clone().unwrap_or_default();
        if !model.is_empty() && message.model != model {
            let got = message.model;
            return Err(Trouble::Broken(format!(
                "streams vectors of {got:?} where {model:?} was asked for"
            )));
        }
        let found = entries::read(message.embeddings, !model.is_empty())?;
        let ascending = found.iter().try_fold(bulk.after, |last, entry| {
            (Some(entry.post) > last).then_some(Some(entry.post))
        });
        let Some(last) = ascending else {
            return Err(Trouble::Broken(
                "streams posts out of their order".to_owned(),
            ));
        };
        let count = found.len() as u64;
        entries::put(&self.live, found).await?;
        bulk.after = last;
        self.live
            .note(|standing| standing.pending = standing.pending.saturating_sub(count));
        Ok(())
    }

    /// The first message is there.
    async fn begin(
        &mut self,
        bulk: &mut Bulk,
        cursor: Position,
        model: &str,
    ) -> Result<(), Trouble> {
        if bulk.first {
            let known = match model {
                "" => None,
                name => Some(self.model(name).await?),
            };
            let view = View::new(known, model);
            replace(&self.live, view).await?;
            bulk.model = Some(model.to_owned());
            self.live.note(|standing| standing.head = cursor.seq);
        } else if self.live.standing().cursor.map(|held| held.epoch) != Some(cursor.epoch) {
            return Err(Trouble::Resync);
        }
        bulk.start = Some(cursor);
        Ok(())
    }

    async fn complete(&mut self, bulk: &Bulk) -> Result<(), Trouble> {
        let start = bulk.start;
        if bulk.first {
            self.live.change(move |view| view.cursor = start).await?;
        }
        self.live.note(|standing| {
            standing.pending = 0;
            standing.settled |= bulk.first;
        });
        self.bulk = None;
        self.snapshots.hurry();
        let standing = self.live.standing();
        tracing::info!(
            posts = standing.posts,
            vectors = standing.vectors,
            "read everything: {} posts, {} with a vector",
            standing.posts,
            standing.vectors
        );
        Ok(())
    }

    /// After the store contradicted itself: begins again.
    pub(super) async fn begin_again(&mut self) {
        let Some(bulk) = self.bulk.take() else {
            return;
        };
        match bulk.model.filter(|_| !bulk.first) {
            Some(model) => self.bulk = Some(Bulk::again(&model)),
            // The posts read so far may be gone by the time the next attempt begins.
            None => {
                if let Err(error) = replace(&self.live, View::new(None, "")).await {
                    tracing::error!("{error}");
                }
            }
        }
    }

    /// What the store says of a model.
    pub(super) async fn model(&self, name: &str) -> Result<Model, Trouble> {
        let listed = self.store.model(name).await?;
        let known = listed.and_then(|model| {
            Some(Model {
                revision: hex::decode(&model.revision)?,
                dimensions: usize::try_from(model.dimensions).ok().filter(|&n| n > 0)?,
            })
        });
        known.ok_or_else(|| {
            Trouble::Broken(format!(
                "goes by {name:?}, and lists no such embedding model"
            ))
        })
    }
}

/// Puts another index in the place of the present one.
pub(super) async fn replace(live: &Arc<Live>, with: View) -> Result<(), crate::Error> {
    live.change(|view| {
        let version = view.version;
        *view = with;
        view.version = version + 1;
    })
    .await
}
