//! Leasing: tasks for a node that asks, with all it needs to begin.

use rusqlite::params;

use super::protocol::{accepted, unexpected};
use super::rows::{ROW, read_row};
use crate::lease::{Command, Grant, Holder, Refusal, Reply};
use crate::post::Sample;
use crate::store::Write;
use crate::{Error, ModelId, Now, PostId};

/// A leased task, with all a node needs to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedTask {
    /// The grant.
    pub grant: Grant,
    /// The post.
    pub post: PostId,
    /// Content of the original, which names the sample.
    pub sha256: [u8; 32],
    /// The sample.
    pub sample: Sample,
    /// W3C trace context of the file; empty for a backfill.
    pub traceparent: String,
}

/// What a node was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The tasks; may be empty.
    pub tasks: Vec<LeasedTask>,
    /// Why there are none, if not for want of tasks.
    pub refused: Option<Refusal>,
}

impl Write<'_> {
    /// Leases up to `max` tasks of a model to a node.
    pub fn lease_tasks(
        &mut self,
        holder: Holder,
        model: ModelId,
        max: usize,
        now: Now,
    ) -> Result<Leased, Error> {
        self.model(model)?;
        self.refill(model, now)?;
        let command = Command::Lease {
            holder,
            queues: vec![model],
            max,
        };
        let reply = self.protocol(command, now)?;
        accepted(&reply, holder)?;
        self.heard_of_node(holder.node, now);
        let (grants, refused) = match reply {
            Reply::Leased(grants) => (grants, None),
            Reply::Refused(refusal) => (Vec::new(), Some(refusal)),
            other => return Err(unexpected(&other)),
        };
        let mut select = self.conn.prepare_cached(
            "SELECT p.id, p.sha256, p.render_revision, p.sample_size, p.sample_sha256, \
             p.sample_width, p.sample_height, coalesce(t.traceparent, '') \
             FROM task t JOIN post p ON p.id = t.post WHERE t.id = ?1",
        )?;
        let mut tasks = Vec::with_capacity(grants.len());
        for grant in grants {
            tasks.push(select.query_row(params![grant.task.cast_signed()], |row| {
                Ok(LeasedTask {
                    grant,
                    post: row.get(0)?,
                    sha256: row.get(1)?,
                    sample: Sample {
                        render_revision: row.get(2)?,
                        byte_size: row.get(3)?,
                        sha256: row.get(4)?,
                        width: row.get(5)?,
                        height: row.get(6)?,
                    },
                    traceparent: row.get(7)?,
                })
            })?);
        }
        Ok(Leased { tasks, refused })
    }

    /// Brings queued rows into memory while the protocol wants some.
    fn refill(&mut self, queue: ModelId, now: Now) -> Result<(), Error> {
        let Some(wanted) = self.leases.wants(queue) else {
            return Ok(());
        };
        let (priority, task) = wanted.from;
        let limit = u32::try_from(wanted.limit).unwrap_or(u32::MAX);
        let sql = format!(
            "{ROW} WHERE model = ?1 AND state = 0 AND (priority, id) >= (?2, ?3) \
             ORDER BY priority, id LIMIT ?4"
        );
        let rows = self
            .conn
            .prepare_cached(&sql)?
            .query_and_then(
                params![queue, priority, task.cast_signed(), limit],
                read_row,
            )?
            .collect::<Result<Vec<_>, Error>>()?;
        let exhausted = rows.len() < wanted.limit;
        let command = Command::Refill {
            queue,
            rows,
            exhausted,
        };
        self.protocol(command, now).map(|_| ())
    }
}
