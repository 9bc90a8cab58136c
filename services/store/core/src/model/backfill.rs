//! What goes on in the background, in slices that hold the connection for milliseconds: tasks for
//! old posts, the end of tasks no longer wanted, effective tags derived anew, the end of what was
//! long in the trash.

use rusqlite::params;

use crate::store::Write;
use crate::{Error, ModelId, ModelKind, Now, PostId};

/// Most tasks of a model's backfill that wait or run at once.
pub const BACKFILL_WINDOW: u64 = 20_000;
/// Most tasks of a model's backfill that are parked at once. They are apart from the window, or the
/// posts of one sleeping machine would keep those of all others from their turn; but each is kept
/// in memory, so there is an end to it.
pub const BACKFILL_PARKED: u64 = 100_000;
/// Most posts one slice looks at.
pub const SLICE: u32 = 500;

/// What a slice of backfill did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backfilled {
    /// Tasks made.
    pub made: usize,
    /// Whether another slice would find something to do now.
    pub more: bool,
}

impl Write<'_> {
    /// One slice of all that goes on in the background. Returns whether more is to be done now;
    /// call it when nothing else waits, and again after tasks were completed.
    pub fn upkeep(&mut self, now: Now) -> Result<bool, Error> {
        let mut more = false;
        for model in self.models()?.iter() {
            if model.active {
                more |= self.backfill(model.id, now)?.more;
            } else {
                more |= self.drop_tasks(model.id, now)?;
            }
        }
        more |= self.purge_slice(now)?;
        Ok(self.derive_slice()? || more)
    }

    /// One slice of a model's backfill: looks at up to [`SLICE`] posts from its cursor down and
    /// makes a task for each that has neither a task nor a result, so long as there is
    /// room in [`BACKFILL_WINDOW`] and [`BACKFILL_PARKED`].
    pub(crate) fn backfill(&mut self, model: ModelId, now: Now) -> Result<Backfilled, Error> {
        let next: PostId = self
            .conn
            .prepare_cached("SELECT backfill_next FROM model WHERE id = ?1")?
            .query_row(params![model], |row| row.get(0))?;
        let (waiting, parked) = self.materialised(model)?;
        let room = BACKFILL_WINDOW
            .saturating_sub(waiting)
            .min(BACKFILL_PARKED.saturating_sub(parked));
        let look = u64::from(SLICE).min(room) as u32;
        if next == 0 || look == 0 {
            return Ok(Backfilled::default());
        }
        let seen: Vec<(PostId, bool)> = self
            .conn
            .prepare_cached(
                "SELECT id, \
                 NOT EXISTS (SELECT 1 FROM prediction WHERE post = post.id AND model = ?1) \
                 AND NOT EXISTS (SELECT 1 FROM embedding WHERE key = (?1 << 32) + post.id) \
                 AND NOT EXISTS (SELECT 1 FROM task WHERE post = post.id AND model = ?1) \
                 FROM post WHERE id <= ?2 ORDER BY id DESC LIMIT ?3",
            )?
            .query_map(params![model, next, look], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<_, _>>()?;
        let wanted: Vec<PostId> = seen.iter().filter(|(_, w)| *w).map(|(id, _)| *id).collect();
        let rest = match seen.last() {
            Some((last, _)) if seen.len() == look as usize => last - 1,
            Some(_) | None => 0,
        };
        self.conn
            .prepare_cached("UPDATE model SET backfill_next = ?2 WHERE id = ?1")?
            .execute(params![model, rest])?;
        self.make_backfill_tasks(model, &wanted, now)?;
        self.demand_changed();
        Ok(Backfilled {
            made: wanted.len(),
            more: rest > 0 && (wanted.len() as u64) < room,
        })
    }

    /// Starts deriving effective tags anew for the posts that `model` has predictions of. Vectors
    /// change no tag.
    pub(crate) fn derive_again(&mut self, model: ModelId) -> Result<(), Error> {
        if self.model(model)?.kind != ModelKind::Tag || self.progress(model)?.done == 0 {
            return Ok(());
        }
        self.derive_all_again()
    }
}
