//! Commands to the lease protocol, and its answers.

use rusqlite::params;

use super::BACKFILL;
use crate::lease::{Claim, Command, Holder, Notice, Refusal, Renewal, Reply, Row, RowState, Token};
use crate::node::not_registered;
use crate::store::Write;
use crate::{Error, ModelId, Now, PostId, TaskId, WatcherId};

/// Tasks moved by the clock in one transaction.
const TICKED: usize = 256;
/// Most leases in one call.
pub(crate) const MAX_CLAIMS: usize = 1_024;

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
        match self.protocol(command, now)? {
            Reply::Claims(renewals) => {
                self.heard_of_node(holder.node, now);
                Ok(renewals)
            }
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
                 UNION ALL SELECT id, token_epoch, token_counter FROM task INDEXED BY task_ran \
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

    /// A post lies at another place now: its parked tasks are tried there. The plus keeps SQLite
    /// from looking through all that is parked.
    pub(crate) fn source_found(&mut self, post: PostId, now: Now) -> Result<(), Error> {
        let parked: Vec<i64> = self
            .conn
            .prepare_cached("SELECT id FROM task WHERE post = ?1 AND +state = 2")?
            .query_map(params![post], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for id in parked {
            let task = id.cast_unsigned();
            self.protocol(Command::SourceFound { task }, now)?;
        }
        Ok(())
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
        let known = self.known_node(name)?;
        let (node, _) = known.ok_or_else(|| not_registered("node", name, 0))?;
        self.protocol(Command::PauseNode { node, paused }, now)
            .map(|_| ())
    }
}

/// Refusals that a node must answer by registering again are errors; the others are answers.
pub(super) fn accepted(reply: &Reply, holder: Holder) -> Result<(), Error> {
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
