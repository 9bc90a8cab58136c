//! Task rows as the lease protocol sees them, and what it starts from.

use rusqlite::{OptionalExtension, Row as SqlRow, params};

use crate::lease::{Holder, Leases, Limits, NodeRow, QueueRow, Ran, Row, RowState, Saved, Token};
use crate::packed::unpack_words;
use crate::store::Store;
use crate::{Error, NodeId, Now, TaskId};

pub(super) const ROW: &str = "SELECT id, model, priority, attempts, crashes, alone, state, node, \
     incarnation, token_epoch, token_counter, running, holders FROM task";

/// Reads a task as the lease protocol sees it.
pub(super) fn read_row(row: &SqlRow<'_>) -> Result<Row, Error> {
    let task = row.get::<_, i64>(0)?.cast_unsigned();
    let state = read_state(row)?
        .ok_or_else(|| Error::corrupt(format!("task {task} lacks what its state needs")))?;
    Ok(Row {
        task,
        queue: row.get(1)?,
        priority: row.get(2)?,
        attempts: row.get(3)?,
        crashes: row.get(4)?,
        alone: row.get(5)?,
        state,
    })
}

fn read_state(row: &SqlRow<'_>) -> Result<Option<RowState>, Error> {
    let held: Option<(Holder, Token)> = match (
        row.get::<_, Option<NodeId>>(7)?,
        row.get::<_, Option<i64>>(8)?,
        row.get::<_, Option<i64>>(9)?,
        row.get::<_, Option<i64>>(10)?,
    ) {
        (Some(node), Some(incarnation), Some(epoch), Some(counter)) => Some((
            Holder {
                node,
                incarnation: incarnation.cast_unsigned(),
            },
            Token {
                epoch: epoch.cast_unsigned(),
                counter: counter.cast_unsigned(),
            },
        )),
        _ => None,
    };
    let holders: Option<Vec<u8>> = row.get(12)?;
    let running = row.get(11)?;
    Ok(match row.get::<_, u8>(6)? {
        0 => Some(RowState::Queued {
            ran: held.map(|(holder, token)| Ran { holder, token }),
        }),
        1 => held.map(|(holder, token)| RowState::Leased {
            holder,
            token,
            running,
        }),
        2 => Some(RowState::Parked {
            holders: unpack_words(&holders.unwrap_or_default()),
        }),
        3 => Some(RowState::Failed),
        _ => None,
    })
}

impl Store {
    /// A task as the lease protocol sees it.
    pub(crate) fn task_row(&self, id: TaskId) -> Result<Option<Row>, Error> {
        let sql = format!("{ROW} WHERE id = ?1");
        let mut select = self.conn.prepare_cached(&sql)?;
        select
            .query_and_then(params![id.cast_signed()], read_row)?
            .next()
            .transpose()
    }

    /// Reads what the lease protocol starts from: leases, bounded by what nodes may hold, and all
    /// that is parked; the rest of a backlog stays on disk.
    pub(crate) fn load_leases(&mut self, now: Now) -> Result<(), Error> {
        let counter: Option<i64> = self
            .conn
            .query_row(
                "SELECT value FROM meta WHERE key = 'lease_counter'",
                [],
                |r| r.get(0),
            )
            .optional()?;
        let mut rows = self.held_rows("WHERE state = 1")?;
        rows.extend(self.held_rows("WHERE state = 2")?);
        // Else SQLite prefers the index of states, and with it looks through the whole backlog.
        rows.extend(self.held_rows("INDEXED BY task_ran WHERE state = 0 AND node IS NOT NULL")?);
        let saved = Saved {
            epoch: self.epoch(),
            counter: counter.unwrap_or(0).cast_unsigned(),
            nodes: self.node_rows()?,
            queues: self.queue_rows()?,
            rows,
        };
        self.leases = Leases::load(saved, Limits::default(), now.mono_ms);
        Ok(())
    }

    fn held_rows(&self, which: &str) -> Result<Vec<Row>, Error> {
        let sql = format!("{ROW} {which} ORDER BY id");
        let mut select = self.conn.prepare(&sql)?;
        select.query_and_then([], read_row)?.collect()
    }

    fn node_rows(&self) -> Result<Vec<NodeRow>, Error> {
        let mut select = self.conn.prepare(
            "SELECT id, incarnation, retired, models, stopped, paused FROM node \
             WHERE forgotten = 0 ORDER BY id",
        )?;
        let rows = select.query_map([], |row| {
            let retired: Vec<u8> = row.get(2)?;
            let (retired, _) = retired.as_chunks::<8>();
            let models: Vec<u8> = row.get(3)?;
            Ok(NodeRow {
                node: row.get(0)?,
                incarnation: row.get::<_, i64>(1)?.cast_unsigned(),
                retired: retired.iter().map(|i| u64::from_le_bytes(*i)).collect(),
                queues: unpack_words(&models),
                stopped: row.get(4)?,
                paused: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn queue_rows(&self) -> Result<Vec<QueueRow>, Error> {
        let models = self.models()?;
        let mut queues = Vec::with_capacity(models.len());
        for model in models.iter() {
            queues.push(QueueRow {
                queue: model.id,
                paused: model.paused,
                queued: self.task_counts(model.id)?.queued,
            });
        }
        Ok(queues)
    }
}
