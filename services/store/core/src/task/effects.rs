//! What the lease protocol decided, kept in the database.

use rusqlite::{ToSql, params};

use crate::lease::{Effect, Holder, Ran, Token};
use crate::packed::pack_words;
use crate::store::Write;
use crate::{Error, Now, TaskId, WatcherId};

impl Write<'_> {
    /// Keeps one effect.
    pub(super) fn keep(&mut self, effect: &Effect, now: Now) -> Result<(), Error> {
        match effect {
            Effect::Granted {
                task,
                token,
                holder,
                attempts,
                alone,
            } => self.keep_grant(*task, *token, *holder, (*attempts, *alone), now),
            Effect::Running { task, running } => {
                let sql = "UPDATE task SET running = ?2 WHERE id = ?1";
                self.execute(sql, params![task.cast_signed(), running])
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
                let sql = "UPDATE task SET attempts = ?2 WHERE id = ?1";
                self.execute(sql, params![task.cast_signed(), attempts])
            }
            Effect::Done { task, .. } | Effect::Cancelled { task } => {
                let sql = "DELETE FROM task WHERE id = ?1";
                self.execute(sql, params![task.cast_signed()])
            }
            Effect::Counter(counter) => self.keep_counter(*counter),
            Effect::Node(row) => self.keep_node(row),
            Effect::NodeForgotten(node) => {
                self.execute("UPDATE node SET forgotten = 1 WHERE id = ?1", params![node])
            }
            Effect::QueuePaused { queue, paused } => {
                self.models.borrow_mut().clear();
                let sql = "UPDATE model SET paused = ?2 WHERE id = ?1";
                self.execute(sql, params![queue, paused])
            }
        }
    }

    fn keep_counter(&mut self, counter: u64) -> Result<(), Error> {
        let sql = "INSERT INTO meta (key, value) VALUES ('lease_counter', ?1) \
             ON CONFLICT DO UPDATE SET value = excluded.value";
        self.execute(sql, params![counter.cast_signed()])
    }

    fn execute(&self, sql: &str, bound: &[&dyn ToSql]) -> Result<(), Error> {
        self.conn.prepare_cached(sql)?.execute(bound)?;
        Ok(())
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
}
