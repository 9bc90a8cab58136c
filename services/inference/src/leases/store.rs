//! The store's lease protocol as calls of this process: what is sent, what comes back, and which
//! refusals mean that it wants to be told who we are.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kit::client::{Channel, Peer};
use kit::trace::TraceContext;
use proto::store::v1 as wire;
use tonic::{Request, Status};
use wire::model_service_client::ModelServiceClient;
use wire::node_service_client::NodeServiceClient;
use wire::task_service_client::TaskServiceClient;

use super::error::Error;
use super::registration::Registration;
use super::task::{Cause, Failure, Lease, Task};

/// Leases in one RenewLeases or ReleaseLeases.
const MOST_LEASES: usize = 1024;
/// How much longer than the wait of a long poll its answer may take.
const POLL_MARGIN: Duration = Duration::from_secs(10);
/// Calls that answer at once answer within this.
const CALL: Duration = Duration::from_secs(10);
/// What is taken for the time to renew if the store does not say.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(20);

/// What a finished task becomes, in the contract's words.
pub type Finding = wire::task_result::Result;

/// The store, as this process calls it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    tasks: TaskServiceClient<Channel>,
    nodes: NodeServiceClient<Channel>,
    models: ModelServiceClient<Channel>,
    node: Arc<str>,
    incarnation: u64,
}

/// What LeaseTasks brought.
#[derive(Debug, Default)]
pub(super) struct Granted {
    pub(super) tasks: Vec<Task>,
    /// The one task runs with nothing else held.
    pub(super) alone: bool,
    pub(super) renew_every: Duration,
    /// Why nothing was leased, if not for an empty queue.
    pub(super) idle_reason: String,
}

/// A result on its way.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) lease: Lease,
    pub(super) render_revision: u32,
    pub(super) finding: Finding,
}

/// What the store made of one result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is on disk.
    Stored,
    /// The lease was lost.
    Stale,
    /// It is malformed, and why.
    Refused(String),
}

impl Store {
    pub(super) fn new(peer: &Peer, process: &kit::Process) -> Self {
        Self {
            tasks: TaskServiceClient::new(peer.channel()),
            nodes: NodeServiceClient::new(peer.channel()),
            models: ModelServiceClient::new(peer.channel()),
            node: process.instance().into(),
            incarnation: process.incarnation(),
        }
    }

    /// Registers the model and gives its resource name.
    pub(super) async fn register_model(
        &self,
        model: &wire::RegisterModelRequest,
    ) -> Result<String, Status> {
        let answer = self.models.clone().register_model(model.clone()).await?;
        let model = answer.into_inner().model.unwrap_or_default();
        if model.name.is_empty() {
            return Err(protocol("gave the model no name"));
        }
        Ok(model.name)
    }

    /// Registers the model and the node; gives the model's resource name.
    pub(super) async fn register(&self, registration: &Registration) -> Result<String, Status> {
        let name = self.register_model(&registration.model).await?;
        let mut node = registration.node.clone();
        node.models = vec![name.clone()];
        let answer = self.nodes.clone().register_node(node).await?;
        let suspects = answer.into_inner().suspects;
        if suspects > 0 {
            tracing::warn!(
                tasks.suspects = suspects,
                "this node's last process died while running these; they will run alone"
            );
        }
        Ok(name)
    }

