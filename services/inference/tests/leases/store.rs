//! The store of these tests: it answers as the real one does, and looks at every word.

use std::time::{Duration, Instant};

use kit::{Code, Fault};
use proto::store::v1 as wire;
use tonic::{Request, Response, Status};
use wire::model_service_server::ModelService;
use wire::node_service_server::NodeService;
use wire::task_service_server::TaskService;

use crate::state::State;

/// A refusal with the reason that the real store gives.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(&'static str);

impl Fault for Refusal {
    fn code(&self) -> Code {
        match self.0 {
            "UNREACHABLE" => Code::Unavailable,
            _ => Code::FailedPrecondition,
        }
    }
    fn reason(&self) -> &'static str {
        self.0
    }
}

fn refuse<T>(reason: &'static str) -> Result<T, Status> {
    Err(kit::code::status(&Refusal(reason)))
}

type Answer<T> = Result<Response<T>, Status>;

fn unused<T>() -> Answer<T> {
    Err(Status::unimplemented("no node calls this"))
}

impl State {
    fn known(&self, incarnation: u64) -> Result<(), Status> {
        if self.lock().registered == Some(incarnation) {
            Ok(())
        } else {
            refuse("STALE_INCARNATION")
        }
    }

    /// Now and then the work is done and the answer lost.
    fn answer<T>(&self, answer: T) -> Answer<T> {
        let mut inner = self.lock();
        if inner.lose_answers > 0 {
            inner.lose_answers -= 1;
            return refuse("UNREACHABLE");
        }
        Ok(Response::new(answer))
    }

    fn grant(&self, request: &wire::LeaseTasksRequest) -> (Vec<wire::LeasedTask>, bool) {
        let mut inner = self.lock();
        inner.tick();
        let mut leased = Vec::new();
        let free: Vec<usize> = (0..inner.tasks.len())
            .filter(|&index| {
                let task = &inner.tasks[index];
                task.lease.is_none() && task.results.is_empty() && task.failure.is_none()
            })
            .take(request.max_tasks as usize)
            .collect();
        let mut alone = false;
        for index in free {
            if inner.tasks[index].alone && !leased.is_empty() {
                break;
            }
            alone = inner.tasks[index].alone;
            inner.counter += 1;
            let counter = inner.counter;
            let task = &mut inner.tasks[index];
            task.lease = Some((counter, Instant::now() + self.ttl));
            task.leased_times += 1;
            task.marked = false;
            leased.push(wire::LeasedTask {
                name: format!("tasks/{index}"),
                token: Some(wire::LeaseToken { epoch: 1, counter }),
                model: "models/1".to_owned(),
                post: format!("posts/{index}"),
                sha256: format!("{index:064x}"),
                render_revision: 3,
                sample_byte_size: task.byte_size,
                sample_sha256: task.sha256.clone(),
                sources: task.sources.clone(),
                attempt: task.leased_times,
                traceparent: String::new(),
            });
            if alone {
                break;
            }
        }
        inner.most_held = inner.most_held.max(inner.held());
        (leased, alone)
    }
}

