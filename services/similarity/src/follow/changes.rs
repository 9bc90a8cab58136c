//! Following the feed: what changed is read again, what is gone is removed.

use std::time::Duration;

use proto::store::v1::WatchChangesResponse;
use tokio::time::Instant;

use super::bulk::Bulk;
use super::{Follower, Trouble, entries};
use crate::index::PostId;
use crate::snapshot::Position;
use crate::store::BATCH;

/// While many changes come, the store is asked this often how many are left.
const HEAD_EVERY: Duration = Duration::from_secs(1);

impl Follower {
    /// Follows from where the index stands, until something goes wrong, or another model counts.
    pub(super) async fn watch(&mut self) -> Result<(), Trouble> {
        let Some(mut cursor) = self.live.standing().cursor else {
            return Ok(());
        };
        let goal = self.see_head(cursor).await?;
        let mut asked = Instant::now();
        let mut stream = self.store.watch(cursor).await?;
        while let Some(message) = self.next(&mut stream).await? {
            self.followed = true;
            let to = entries::position(message.cursor)?;
            if to.epoch != cursor.epoch {
                return Err(Trouble::Resync);
            }
            if to.seq < cursor.seq {
                return Err(Trouble::Broken("its feed goes backwards".to_owned()));
            }
            if self.goes_by(&message.embed_model).await? {
                // The cursor stays, so that the changes of this message come again.
                return Ok(());
            }
            let quiet = message.changes.is_empty();
            self.apply(message, to).await?;
            cursor = to;
            if quiet {
                // Nothing more is there, so this is the end of the feed.
                self.live.note(|standing| standing.head = to.seq);
            } else if asked.elapsed() >= HEAD_EVERY {
                self.see_head(cursor).await?;
                asked = Instant::now();
            }
            if quiet || to.seq >= goal {
                self.live.note(|standing| standing.settled = true);
            }
            self.readiness.tell(&self.live.standing());
        }
        Err(Trouble::Ended)
    }

    /// Asks how far the feed goes.
    pub(super) async fn see_head(&mut self, cursor: Position) -> Result<u64, Trouble> {
        let head = self.store.head().await?;
        self.heard_at = Instant::now();
        if head.epoch != cursor.epoch {
            return Err(Trouble::Resync);
        }
        self.live.note(|standing| standing.head = head.seq);
        Ok(head.seq)
    }

    /// Makes the index one of the model that counts now; true if its vectors are to be read.
    async fn goes_by(&mut self, name: &str) -> Result<bool, Trouble> {
        let standing = self.live.standing();
        if name == standing.model && name.is_empty() == standing.revision.is_empty() {
            return Ok(false);
        }
        let model = match name {
            "" => None,
            name => Some(self.model(name).await?),
        };
        // Before the switch: whoever is stopped in the middle of it must not call the index whole.
        self.bulk = (!name.is_empty()).then(|| Bulk::again(name));
        let named = name.to_owned();
        let another = self.live.change(move |view| {
            view.model = named;
            // A snapshot knows the revision, not the name.
            if view.index.model() == model.as_ref() {
                return false;
            }
            view.index = view.index.switched(model);
            view.version += 1;
            true
        });
        if !another.await? {
            self.bulk = None;
            return Ok(false);
        }
        if name.is_empty() {
            tracing::info!("no embedding model is active any more");
            return Ok(false);
        }
        tracing::info!(model = name, "reading the vectors of {name}");
        self.live
            .note(|standing| standing.pending = standing.posts.max(1));
        Ok(true)
    }

    async fn apply(&mut self, message: WatchChangesResponse, to: Position) -> Result<(), Trouble> {
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        for change in message.changes {
            let post = entries::number(&change.post)?;
            if change.deleted {
                gone.push(post);
            } else {
                changed.push(post);
            }
        }
        let model = message.embed_model;
        for part in changed.chunks(BATCH) {
            gone.append(&mut self.renew(part, &model).await?);
        }
        self.live
            .change(move |view| {
                for post in gone {
                    view.version += u64::from(view.index.remove(post));
                }
                view.cursor = Some(to);
            })
            .await?;
        Ok(())
    }

    /// Reads posts again; gives those that are gone.
    async fn renew(&mut self, posts: &[PostId], model: &str) -> Result<Vec<PostId>, Trouble> {
        let answer = self.store.batch(posts, model).await?;
        if !model.is_empty() && answer.model != model {
            let got = answer.model;
            return Err(Trouble::Broken(format!(
                "gives vectors of {got:?} where {model:?} was asked for"
            )));
        }
        let found = entries::read(answer.embeddings, !model.is_empty())?;
        let mut there: Vec<PostId> = found.iter().map(|found| found.post).collect();
        there.sort_unstable();
        if there.iter().any(|post| !posts.contains(post)) {
            return Err(Trouble::Broken(
                "answers with posts that were not asked for".to_owned(),
            ));
        }
        entries::put(&self.live, found).await?;
        let missing = posts.iter().copied();
        Ok(missing
            .filter(|post| there.binary_search(post).is_err())
            .collect())
    }
}
