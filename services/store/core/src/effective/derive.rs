//! From the facts on disk to what search sees, and back onto disk: after every change of a fact of
//! one post at once, after a change that touches all posts in slices.

use rusqlite::{OptionalExtension, params};

use super::{Effective, Facts, Said, effective};
use crate::packed::pack_ascending;
use crate::post::Post;
use crate::store::{Store, Write};
use crate::{Error, PostId, Rating};

/// Posts derived anew in one slice; each is a read, a derivation and a write.
const SLICE: u32 = 200;

impl Store {
    /// Derives what search should see of a post from its facts.
    fn derive(&self, post: PostId) -> Result<Effective, Error> {
        let predictions = self.predictions(post)?;
        let models = self.models()?;
        let said: Vec<Said<'_>> = predictions
            .iter()
            .filter_map(|prediction| {
                let model = models
                    .iter()
                    .find(|m| m.active && m.id == prediction.model)?;
                Some(Said {
                    model: model.id,
                    thresholds: model.thresholds,
                    preferred: model.preferred,
                    labels: &prediction.labels,
                    ratings: prediction.ratings,
                })
            })
            .collect();
        let facts = Facts {
            records: &self.claims(post)?,
            said: &said,
            edits: &self.judgements(post)?,
            rating: self.rating_edit(post)?.map(|edit| edit.rating),
        };
        let category = |id| self.tags.get(id).map(|tag| tag.category);
        Ok(effective(&facts, category))
    }
}

impl Write<'_> {
    /// Derives effective tags and rating anew, writes them and moves the post up the feed.
    pub(crate) fn rederive(&mut self, post: PostId) -> Result<(), Error> {
        let before = self.existing(post)?;
        self.rederived(before).map(|_| ())
    }

    /// The same for a post as it was just read. Returns it as it is then.
    pub(crate) fn rederived(&mut self, before: Post) -> Result<Post, Error> {
        let after = self.derive(before.id)?;
        let changed_seq = self.write_derived(&before, &after)?;
        Ok(Post {
            tags: after.tags,
            rating: after.rating,
            changed_seq,
            ..before
        })
    }

    /// The same as [`Write::rederive`], but only if search would see anything else than before.
    fn rederive_if_changed(&mut self, post: PostId) -> Result<(), Error> {
        let before = self.existing(post)?;
        let after = self.derive(post)?;
        if after.tags == before.tags && after.rating == before.rating {
            return Ok(());
        }
        self.write_derived(&before, &after).map(|_| ())
    }

    /// Returns the post's new position in the feed.
    fn write_derived(&mut self, before: &Post, after: &Effective) -> Result<u64, Error> {
        let seq = self.next_seq();
        self.conn
            .prepare_cached(
                "UPDATE post SET tags = ?2, rating = ?3, changed_seq = ?4 WHERE id = ?1",
            )?
            .execute(params![
                before.id,
                pack_ascending(&after.tags),
                after.rating.map(Rating::code),
                seq.cast_signed(),
            ])?;
        self.stage_derived(before, after);
        Ok(seq)
    }

    /// Starts deriving all posts anew, newest first; [`Write::upkeep`] does it in slices, and goes
    /// on after a restart.
    pub(crate) fn derive_all_again(&mut self) -> Result<(), Error> {
        let last = self.last_post()?;
        self.conn
            .prepare_cached(
                "INSERT INTO meta (key, value) VALUES ('derive_next', ?1) \
                 ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute(params![last])?;
        self.upkeep_wanted();
        Ok(())
    }

    /// Derives a slice of posts anew. Returns whether more are left.
    pub(crate) fn derive_slice(&mut self) -> Result<bool, Error> {
        let next: Option<PostId> = self
            .conn
            .prepare_cached("SELECT value FROM meta WHERE key = 'derive_next' AND value > 0")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let Some(next) = next else {
            return Ok(false);
        };
        let posts: Vec<PostId> = self
            .conn
            .prepare_cached("SELECT id FROM post WHERE id <= ?1 ORDER BY id DESC LIMIT ?2")?
            .query_map(params![next, SLICE], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for &post in &posts {
            self.rederive_if_changed(post)?;
        }
        let rest = match posts.last() {
            Some(last) if posts.len() == SLICE as usize => last - 1,
            Some(_) | None => 0,
        };
        self.conn
            .prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'derive_next'")?
            .execute(params![rest])?;
        Ok(rest > 0)
    }
}
