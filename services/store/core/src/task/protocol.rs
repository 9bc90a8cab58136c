//! Between the lease protocol and the database: commands in, effects kept, rows read back.

use rusqlite::{OptionalExtension, Row as SqlRow, params};

use super::BACKFILL;
use crate::lease::{
    Claim, Command, Effect, Grant, Holder, Leases, Limits, NodeRow, Notice, QueueRow, Ran, Refusal,
    Renewal, Reply, Row, RowState, Saved, Token,
};
use crate::node::{not_registered, pack_words, unpack_words};
use crate::post::Sample;
use crate::store::{Store, Write};
use crate::{Error, ModelId, NodeId, Now, PostId, TaskId, WatcherId};

/// Tasks moved by the clock in one transaction.
const TICKED: usize = 256;
/// Most leases in one call.
pub(crate) const MAX_CLAIMS: usize = 1_024;

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

    /// Reads what the lease protocol starts from. All of it is bounded: leases by what nodes may
    /// hold; the rest of a backlog stays on disk.
    pub(crate) fn load_leases(&mut self, now: Now) -> Result<(), Error> {
        let counter: Option<i64> = self
            .conn
            .query_row(
                "SELECT value FROM meta WHERE key = 'lease_counter'",
                [],
                |r| r.get(0),
            )
            .optional()?;
        let mut rows = self.held_rows("state = 1")?;
        rows.extend(self.held_rows("state = 2")?);
        rows.extend(self.held_rows("state = 0 AND node IS NOT NULL")?);
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
        let sql = format!("{ROW} WHERE {which} ORDER BY id");
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

impl Write<'_> {
    /// Lets the protocol carry out a command and keeps what it changed.
    pub(super) fn protocol(&mut self, command: Command, now: Now) -> Result<Reply, Error> {
        self.run(command, now).map(|(reply, _)| reply)
    }

    fn run(&mut self, command: Command, now: Now) -> Result<(Reply, Vec<Notice>), Error> {
        let outcome = self.store.leases.apply(command, now.mono_ms);
        for effect in &outcome.effects {
            self.keep(effect, now)?;
        }
        if !outcome.effects.is_empty() {
            self.demand_changed();
        }
        for notice in &outcome.notices {
            match *notice {
                Notice::Wake(queue) => self.wake(queue),
                Notice::NodeStopped { .. } | Notice::Suspected { .. } => self.note(notice.clone()),
            }
        }
        Ok((outcome.reply, outcome.notices))
    }

    fn keep(&mut self, effect: &Effect, now: Now) -> Result<(), Error> {
        match effect {
            Effect::Granted {
                task,
                token,
                holder,
                attempts,
                alone,
            } => self.keep_grant(*task, *token, *holder, (*attempts, *alone), now),
            Effect::Running { task, running } => {
                self.conn
                    .prepare_cached("UPDATE task SET running = ?2 WHERE id = ?1")?
                    .execute(params![task.cast_signed(), running])?;
                Ok(())
            }
            Effect::Queued {
                task,
                attempts,
                crashes,
                alone,
                ran,
                reason,
            } => self.keep_queued(
                *task,
                (*attempts, *crashes, *alone),
                *ran,
                reason.as_deref(),
                now,
            ),
            Effect::Parked {
                task,
                attempts,
                holders,
            } => self.keep_parked(*task, *attempts, holders, now),
            Effect::Failed {
                task,
                attempts,
                crashes,
                alone,
                reason,
            } => self.keep_failed(*task, (*attempts, *crashes, *alone), reason, now),
            Effect::Refunded { task, attempts } => {
                self.conn
                    .prepare_cached("UPDATE task SET attempts = ?2 WHERE id = ?1")?
                    .execute(params![task.cast_signed(), attempts])?;
                Ok(())
            }
            Effect::Done { task, .. } | Effect::Cancelled { task } => {
                self.conn
                    .prepare_cached("DELETE FROM task WHERE id = ?1")?
                    .execute(params![task.cast_signed()])?;
                Ok(())
            }
            Effect::Counter(counter) => {
                self.conn
                    .prepare_cached(
                        "INSERT INTO meta (key, value) VALUES ('lease_counter', ?1) \
                         ON CONFLICT DO UPDATE SET value = excluded.value",
                    )?
                    .execute(params![counter.cast_signed()])?;
                Ok(())
            }
            Effect::Node(row) => self.keep_node(row),
            Effect::NodeForgotten(node) => {
                self.conn
                    .prepare_cached("UPDATE node SET forgotten = 1 WHERE id = ?1")?
                    .execute(params![node])?;
                Ok(())
            }
            Effect::QueuePaused { queue, paused } => {
                self.conn
                    .prepare_cached("UPDATE model SET paused = ?2 WHERE id = ?1")?
                    .execute(params![queue, paused])?;
                self.models.borrow_mut().clear();
                Ok(())
            }
        }
    }

    fn keep_grant(
        &mut self,
        task: TaskId,
        token: Token,
        holder: Holder,
        (attempts, alone): (u8, bool),
        now: Now,
    ) -> Result<(), Error> {
        self.conn
            .prepare_cached(
                "UPDATE task SET state = 1, running = 0, attempts = ?2, alone = ?3, node = ?4, \
                 incarnation = ?5, token_epoch = ?6, token_counter = ?7, holders = NULL, \
                 updated_ms = ?8 WHERE id = ?1",
            )?
            .execute(params![
                task.cast_signed(),
                attempts,
                alone,
                holder.node,
                holder.incarnation.cast_signed(),
                token.epoch.cast_signed(),
                token.counter.cast_signed(),
                now.unix_ms,
            ])?;
        Ok(())
    }

    fn keep_queued(
        &mut self,
        task: TaskId,
        (attempts, crashes, alone): (u8, u8, bool),
        ran: Option<Ran>,
        reason: Option<&str>,
        now: Now,
    ) -> Result<(), Error> {
        self.conn
            .prepare_cached(
                "UPDATE task SET state = 0, running = 0, attempts = ?2, crashes = ?3, alone = ?4, \
                 node = ?5, incarnation = ?6, token_epoch = ?7, token_counter = ?8, \
                 reason = coalesce(?9, reason), holders = NULL, updated_ms = ?10 WHERE id = ?1",
            )?
            .execute(params![
                task.cast_signed(),
                attempts,
                crashes,
                alone,
                ran.map(|ran| ran.holder.node),
                ran.map(|ran| ran.holder.incarnation.cast_signed()),
                ran.map(|ran| ran.token.epoch.cast_signed()),
                ran.map(|ran| ran.token.counter.cast_signed()),
                reason,
                now.unix_ms,
            ])?;
        Ok(())
    }

    fn keep_parked(
        &mut self,
        task: TaskId,
        attempts: u8,
        holders: &[WatcherId],
        now: Now,
    ) -> Result<(), Error> {
        self.conn
            .prepare_cached(
                "UPDATE task SET state = 2, running = 0, attempts = ?2, holders = ?3, \
                 node = NULL, incarnation = NULL, token_epoch = NULL, token_counter = NULL, \
                 updated_ms = ?4 WHERE id = ?1",
            )?
            .execute(params![
                task.cast_signed(),
                attempts,
                pack_words(holders),
                now.unix_ms
            ])?;
        Ok(())
    }

    /// The node stays in the row: a person wants to know where it failed.
    fn keep_failed(
        &mut self,
        task: TaskId,
        (attempts, crashes, alone): (u8, u8, bool),
        reason: &str,
        now: Now,
    ) -> Result<(), Error> {
        self.conn
            .prepare_cached(
                "UPDATE task SET state = 3, running = 0, attempts = ?2, crashes = ?3, alone = ?4, \
                 reason = ?5, holders = NULL, updated_ms = ?6 WHERE id = ?1",
            )?
            .execute(params![
                task.cast_signed(),
                attempts,
                crashes,
                alone,
                reason,
                now.unix_ms
            ])?;
        Ok(())
    }

    pub(super) fn insert_task(
        &mut self,
        model: ModelId,
        post: PostId,
        priority: u8,
        traceparent: &str,
        now: Now,
    ) -> Result<Row, Error> {
        let id = self
            .conn
            .prepare_cached(
                "INSERT INTO task (post, model, state, priority, traceparent, created_ms, \
                 updated_ms) VALUES (?1, ?2, 0, ?3, nullif(?4, ''), ?5, ?5)",
            )?
            .insert(params![post, model, priority, traceparent, now.unix_ms])?;
        debug_assert!(priority <= BACKFILL, "two priorities are known");
        Ok(Row {
            task: id.cast_unsigned(),
            queue: model,
            priority,
            attempts: 0,
            crashes: 0,
            alone: false,
            state: RowState::Queued { ran: None },
        })
    }

    pub(super) fn offer(&mut self, rows: Vec<Row>, now: Now) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        self.protocol(Command::Offer { rows }, now)?;
        self.demand_changed();
        Ok(())
    }

    pub(crate) fn announce(
        &mut self,
        holder: Holder,
        models: &[ModelId],
        now: Now,
    ) -> Result<u32, Error> {
        let command = Command::Register {
            holder,
            queues: models.to_vec(),
        };
        let (reply, notices) = self.run(command, now)?;
        accepted(&reply, holder)?;
        let suspected = |notice: &&Notice| matches!(notice, Notice::Suspected { .. });
        Ok(notices.iter().filter(suspected).count() as u32)
    }

    /// Leases up to `max` tasks of a model to a node.
    pub fn lease_tasks(
        &mut self,
        holder: Holder,
        model: ModelId,
        max: usize,
        now: Now,
    ) -> Result<Leased, Error> {
        self.model(model)?;
        self.heard_of_node(holder.node, now);
        self.refill(model, now)?;
        let command = Command::Lease {
            holder,
            queues: vec![model],
            max,
        };
        let reply = self.protocol(command, now)?;
        accepted(&reply, holder)?;
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

    /// Says which leased tasks are in the batch that starts now; one answer for each.
    pub fn mark_running(
        &mut self,
        holder: Holder,
        claims: Vec<Claim>,
        now: Now,
    ) -> Result<Vec<Renewal>, Error> {
        self.claims(Command::MarkRunning { holder, claims }, holder, now)
    }

    /// Extends leases; one answer for each.
    pub fn renew_leases(
        &mut self,
        holder: Holder,
        claims: Vec<Claim>,
        now: Now,
    ) -> Result<Vec<Renewal>, Error> {
        self.claims(Command::Renew { holder, claims }, holder, now)
    }

    /// Takes leases back undone; one answer for each.
    pub fn release_leases(
        &mut self,
        holder: Holder,
        claims: Vec<Claim>,
        now: Now,
    ) -> Result<Vec<Renewal>, Error> {
        self.claims(Command::Release { holder, claims }, holder, now)
    }

    fn claims(
        &mut self,
        command: Command,
        holder: Holder,
        now: Now,
    ) -> Result<Vec<Renewal>, Error> {
        if let Command::MarkRunning { claims, .. }
        | Command::Renew { claims, .. }
        | Command::Release { claims, .. } = &command
        {
            crate::error::at_most("leases", claims.len(), MAX_CLAIMS)?;
        }
        self.heard_of_node(holder.node, now);
        match self.protocol(command, now)? {
            Reply::Claims(renewals) => Ok(renewals),
            Reply::Refused(_) => Err(not_registered(
                "node",
                &holder.node.to_string(),
                holder.incarnation,
            )),
            other => Err(unexpected(&other)),
        }
    }

    /// A supervisor says that the process of a node died. Returns the tasks that it had running,
    /// which are suspects now.
    pub fn report_crash(&mut self, holder: Holder, now: Now) -> Result<Vec<TaskId>, Error> {
        let claims = self
            .conn
            .prepare_cached(
                "SELECT id, token_epoch, token_counter FROM task \
                 WHERE state = 1 AND running = 1 AND node = ?1 AND incarnation = ?2 \
                 UNION ALL SELECT id, token_epoch, token_counter FROM task \
                 WHERE state = 0 AND node IS NOT NULL AND node = ?1 AND incarnation = ?2",
            )?
            .query_map(
                params![holder.node, holder.incarnation.cast_signed()],
                |row| {
                    Ok(Claim {
                        task: row.get::<_, i64>(0)?.cast_unsigned(),
                        token: Token {
                            epoch: row.get::<_, i64>(1)?.cast_unsigned(),
                            counter: row.get::<_, i64>(2)?.cast_unsigned(),
                        },
                    })
                },
            )?
            .collect::<Result<Vec<_>, _>>()?;
        let (_, notices) = self.run(Command::CrashReport { holder, claims }, now)?;
        Ok(notices
            .into_iter()
            .filter_map(|notice| match notice {
                Notice::Suspected { task, .. } => Some(task),
                Notice::Wake(_) | Notice::NodeStopped { .. } => None,
            })
            .collect())
    }

    /// Time has passed: ends leases, back-offs and parking that are due. Returns whether more is
    /// due now; [`Store::next_tick`] says when to call it otherwise.
    pub fn tick(&mut self, now: Now) -> Result<bool, Error> {
        self.notice_silence(now)?;
        match self.protocol(Command::Tick { limit: TICKED }, now)? {
            Reply::Ticked { more } => Ok(more),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) fn source_online(&mut self, watcher: WatcherId, now: Now) -> Result<(), Error> {
        self.protocol(Command::SourceOnline { watcher }, now)
            .map(|_| ())
    }

    pub(crate) fn source_offline(&mut self, watcher: WatcherId, now: Now) -> Result<(), Error> {
        self.protocol(Command::SourceOffline { watcher }, now)
            .map(|_| ())
    }

    /// Stops or resumes leasing of a model's tasks. Survives a restart.
    pub fn pause_model(&mut self, model: ModelId, paused: bool, now: Now) -> Result<(), Error> {
        self.model(model)?;
        let queue = model;
        self.protocol(Command::PauseQueue { queue, paused }, now)
            .map(|_| ())
    }

    /// Stops or resumes leasing to a node; resuming also lifts a stop for failing everything.
    pub fn pause_node(&mut self, name: &str, paused: bool, now: Now) -> Result<(), Error> {
        let node = self.holder(name, 0)?.node;
        self.protocol(Command::PauseNode { node, paused }, now)
            .map(|_| ())
    }
}

/// Refusals that a node must answer by registering again are errors; the others are answers.
fn accepted(reply: &Reply, holder: Holder) -> Result<(), Error> {
    match reply {
        Reply::Refused(Refusal::Unregistered | Refusal::StaleIncarnation) => Err(not_registered(
            "node",
            &holder.node.to_string(),
            holder.incarnation,
        )),
        _ => Ok(()),
    }
}

/// The protocol answered a command with what only another one is answered with.
pub(super) fn unexpected(reply: &Reply) -> Error {
    Error::corrupt(format!("the lease protocol answered {reply:?}"))
}
