//! Tasks: one unit of inference each. The lease protocol decides; this file and its children keep
//! what it decided, in the transaction of the request.
//!
//! A task costs about 100 bytes on disk with its indexes, and exists only while there is
//! something to do.

mod deliver;
mod effects;
mod lease;
mod list;
mod protocol;
mod rows;

pub use deliver::{Delivery, Failure, FailureCause, Outcome, Refused};
pub use lease::{Leased, LeasedTask};
pub use list::{Task, TaskState};

use rusqlite::params;

use crate::model::Model;
use crate::store::{Store, Write};
use crate::{Error, ModelId, Now, PostId};

/// Tasks of new posts.
const FRESH: u8 = 0;
/// Tasks of a backfill; they wait for fresh ones.
const BACKFILL: u8 = 1;
/// Longest reason code, bytes.
const MAX_REASON: usize = 63;
/// Characters of a message that are kept.
const MAX_MESSAGE: usize = 1_000;

/// Where the tasks of a model stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskCounts {
    /// Waiting for a node, back-offs included.
    pub queued: u64,
    /// Held by nodes.
    pub leased: u64,
    /// Waiting for a machine with the picture.
    pub parked: u64,
    /// Given up.
    pub failed: u64,
}

impl Store {
    /// Where the tasks of a model stand.
    pub fn task_counts(&self, model: ModelId) -> Result<TaskCounts, Error> {
        let mut counts = TaskCounts::default();
        let mut select = self
            .conn
            .prepare_cached("SELECT state, n FROM task_count WHERE model = ?1")?;
        let rows = select.query_map(params![model], |row| {
            Ok((row.get::<_, u8>(0)?, row.get::<_, i64>(1)?))
        })?;
        for row in rows {
            let (code, n) = row?;
            let n = n.cast_unsigned();
            match TaskState::from_code(code)
                .ok_or_else(|| Error::corrupt(format!("tasks in state {code}")))?
            {
                TaskState::Queued => counts.queued += n,
                TaskState::Leased => counts.leased += n,
                TaskState::Parked => counts.parked += n,
                TaskState::Failed => counts.failed += n,
            }
        }
        Ok(counts)
    }

    /// Backfill tasks of a model: those that wait or run, and those that are parked.
    pub(crate) fn materialised(&self, model: ModelId) -> Result<(u64, u64), Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT coalesce(sum(n) FILTER (WHERE state IN (0, 1)), 0), \
             coalesce(sum(n) FILTER (WHERE state = 2), 0) \
             FROM task_count WHERE model = ?1 AND priority = ?2",
        )?;
        Ok(select.query_row(params![model, BACKFILL], |row| {
            let count = |n: i64| n.cast_unsigned();
            Ok((count(row.get(0)?), count(row.get(1)?)))
        })?)
    }
}

impl Write<'_> {
    /// Makes the tasks of new posts, one for each model, in the transaction of the posts.
    pub(crate) fn make_tasks(
        &mut self,
        posts: &[(PostId, &str)],
        models: &[Model],
        now: Now,
    ) -> Result<(), Error> {
        let mut rows = Vec::with_capacity(posts.len() * models.len());
        for model in models {
            for &(post, traceparent) in posts {
                rows.push(self.insert_task(model.id, post, FRESH, traceparent, now)?);
            }
        }
        self.offer(rows, now)
    }

    /// Makes the tasks of a slice of backfill; their traces begin when they are leased.
    pub(crate) fn make_backfill_tasks(
        &mut self,
        model: ModelId,
        posts: &[PostId],
        now: Now,
    ) -> Result<(), Error> {
        let mut rows = Vec::with_capacity(posts.len());
        for &post in posts {
            rows.push(self.insert_task(model, post, BACKFILL, "", now)?);
        }
        self.offer(rows, now)
    }
}

/// Refuses what is no reason code.
pub(crate) fn check_reason(reason: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    if reason.is_empty() || reason.len() > MAX_REASON || !reason.bytes().all(plain) {
        return Err(Error::invalid(
            "reason code",
            reason,
            "1 to 63 of A-Z, 0-9 and '_'",
        ));
    }
    Ok(())
}

/// What is kept of a message: 1,000 characters, control characters as spaces.
pub(crate) fn kept_message(message: &str) -> String {
    let tame = |c: char| if c.is_control() { ' ' } else { c };
    message.chars().take(MAX_MESSAGE).map(tame).collect()
}

#[cfg(test)]
mod tests;