    /// Waits up to `wait` for at most `max` tasks.
    pub(super) async fn lease(
        &self,
        model: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Granted, Status> {
        let mut request = Request::new(wire::LeaseTasksRequest {
            node: self.node.to_string(),
            incarnation: self.incarnation,
            model: model.to_owned(),
            max_tasks: u32::try_from(max.clamp(1, 256)).unwrap_or(256),
            wait: wait.try_into().ok(),
        });
        request.set_timeout(wait + POLL_MARGIN);
        let answer = self.tasks.clone().lease_tasks(request).await?.into_inner();
        let renew_every = answer.renew_every.map(Duration::try_from);
        Ok(Granted {
            tasks: answer.tasks.into_iter().filter_map(task).collect(),
            alone: answer.alone,
            renew_every: renew_every
                .and_then(Result::ok)
                .filter(|every| !every.is_zero())
                .unwrap_or(RENEW_EVERY),
            idle_reason: answer.idle_reason,
        })
    }

    /// Says what runs now; gives the tasks whose lease is lost.
    pub(super) async fn mark_running(&self, leases: &[Lease]) -> Result<Vec<String>, Status> {
        let request = timed(wire::MarkRunningRequest {
            node: self.node.to_string(),
            incarnation: self.incarnation,
            leases: leases.iter().map(task_lease).collect(),
        });
        let answer = self.tasks.clone().mark_running(request).await?;
        Ok(answer.into_inner().lost)
    }

    /// Renews leases; gives the tasks whose lease is lost.
    pub(super) async fn renew(&self, leases: &[Lease]) -> Result<Vec<String>, Status> {
        let mut lost = Vec::new();
        for part in leases.chunks(MOST_LEASES) {
            let request = timed(wire::RenewLeasesRequest {
                node: self.node.to_string(),
                incarnation: self.incarnation,
                leases: part.iter().map(task_lease).collect(),
            });
            let answer = self.tasks.clone().renew_leases(request).await?;
            lost.append(&mut answer.into_inner().lost);
        }
        Ok(lost)
    }

    /// Delivers results; one outcome for each, in order.
    pub(super) async fn complete(&self, done: &[Done]) -> Result<Vec<Outcome>, Status> {
        let results = done.iter().map(|done| wire::TaskResult {
            task: done.lease.task.to_string(),
            token: Some(token(&done.lease)),
            render_revision: done.render_revision,
            result: Some(done.finding.clone()),
        });
        let request = timed(wire::CompleteTasksRequest {
            node: self.node.to_string(),
            incarnation: self.incarnation,
            results: results.collect(),
        });
        let answer = self.tasks.clone().complete_tasks(request).await?;
        let completions = answer.into_inner().completions;
        if completions.len() != done.len() {
            let (got, wanted) = (completions.len(), done.len());
            return Err(protocol(&format!("answered {got} of {wanted} results")));
        }
        let outcome = |completion: wire::Completion| match completion.state() {
            wire::CompletionState::Accepted | wire::CompletionState::Repeated => Outcome::Stored,
            wire::CompletionState::Stale => Outcome::Stale,
            wire::CompletionState::Refused | wire::CompletionState::Unspecified => {
                Outcome::Refused(completion.message)
            }
        };
        Ok(completions.into_iter().map(outcome).collect())
    }

    /// Reports failures; gives the tasks whose lease was lost.
    pub(super) async fn fail(&self, failed: &[(Lease, Failure)]) -> Result<Vec<String>, Status> {
        let failures = failed.iter().map(|(lease, failure)| wire::TaskFailure {
            task: lease.task.to_string(),
            token: Some(token(lease)),
            cause: match failure.cause {
                Cause::Permanent => wire::FailureCause::Permanent.into(),
                Cause::Transient => wire::FailureCause::Transient.into(),
                Cause::SourceUnavailable => wire::FailureCause::SourceUnavailable.into(),
            },
            reason: failure.reason.clone(),
            message: failure.message.chars().take(1000).collect(),
        });
        let request = timed(wire::FailTasksRequest {
            node: self.node.to_string(),
            incarnation: self.incarnation,
            failures: failures.collect(),
        });
        let answer = self.tasks.clone().fail_tasks(request).await?;
        Ok(answer.into_inner().stale)
    }

    /// Gives leases back undone.
    pub(super) async fn release(&self, leases: &[Lease]) -> Result<(), Status> {
        for part in leases.chunks(MOST_LEASES) {
            let request = timed(wire::ReleaseLeasesRequest {
                node: self.node.to_string(),
                incarnation: self.incarnation,
                leases: part.iter().map(task_lease).collect(),
            });
            self.tasks.clone().release_leases(request).await?;
        }
        Ok(())
    }
}

/// Whether the store does not know who we are (any more), or which model we mean.
pub(super) fn wants_registration(status: &Status) -> bool {
    let reason = kit::code::reason(status);
    matches!(
        reason.as_deref(),
        Some("STALE_INCARNATION" | "NO_SUCH_NODE" | "NO_SUCH_MODEL")
    )
}

fn protocol(what: &str) -> Status {
    kit::code::status(&Error::Protocol(what.to_owned()))
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL);
    request
}

fn token(lease: &Lease) -> wire::LeaseToken {
    let (epoch, counter) = lease.token;
    wire::LeaseToken { epoch, counter }
}

fn task_lease(lease: &Lease) -> wire::TaskLease {
    wire::TaskLease {
        task: lease.task.to_string(),
        token: Some(token(lease)),
    }
}

/// A task as leased. One without a token cannot be answered for; its lease will run out.
fn task(leased: wire::LeasedTask) -> Option<Task> {
    let Some(token) = leased.token else {
        tracing::error!(
            task = leased.name,
            "leased without a token; leaving it alone"
        );
        return None;
    };
    let (mut paths, mut addresses) = (Vec::new(), Vec::new());
    for source in leased.sources.into_iter().take(8) {
        if !source.path.is_empty() {
            let path = std::ffi::OsString::from_vec(source.path.to_vec());
            paths.extend(Some(PathBuf::from(path)).filter(|path| path.is_absolute()));
        }
        if !source.address.is_empty() && !addresses.contains(&source.address) {
            addresses.push(source.address);
        }
    }
    Some(Task {
        lease: Lease {
            task: leased.name.into(),
            token: (token.epoch, token.counter),
        },
        sha256: leased.sha256,
        render_revision: leased.render_revision,
        sample_bytes: leased.sample_byte_size,
        // Zeros match no sample, so that a malformed checksum fails as a wrong one.
        sample_sha256: kit::hex::decode(&leased.sample_sha256).unwrap_or_default(),
        paths,
        addresses,
        trace: leased
            .traceparent
            .parse()
            .map_or_else(|_| TraceContext::new_root(), TraceContext::child),
    })
}
