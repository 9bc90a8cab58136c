//! Tasks: the lease protocol's door. What people do with the queue is in `task/queue.rs`.

mod message;
mod queue;

use std::time::Duration;

use futures_util::future::try_join_all;
use proto::store::v1::{
    CompleteTasksRequest, CompleteTasksResponse, Completion, FailTasksRequest, FailTasksResponse,
    LeaseTasksRequest, LeaseTasksResponse, ListTasksRequest, ListTasksResponse, MarkRunningRequest,
    MarkRunningResponse, PauseQueueRequest, PauseQueueResponse, ReleaseLeasesRequest,
    ReleaseLeasesResponse, RenewLeasesRequest, RenewLeasesResponse, ReportCrashRequest,
    ReportCrashResponse, ResumeQueueRequest, ResumeQueueResponse, RetryTasksRequest,
    RetryTasksResponse, TaskLease, task_service_server::TaskService,
};
use store_core::{
    Now, Write,
    lease::{Claim, Holder, Renewal, TTL, Verdict},
    node::Subject,
};
use tonic::{Request, Response, Status};

use super::{Door, at_most, duration, model, refuse, subject};
use crate::{Error, engine::LeaseRequest};

/// Most tasks in one call.
const MAX_TASKS: usize = 256;
/// Most leases in one renewal or release.
const MAX_LEASES: usize = 1_024;
/// Longest wait for work.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Results in one request of a group, so that it holds the thread for milliseconds only.
const SLICE: usize = 32;

#[tonic::async_trait]
impl TaskService for Door {
    async fn lease_tasks(
        &self,
        request: Request<LeaseTasksRequest>,
    ) -> Result<Response<LeaseTasksResponse>, Status> {
        let subject = subject(&request);
        let request = lease_request(request.into_inner(), subject).map_err(refuse)?;
        // At shutdown those who wait are sent away with nothing, so that the drain is short.
        let (tasks, idle) = match self.shutdown.or(self.engine.lease(request)).await {
            Some(grants) => grants.map_err(refuse)?.take(),
            None => (Vec::new(), None),
        };
        Ok(Response::new(message::leased(tasks, idle)))
    }

    async fn mark_running(
        &self,
        request: Request<MarkRunningRequest>,
    ) -> Result<Response<MarkRunningResponse>, Status> {
        let subject = subject(&request);
        let request = request.into_inner();
        let who = Who(request.node, request.incarnation, subject);
        at_most("leases", request.leases.len(), MAX_TASKS).map_err(refuse)?;
        let lost = self
            .claims(who, &request.leases, Act::Run)
            .await
            .map_err(refuse)?;
        Ok(Response::new(MarkRunningResponse { lost }))
    }

    async fn renew_leases(
        &self,
        request: Request<RenewLeasesRequest>,
    ) -> Result<Response<RenewLeasesResponse>, Status> {
        let subject = subject(&request);
        let request = request.into_inner();
        let who = Who(request.node, request.incarnation, subject);
        at_most("leases", request.leases.len(), MAX_LEASES).map_err(refuse)?;
        let lost = self
            .claims(who, &request.leases, Act::Renew)
            .await
            .map_err(refuse)?;
        let ttl = duration(Duration::from_millis(TTL));
        Ok(Response::new(RenewLeasesResponse { lost, ttl }))
    }

    async fn complete_tasks(
        &self,
        request: Request<CompleteTasksRequest>,
    ) -> Result<Response<CompleteTasksResponse>, Status> {
        let subject = subject(&request);
        let request = request.into_inner();
        let who = Who(request.node, request.incarnation, subject);
        at_most("results", request.results.len(), MAX_TASKS).map_err(refuse)?;
        let results: Vec<message::Delivered> = request
            .results
            .into_iter()
            .enumerate()
            .map(|(index, result)| message::delivered(&format!("results[{index}]"), result))
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        let completions = self.complete(who, &results).await.map_err(refuse)?;
        Ok(Response::new(CompleteTasksResponse { completions }))
    }

    async fn fail_tasks(
        &self,
        request: Request<FailTasksRequest>,
    ) -> Result<Response<FailTasksResponse>, Status> {
        let subject = subject(&request);
        let request = request.into_inner();
        let who = Who(request.node, request.incarnation, subject);
        at_most("failures", request.failures.len(), MAX_TASKS).map_err(refuse)?;
        let failures: Vec<store_core::task::Failure> = request
            .failures
            .into_iter()
            .enumerate()
            .map(|(index, failure)| message::failure(&format!("failures[{index}]"), failure))
            .collect::<Result<_, _>>()
            .map_err(refuse)?;
        let write = self.engine.write(move |write, now| {
            let holder = who.holder(write)?;
            let mut stale = Vec::new();
            for failure in &failures {
                if write.fail_task(holder, failure, now)? == Verdict::Stale {
                    stale.push(format!("tasks/{}", failure.claim.task));
                }
            }
            Ok(stale)
        });
        Ok(Response::new(FailTasksResponse {
            stale: write.await.map_err(refuse)?,
        }))
    }

    async fn release_leases(
        &self,
        request: Request<ReleaseLeasesRequest>,
    ) -> Result<Response<ReleaseLeasesResponse>, Status> {
        let subject = subject(&request);
        let request = request.into_inner();
        let who = Who(request.node, request.incarnation, subject);
        at_most("leases", request.leases.len(), MAX_LEASES).map_err(refuse)?;
        self.claims(who, &request.leases, Act::Release)
            .await
            .map_err(refuse)?;
        Ok(Response::new(ReleaseLeasesResponse {}))
    }

