//! Leases, results and failures as messages.

use std::time::Duration;

use proto::store::v1::{
    Completion, CompletionState, FailureCause, LeaseTasksResponse, LeaseToken, LeasedTask,
    SampleSource, TaskFailure, TaskResult, task_result,
};
use store_core::{
    Now, Write,
    embedding::EmbedResult,
    lease::{Claim, Holder, RENEW_EVERY, TTL, Token},
    prediction::TagResult,
    task::{self, Delivery, Outcome},
    watcher::Source,
};

use super::super::duration;
use crate::{
    Error,
    engine::{Granted, Idle},
};

/// What a node is given.
pub(super) fn leased(tasks: Vec<Granted>, idle: Option<Idle>) -> LeaseTasksResponse {
    let idle_reason = match idle {
        Some(Idle::Paused) => "PAUSED",
        Some(Idle::NodeStopped) => "NODE_STOPPED",
        None => "",
    };
    LeaseTasksResponse {
        alone: tasks.iter().any(|granted| granted.task.grant.alone),
        tasks: tasks.into_iter().map(leased_task).collect(),
        ttl: duration(Duration::from_millis(TTL)),
        renew_every: duration(Duration::from_millis(RENEW_EVERY)),
        idle_reason: idle_reason.to_owned(),
    }
}

fn leased_task(granted: Granted) -> LeasedTask {
    let Granted { task, sources } = granted;
    let (sha256, revision) = (task.sha256, task.sample.render_revision);
    // The trace of a backfill begins here.
    let traceparent = if task.traceparent.is_empty() {
        kit::trace::TraceContext::new_root().to_string()
    } else {
        task.traceparent
    };
    LeasedTask {
        name: format!("tasks/{}", task.grant.task),
        token: Some(LeaseToken {
            epoch: task.grant.token.epoch,
            counter: task.grant.token.counter,
        }),
        model: format!("models/{}", task.grant.queue),
        post: format!("posts/{}", task.post),
        sha256: kit::hex::encode(&sha256),
        render_revision: revision,
        sample_byte_size: task.sample.byte_size,
        sample_sha256: kit::hex::encode(&task.sample.sha256),
        sources: sources
            .into_iter()
            .map(|source| sample_source(source, &sha256, revision))
            .collect(),
        attempt: u32::from(task.grant.attempt),
        traceparent,
    }
}

fn sample_source(source: Source, sha256: &[u8; 32], revision: u32) -> SampleSource {
    SampleSource {
        path: sample_path(source.sample_dir, sha256, revision).into(),
        address: source.address,
        watcher: source.watcher,
    }
}

/// Where a watcher keeps a sample: `DIR/ab/SHA256-rREVISION.jpg`; empty if it did not say where.
fn sample_path(mut dir: Vec<u8>, sha256: &[u8; 32], revision: u32) -> Vec<u8> {
    if !dir.is_empty() {
        let name = kit::hex::encode(sha256);
        dir.extend_from_slice(format!("/{}/{name}-r{revision}.jpg", &name[..2]).as_bytes());
    }
    dir
}

/// A task and the lease by which it is claimed.
pub(super) fn claim(field: &str, task: &str, token: Option<LeaseToken>) -> Result<Claim, Error> {
    let token = token
        .ok_or_else(|| Error::field(format!("{field}.token"), "", "the token of the lease"))?;
    Ok(Claim {
        task: kit::id::parse("tasks/", task)?,
        token: Token {
            epoch: token.epoch,
            counter: token.counter,
        },
    })
}

/// A result as a node delivers it.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    claim: Claim,
    /// `None` if the node sent none.
    result: Option<Outcome>,
}

/// Reads a result; one that says nothing is refused later, by itself.
pub(super) fn delivered(field: &str, message: TaskResult) -> Result<Delivered, Error> {
    let revision = message.render_revision;
    let result = message.result.map(|result| match result {
        task_result::Result::Tags(tags) => Outcome::Tags(TagResult {
            labels: tags.labels,
            confidences: tags.confidences,
            render_revision: revision,
        }),
        task_result::Result::Embedding(embedding) => Outcome::Embedding(EmbedResult {
            vector: embedding.vector.into(),
            render_revision: revision,
        }),
    });
    Ok(Delivered {
        claim: claim(field, &message.task, message.token)?,
        result,
    })
}

impl Delivered {
    /// Stores it, and says what became of it.
    pub(super) fn complete(
        self,
        write: &mut Write<'_>,
        holder: Holder,
        now: Now,
    ) -> Result<Completion, store_core::Error> {
        let delivery = match &self.result {
            Some(result) => write.complete_task(holder, self.claim, result, now)?,
            None => Delivery::Refused(task::Refused {
                message: "there is no result in it".to_owned(),
            }),
        };
        let (state, message) = match delivery {
            Delivery::Accepted => (CompletionState::Accepted, String::new()),
            Delivery::Repeated => (CompletionState::Repeated, String::new()),
            Delivery::Stale => (CompletionState::Stale, String::new()),
            Delivery::Refused(refused) => (CompletionState::Refused, refused.message),
        };
        Ok(Completion {
            task: format!("tasks/{}", self.claim.task),
            state: state.into(),
            message,
        })
    }
}

/// A failure as a node reports it.
pub(super) fn failure(field: &str, message: TaskFailure) -> Result<task::Failure, Error> {
    let cause = match FailureCause::try_from(message.cause) {
        Ok(FailureCause::Permanent) => task::FailureCause::Permanent,
        Ok(FailureCause::Transient) => task::FailureCause::Transient,
        Ok(FailureCause::SourceUnavailable) => task::FailureCause::SourceUnavailable,
        Ok(FailureCause::Unspecified) | Err(_) => {
            let field = format!("{field}.cause");
            return Err(Error::field(
                field,
                &message.cause,
                "a FailureCause other than 0",
            ));
        }
    };
    Ok(task::Failure {
        claim: claim(field, &message.task, message.token)?,
        cause,
        reason: message.reason,
        message: message.message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_lies_where_the_watcher_puts_it() {
        let path = sample_path(b"/data/samples".to_vec(), &[0xab; 32], 7);
        let expected = format!("/data/samples/ab/{}-r7.jpg", "ab".repeat(32));
        assert_eq!(path, expected.as_bytes());
        assert_eq!(sample_path(Vec::new(), &[0xab; 32], 7), b"");
    }
}
