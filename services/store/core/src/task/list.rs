//! Tasks as a person sees them: listed by state, retried, dropped.

use rusqlite::{Row, params};

use super::rows::{ROW, read_row};
use crate::lease::{Command, Reply};
use crate::store::{Store, Write};
use crate::{Error, ModelId, Now, PostId, TaskId};

/// Tasks dropped in one slice.
const DROPPED: u32 = 500;

/// Where a task stands. Done is the absence of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TaskState {
    /// Waiting for a node.
    Queued = 0,
    /// Held by a node.
    Leased = 1,
    /// Waiting for a machine with the picture.
    Parked = 2,
    /// Given up until a person retries it.
    Failed = 3,
}

impl TaskState {
    /// The state with a number on disk.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Queued),
            1 => Some(Self::Leased),
            2 => Some(Self::Parked),
            3 => Some(Self::Failed),
            _ => None,
        }
    }
}

/// A task as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// The post.
    pub post: PostId,
    /// The model.
    pub model: ModelId,
    /// Where it stands.
    pub state: TaskState,
    /// Attempts counted.
    pub attempts: u8,
    /// Times that a node died while running it.
    pub crashes: u8,
    /// Reason code of the last failure, or empty.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// Name of the node that holds or failed it, or empty.
    pub node: String,
    /// When it was made, unix milliseconds.
    pub created_ms: i64,
    /// When it last changed, unix milliseconds.
    pub updated_ms: i64,
}

const SELECT: &str = "SELECT t.id, t.post, t.model, t.state, t.attempts, t.crashes, \
     coalesce(t.reason, ''), coalesce(t.message, ''), coalesce(n.name, ''), t.created_ms, \
     t.updated_ms FROM task t LEFT JOIN node n ON n.id = t.node";

fn read(row: &Row<'_>) -> Result<Task, Error> {
    let id: i64 = row.get(0)?;
    let state = row.get(3)?;
    Ok(Task {
        id: id.cast_unsigned(),
        post: row.get(1)?,
        model: row.get(2)?,
        state: TaskState::from_code(state)
            .ok_or_else(|| Error::corrupt(format!("task {id} is in state {state}")))?,
        attempts: row.get(4)?,
        crashes: row.get(5)?,
        reason: row.get(6)?,
        message: row.get(7)?,
        node: row.get(8)?,
        created_ms: row.get(9)?,
        updated_ms: row.get(10)?,
    })
}

impl Store {
    /// A page of tasks behind number `after`, by number; only those in `state` if it is given.
    pub fn tasks(
        &self,
        state: Option<TaskState>,
        after: TaskId,
        limit: u32,
    ) -> Result<Vec<Task>, Error> {
        let after = after.cast_signed();
        match state {
            Some(state) => {
                let sql =
                    format!("{SELECT} WHERE t.state = ?1 AND t.id > ?2 ORDER BY t.id LIMIT ?3");
                let mut select = self.conn.prepare_cached(&sql)?;
                select
                    .query_and_then(params![state as u8, after, limit], read)?
                    .collect()
            }
            None => {
                let sql = format!("{SELECT} WHERE t.id > ?1 ORDER BY t.id LIMIT ?2");
                let mut select = self.conn.prepare_cached(&sql)?;
                select
                    .query_and_then(params![after, limit], read)?
                    .collect()
            }
        }
    }
}

impl Write<'_> {
    /// Puts a failed task back into its queue. False if it is not failed or does not exist.
    pub fn retry_task(&mut self, id: TaskId, now: Now) -> Result<bool, Error> {
        let Some(row) = self.task_row(id)? else {
            return Ok(false);
        };
        let reply = self.protocol(Command::Retry { row }, now)?;
        Ok(reply == Reply::Found(true))
    }

    /// Drops the tasks of a post that goes; there is at most one for each model.
    pub(crate) fn drop_tasks_of(&mut self, post: PostId, now: Now) -> Result<(), Error> {
        let sql = format!("{ROW} WHERE post = ?1");
        let rows = self
            .conn
            .prepare_cached(&sql)?
            .query_and_then(params![post], read_row)?
            .collect::<Result<Vec<_>, Error>>()?;
        for row in rows {
            self.protocol(Command::Cancel { row }, now)?;
        }
        Ok(())
    }

    /// Drops a slice of the tasks of a model that is no longer active. Returns whether more are
    /// left.
    pub(crate) fn drop_tasks(&mut self, model: ModelId, now: Now) -> Result<bool, Error> {
        let sql = format!("{ROW} WHERE model = ?1 ORDER BY state, priority, id LIMIT ?2");
        let rows = self
            .conn
            .prepare_cached(&sql)?
            .query_and_then(params![model, DROPPED], read_row)?
            .collect::<Result<Vec<_>, Error>>()?;
        let more = rows.len() == DROPPED as usize;
        for row in rows {
            self.protocol(Command::Cancel { row }, now)?;
        }
        Ok(more)
    }
}