#[tonic::async_trait]
impl TaskService for State {
    async fn lease_tasks(
        &self,
        request: Request<wire::LeaseTasksRequest>,
    ) -> Answer<wire::LeaseTasksResponse> {
        let request = request.into_inner();
        self.known(request.incarnation)?;
        {
            let mut inner = self.lock();
            inner.most_asked = inner.most_asked.max(request.max_tasks);
            if request.model != "models/1" || !(1..=256).contains(&request.max_tasks) {
                inner.violation(format!("a strange request: {request:?}"));
            }
        }
        let wait = request
            .wait
            .map_or(Duration::ZERO, |wait| wait.try_into().unwrap());
        let until = Instant::now() + wait;
        loop {
            let (tasks, alone) = self.grant(&request);
            let idle_reason = self.lock().idle_reason.clone();
            if !tasks.is_empty() || Instant::now() >= until || !idle_reason.is_empty() {
                return Ok(Response::new(wire::LeaseTasksResponse {
                    tasks,
                    alone,
                    ttl: self.ttl.try_into().ok(),
                    renew_every: self.renew_every.try_into().ok(),
                    idle_reason,
                }));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn mark_running(
        &self,
        request: Request<wire::MarkRunningRequest>,
    ) -> Answer<wire::MarkRunningResponse> {
        let request = request.into_inner();
        self.known(request.incarnation)?;
        let lost = self.lock().mark(&request.leases);
        self.answer(wire::MarkRunningResponse { lost })
    }

    async fn renew_leases(
        &self,
        request: Request<wire::RenewLeasesRequest>,
    ) -> Answer<wire::RenewLeasesResponse> {
        let request = request.into_inner();
        self.known(request.incarnation)?;
        let mut inner = self.lock();
        inner.renewals += 1;
        let mut lost = Vec::new();
        for lease in request.leases {
            match inner.find(&lease.task, lease.token) {
                Some(index) => {
                    let deadline = Instant::now() + self.ttl;
                    let lease = &mut inner.tasks[index].lease;
                    *lease = lease.map(|(counter, _)| (counter, deadline));
                }
                None => lost.push(lease.task),
            }
        }
        let ttl = self.ttl.try_into().ok();
        Ok(Response::new(wire::RenewLeasesResponse { lost, ttl }))
    }

    async fn complete_tasks(
        &self,
        request: Request<wire::CompleteTasksRequest>,
    ) -> Answer<wire::CompleteTasksResponse> {
        let request = request.into_inner();
        self.known(request.incarnation)?;
        let mut completions = Vec::new();
        {
            let mut inner = self.lock();
            inner.completions += 1;
            if request.results.is_empty() || request.results.len() > 256 {
                inner.violation(format!("{} results in one call", request.results.len()));
            }
            for result in request.results {
                let task = result.task.clone();
                let state = inner.complete(result);
                let (state, message) = (state.into(), String::new());
                completions.push(wire::Completion {
                    task,
                    state,
                    message,
                });
            }
        }
        self.answer(wire::CompleteTasksResponse { completions })
    }

    async fn fail_tasks(
        &self,
        request: Request<wire::FailTasksRequest>,
    ) -> Answer<wire::FailTasksResponse> {
        let request = request.into_inner();
        self.known(request.incarnation)?;
        let mut inner = self.lock();
        let mut stale = Vec::new();
        for failure in request.failures {
            match inner.find(&failure.task, failure.token) {
                Some(index) => {
                    inner.tasks[index].lease = None;
                    inner.tasks[index].running = false;
                    inner.tasks[index].failure = Some(failure);
                }
                None => stale.push(failure.task),
            }
        }
        Ok(Response::new(wire::FailTasksResponse { stale }))
    }

    async fn release_leases(
        &self,
        request: Request<wire::ReleaseLeasesRequest>,
    ) -> Answer<wire::ReleaseLeasesResponse> {
        let request = request.into_inner();
        self.known(request.incarnation)?;
        let mut inner = self.lock();
        for lease in request.leases {
            if let Some(index) = inner.find(&lease.task, lease.token) {
                inner.tasks[index].lease = None;
                inner.tasks[index].running = false;
                inner.tasks[index].released += 1;
            }
        }
        Ok(Response::new(wire::ReleaseLeasesResponse {}))
    }

    async fn report_crash(
        &self,
        _: Request<wire::ReportCrashRequest>,
    ) -> Answer<wire::ReportCrashResponse> {
        unused()
    }
    async fn list_tasks(
        &self,
        _: Request<wire::ListTasksRequest>,
    ) -> Answer<wire::ListTasksResponse> {
        unused()
    }
    async fn retry_tasks(
        &self,
        _: Request<wire::RetryTasksRequest>,
    ) -> Answer<wire::RetryTasksResponse> {
        unused()
    }
    async fn pause_queue(
        &self,
        _: Request<wire::PauseQueueRequest>,
    ) -> Answer<wire::PauseQueueResponse> {
        unused()
    }
    async fn resume_queue(
        &self,
        _: Request<wire::ResumeQueueRequest>,
    ) -> Answer<wire::ResumeQueueResponse> {
        unused()
    }
}

impl crate::state::Inner {
    fn complete(&mut self, result: wire::TaskResult) -> wire::CompletionState {
        if result.render_revision != 3 {
            self.violation(format!("render revision {}", result.render_revision));
        }
        let Some(wire::task_result::Result::Tags(tags)) = result.result else {
            self.violation(format!("{} without a result", result.task));
            return wire::CompletionState::Refused;
        };
        let Some(index) = self.find(&result.task, result.token) else {
            // Under the token of its result it is a repetition, under any other too late.
            let index: usize = result.task["tasks/".len()..].parse().unwrap();
            let before = self.tasks[index].results.last();
            return match before {
                Some(same) if *same == tags => wire::CompletionState::Repeated,
                _ => wire::CompletionState::Stale,
            };
        };
        if !self.tasks[index].marked {
            self.violation(format!("{} was never marked as running", result.task));
        }
        self.tasks[index].lease = None;
        self.tasks[index].running = false;
        self.tasks[index].results.push(tags);
        wire::CompletionState::Accepted
    }
}

#[tonic::async_trait]
impl NodeService for State {
    async fn register_node(
        &self,
        request: Request<wire::RegisterNodeRequest>,
    ) -> Answer<wire::RegisterNodeResponse> {
        let request = request.into_inner();
        let mut inner = self.lock();
        if request.models != ["models/1"]
            || request.device_class() != wire::DeviceClass::Cpu
            || !request.device_proof.contains("CPUExecutionProvider")
        {
            inner.violation(format!("a strange node: {request:?}"));
        }
        if inner.retired == Some(request.incarnation) {
            return refuse("STALE_INCARNATION");
        }
        inner.registered = Some(request.incarnation);
        inner.registrations += 1;
        Ok(Response::new(wire::RegisterNodeResponse { suspects: 0 }))
    }
    async fn register_watcher(
        &self,
        _: Request<wire::RegisterWatcherRequest>,
    ) -> Answer<wire::RegisterWatcherResponse> {
        unused()
    }
    async fn heartbeat_watcher(
        &self,
        _: Request<wire::HeartbeatWatcherRequest>,
    ) -> Answer<wire::HeartbeatWatcherResponse> {
        unused()
    }
    async fn list_nodes(
        &self,
        _: Request<wire::ListNodesRequest>,
    ) -> Answer<wire::ListNodesResponse> {
        unused()
    }
}

#[tonic::async_trait]
impl ModelService for State {
    async fn register_model(
        &self,
        request: Request<wire::RegisterModelRequest>,
    ) -> Answer<wire::RegisterModelResponse> {
        let request = request.into_inner();
        if request.labels.len() != 34 || !request.activate_if_first || request.revision.len() != 64
        {
            self.lock()
                .violation(format!("a strange model: {request:?}"));
        }
        Ok(Response::new(wire::RegisterModelResponse {
            model: Some(wire::Model {
                name: "models/1".to_owned(),
                ..wire::Model::default()
            }),
        }))
    }
    async fn activate_model(
        &self,
        _: Request<wire::ActivateModelRequest>,
    ) -> Answer<wire::ActivateModelResponse> {
        unused()
    }
    async fn deactivate_model(
        &self,
        _: Request<wire::DeactivateModelRequest>,
    ) -> Answer<wire::DeactivateModelResponse> {
        unused()
    }
    async fn list_models(
        &self,
        _: Request<wire::ListModelsRequest>,
    ) -> Answer<wire::ListModelsResponse> {
        unused()
    }
}
