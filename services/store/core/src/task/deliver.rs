//! Results and failures as nodes deliver them.

use rusqlite::params;

use super::protocol::unexpected;
use super::{check_reason, kept_message};
use crate::embedding::EmbedResult;
use crate::lease::{Cause, Claim, Command, Completion, Holder, Reply, Verdict};
use crate::prediction::{self, Origin, TagResult};
use crate::store::Write;
use crate::{Error, ModelId, ModelKind, Now, PostId, TaskId};

/// What a node found out about a post.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// What a tagger says.
    Tags(TagResult),
    /// What an embedder says.
    Embedding(EmbedResult),
}

/// A result that has been checked against its model.
enum Checked<'a> {
    Tags(prediction::Checked),
    Embedding(&'a EmbedResult),
}

/// What became of a delivered result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Stored now.
    Accepted,
    /// Had been stored before under the same lease: as good as accepted.
    Repeated,
    /// The lease was lost; nothing was changed.
    Stale,
    /// The result is malformed; nothing was changed and the lease stays.
    Refused(Refused),
}

/// Why a result was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// In words.
    pub message: String,
}

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureCause {
    /// Will never work.
    Permanent,
    /// May work later.
    Transient,
    /// No holder of the sample answered.
    SourceUnavailable,
}

/// A task that a node could not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The task and the lease.
    pub claim: Claim,
    /// What kind of failure.
    pub cause: FailureCause,
    /// Reason code, `UPPER_SNAKE`.
    pub reason: String,
    /// The same for people; 1,000 characters are kept.
    pub message: String,
}

impl Write<'_> {
    /// Stores a result: fenced by the lease, and with everything that follows from it in one
    /// transaction. A malformed result is refused whoever sends it.
    pub fn complete_task(
        &mut self,
        holder: Holder,
        claim: Claim,
        result: &Outcome,
        now: Now,
    ) -> Result<Delivery, Error> {
        self.heard_of_node(holder.node, now);
        let subject = self.subject(claim.task)?;
        let checked = match subject {
            Some((_, model)) => match self.checked(model, result)? {
                Ok(checked) => Some(checked),
                Err(message) => return Ok(Delivery::Refused(Refused { message })),
            },
            None => None,
        };
        let recorded = match subject {
            Some(_) => None,
            None => match self.recorded(claim.token)? {
                Some(token) => Some(token),
                None => self.recorded_embedding(claim.token)?,
            },
        };
        let command = Command::Complete {
            holder,
            claim,
            recorded,
        };
        match self.protocol(command, now)? {
            Reply::Completed(Completion::Accepted) => {
                let (Some((post, model)), Some(checked)) = (subject, checked) else {
                    return Err(Error::corrupt(format!("task {} has no row", claim.task)));
                };
                let origin = Origin {
                    post,
                    model,
                    node: holder.node,
                    token: claim.token,
                };
                match checked {
                    Checked::Tags(tags) => self.store_prediction(origin, &tags, now)?,
                    Checked::Embedding(vector) => self.store_embedding(origin, vector, now)?,
                }
                Ok(Delivery::Accepted)
            }
            Reply::Completed(Completion::Repeated) => Ok(Delivery::Repeated),
            Reply::Completed(Completion::Stale) | Reply::Refused(_) => Ok(Delivery::Stale),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes in that a node could not do a task.
    pub fn fail_task(
        &mut self,
        holder: Holder,
        failure: &Failure,
        now: Now,
    ) -> Result<Verdict, Error> {
        check_reason(&failure.reason)?;
        self.heard_of_node(holder.node, now);
        let task = failure.claim.task;
        let cause = match failure.cause {
            FailureCause::Permanent => Cause::Permanent(failure.reason.clone()),
            FailureCause::Transient => Cause::Transient(failure.reason.clone()),
            FailureCause::SourceUnavailable => Cause::SourceUnavailable {
                holders: match self.subject(task)? {
                    Some((post, _)) => self.holders(post)?,
                    None => Vec::new(),
                },
            },
        };
        let command = Command::Fail {
            holder,
            claim: failure.claim,
            cause,
        };
        let verdict = match self.protocol(command, now)? {
            Reply::Failed(verdict) => verdict,
            Reply::Refused(_) => Verdict::Stale,
            other => return Err(unexpected(&other)),
        };
        if verdict != Verdict::Stale {
            self.conn
                .prepare_cached("UPDATE task SET reason = ?2, message = ?3 WHERE id = ?1")?
                .execute(params![
                    task.cast_signed(),
                    failure.reason,
                    kept_message(&failure.message)
                ])?;
        }
        Ok(verdict)
    }

    /// A result that fits its model, or why it does not.
    fn checked<'a>(
        &self,
        model: ModelId,
        result: &'a Outcome,
    ) -> Result<Result<Checked<'a>, String>, Error> {
        let known = self.model(model)?;
        Ok(match (known.kind, result) {
            (ModelKind::Tag, Outcome::Tags(tags)) => {
                tags.check(&*self.labels(model)?).map(Checked::Tags)
            }
            (ModelKind::Embed, Outcome::Embedding(vector)) => vector
                .check(known.dimensions)
                .map(|()| Checked::Embedding(vector)),
            (ModelKind::Tag, Outcome::Embedding(_)) => Err(format!(
                "a vector, but models/{model} is a tagger: send labels"
            )),
            (ModelKind::Embed, Outcome::Tags(_)) => Err(format!(
                "labels, but models/{model} is an embedder: send a vector"
            )),
        })
    }

    /// The post and the model of a task, if the task exists.
    fn subject(&self, task: TaskId) -> Result<Option<(PostId, ModelId)>, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT post, model FROM task WHERE id = ?1")?;
        let mut rows = select.query(params![task.cast_signed()])?;
        Ok(match rows.next()? {
            Some(row) => Some((row.get(0)?, row.get(1)?)),
            None => None,
        })
    }
}