    async fn report_crash(
        &self,
        request: Request<ReportCrashRequest>,
    ) -> Result<Response<ReportCrashResponse>, Status> {
        let subject = subject(&request);
        let request = request.into_inner();
        let who = Who(request.node, request.incarnation, subject);
        let write = self.engine.write(move |write, now| {
            let holder = who.holder(write)?;
            write.report_crash(holder, now)
        });
        let suspects = write.await.map_err(refuse)?.into_iter();
        Ok(Response::new(ReportCrashResponse {
            suspects: suspects.map(|task| format!("tasks/{task}")).collect(),
        }))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksResponse>, Status> {
        let list = queue::List::read(&request.into_inner()).map_err(refuse)?;
        let read = self.engine.read(move |store, now| list.page(store, now));
        Ok(Response::new(read.await.map_err(refuse)?))
    }

    async fn retry_tasks(
        &self,
        request: Request<RetryTasksRequest>,
    ) -> Result<Response<RetryTasksResponse>, Status> {
        let retried = queue::retry(&self.engine, request.into_inner()).await;
        Ok(Response::new(retried.map_err(refuse)?))
    }

    async fn pause_queue(
        &self,
        request: Request<PauseQueueRequest>,
    ) -> Result<Response<PauseQueueResponse>, Status> {
        let kind = model::some_kind("kind", request.into_inner().kind).map_err(refuse)?;
        let write = self
            .engine
            .write(move |write, now| queue::pause(write, kind, true, now));
        write.await.map_err(refuse)?;
        Ok(Response::new(PauseQueueResponse {}))
    }

    async fn resume_queue(
        &self,
        request: Request<ResumeQueueRequest>,
    ) -> Result<Response<ResumeQueueResponse>, Status> {
        let ResumeQueueRequest { kind, node } = request.into_inner();
        let kind = model::some_kind("kind", kind).map_err(refuse)?;
        let write = self.engine.write(move |write, now| {
            if !node.is_empty() {
                queue::resume_node(write, &node, now)?;
            }
            queue::pause(write, kind, false, now)
        });
        write.await.map_err(refuse)?;
        Ok(Response::new(ResumeQueueResponse {}))
    }
}

/// A node by its name and incarnation, and whose token it shows.
#[derive(Debug, Clone)]
struct Who(String, u64, Subject);

impl Who {
    fn holder(&self, write: &Write<'_>) -> Result<Holder, store_core::Error> {
        write.holder(&self.0, self.1, &self.2)
    }
}

/// What is done with leases.
#[derive(Debug, Clone, Copy)]
enum Act {
    Run,
    Renew,
    Release,
}

impl Act {
    /// Does it; one answer for each claim.
    fn on(
        self,
        write: &mut Write<'_>,
        holder: Holder,
        claims: Vec<Claim>,
        now: Now,
    ) -> Result<Vec<Renewal>, store_core::Error> {
        match self {
            Self::Run => write.mark_running(holder, claims, now),
            Self::Renew => write.renew_leases(holder, claims, now),
            Self::Release => write.release_leases(holder, claims, now),
        }
    }
}

impl Door {
    /// Acts on leases; returns those that are no longer held.
    async fn claims(&self, who: Who, leases: &[TaskLease], act: Act) -> Result<Vec<String>, Error> {
        let claim = |(index, lease): (usize, &TaskLease)| {
            message::claim(&format!("leases[{index}]"), &lease.task, lease.token)
        };
        let claims: Vec<Claim> = leases
            .iter()
            .enumerate()
            .map(claim)
            .collect::<Result<_, _>>()?;
        let sent = claims.clone();
        let write = self.engine.write(move |write, now| {
            let holder = who.holder(write)?;
            act.on(write, holder, sent, now)
        });
        let answers = write.await?;
        let lost = claims
            .iter()
            .zip(answers)
            .filter(|(_, answer)| *answer == Renewal::Lost);
        Ok(lost
            .map(|(claim, _)| format!("tasks/{}", claim.task))
            .collect())
    }

    /// Stores results, a slice in each request; the slices share a group where they can.
    async fn complete(
        &self,
        who: Who,
        results: &[message::Delivered],
    ) -> Result<Vec<Completion>, Error> {
        let slices = results.chunks(SLICE).map(|slice| {
            let (who, slice) = (who.clone(), slice.to_vec());
            self.engine.write(move |write, now| {
                let holder = who.holder(write)?;
                let mut completions = Vec::with_capacity(slice.len());
                for delivered in slice {
                    completions.push(delivered.complete(write, holder, now)?);
                }
                Ok(completions)
            })
        });
        let completions = try_join_all(slices).await?;
        Ok(completions.into_iter().flatten().collect())
    }
}

fn lease_request(request: LeaseTasksRequest, subject: Subject) -> Result<LeaseRequest, Error> {
    let max = request.max_tasks as usize;
    if max == 0 || max > MAX_TASKS {
        return Err(Error::field("max_tasks", &max, "1 to 256"));
    }
    let wait = match request.wait {
        None => Duration::ZERO,
        Some(wait) => Duration::try_from(wait)
            .map_err(|_| Error::field("wait", &format!("{wait:?}"), "0 to 60 s"))?,
    };
    Ok(LeaseRequest {
        model: model::name(&request.model)?,
        node: request.node,
        incarnation: request.incarnation,
        subject,
        max,
        wait_ms: wait.min(MAX_WAIT).as_millis() as u64,
    })
}
