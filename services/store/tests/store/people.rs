//! What people do and see: the list of tasks, retrying, pausing, nodes, demand.

use std::time::{Duration, Instant};

use proto::store::v1::{
    FailTasksRequest, FailureCause, HeartbeatWatcherRequest, IngestFailure, ListModelsRequest,
    ListNodesRequest, ListTasksRequest, ListTasksResponse, ModelKind, Node, PauseQueueRequest,
    ReportIngestFailuresRequest, RequestCapacityRequest, ResumeQueueRequest, RetryTasksRequest,
    TaskState, WatchDemandRequest, WatchDemandResponse,
};
use tonic::{Code, Status};

use crate::{
    harness::{Clients, Scene, eventually, node, picture, refused, watcher},
    leasing::failure,
};

const AT_ONCE: Duration = Duration::ZERO;

#[tokio::test]
async fn tasks_and_files_that_failed_are_listed_together_in_pages() {
    let Scene { mut to, .. } = Scene::new().await;
    fail_some(&mut to).await;
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = list(&mut to, TaskState::Failed, 2, &token)
            .await
            .expect("lists");
        assert!(page.tasks.len() <= 2);
        seen.extend(page.tasks);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let names: Vec<_> = seen.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "tasks/1",
            "tasks/2",
            "tasks/3",
            "ingestFailures/1",
            "ingestFailures/2"
        ]
    );
    let task = &seen[0];
    assert_eq!(
        (task.reason.as_str(), task.node.as_str()),
        ("DECODE_FAILED", "one")
    );
    assert_eq!(
        (task.kind(), task.post.as_str()),
        (ModelKind::Tag, "posts/1")
    );
    assert_eq!(task.display_path, "/pictures/den/1.png");
    assert_eq!(task.message, "it is no picture");
    let file = &seen[3];
    assert_eq!(
        (file.kind(), file.reason.as_str()),
        (ModelKind::Unspecified, "TRUNCATED")
    );
    assert_eq!(file.display_path, "/pictures/den/100.png");

    let queued = list(&mut to, TaskState::Queued, 0, "")
        .await
        .expect("lists");
    assert_eq!(queued.tasks.len(), 2);
    let all = list(&mut to, TaskState::Unspecified, 0, "")
        .await
        .expect("lists");
    assert_eq!(all.tasks.len(), 7);
    let first = list(&mut to, TaskState::Failed, 1, "")
        .await
        .expect("lists");
    let other = list(&mut to, TaskState::Queued, 1, &first.next_page_token).await;
    refused(other, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn what_failed_is_retried_by_name_by_reason_or_all() {
    let Scene { mut to, .. } = Scene::new().await;
    fail_some(&mut to).await;
    let retry = |names: &[&str], all_failed, reason: &str| RetryTasksRequest {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        all_failed,
        reason: reason.to_owned(),
    };
    let named = retry(
        &["tasks/1", "tasks/4", "tasks/99", "ingestFailures/2"],
        false,
        "",
    );
    let answer = to
        .tasks
        .retry_tasks(named)
        .await
        .expect("retries")
        .into_inner();
    assert_eq!(answer.retried, 2);
    assert_eq!(answer.skipped, ["tasks/4", "tasks/99"]);

    // The watcher is told of the file, once.
    let beat = HeartbeatWatcherRequest {
        watcher: "den".to_owned(),
        incarnation: 1,
        roots: watcher("den").roots,
        progress: None,
    };
    let told = to
        .nodes
        .heartbeat_watcher(beat.clone())
        .await
        .expect("is known");
    let told = told.into_inner().retry;
    assert_eq!((told.len(), &told[0].path[..]), (1, &b"101.png"[..]));
    let told = to.nodes.heartbeat_watcher(beat).await.expect("is known");
    assert!(told.into_inner().retry.is_empty());
    let failed = list(&mut to, TaskState::Failed, 0, "")
        .await
        .expect("lists");
    assert_eq!(
        failed.tasks.len(),
        3,
        "what is tried again is not failed now"
    );

    let by_reason = retry(&[], true, "TRUNCATED");
    let answer = to
        .tasks
        .retry_tasks(by_reason)
        .await
        .expect("retries")
        .into_inner();
    assert_eq!(answer.retried, 2);
    let all = to
        .tasks
        .retry_tasks(retry(&[], true, ""))
        .await
        .expect("retries");
    assert_eq!(all.into_inner().retried, 4);
    assert_eq!(to.stats().await.tasks_failed, 0);

    for bad in [
        retry(&[], false, ""),
        retry(&["tasks/1"], true, ""),
        retry(&["tasks/1"], false, "X"),
    ] {
        let answer = to.tasks.retry_tasks(bad).await;
        refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    }
    let answer = to.tasks.retry_tasks(retry(&["posts/1"], false, "")).await;
    refused(answer, Code::InvalidArgument, "BAD_RESOURCE_NAME");
}

/// Whether the queue of each model is paused.
async fn paused(to: &mut Clients) -> Vec<bool> {
    let models = to.models.list_models(ListModelsRequest {}).await;
    let models = models.expect("lists").into_inner().models;
    models.iter().map(|model| model.paused).collect()
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_says_so_and_stays_paused_over_a_restart() {
    let mut scene = Scene::new().await;
    scene.to.register(1..=2).await;
    let pause = PauseQueueRequest {
        kind: ModelKind::Tag.into(),
    };
    scene.to.tasks.pause_queue(pause).await.expect("pauses");
    let mut scene = scene.restart().await;
    let to = &mut scene.to;
    let leased = to.lease("one", 2, AT_ONCE).await;
    assert_eq!(
        (leased.tasks.len(), leased.idle_reason.as_str()),
        (0, "PAUSED")
    );
    assert_eq!(paused(to).await, [true], "people can see it");

    let mut waiting = to.clone();
    let resume = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let resume = ResumeQueueRequest {
            kind: 0,
            node: String::new(),
        };
        to.tasks.resume_queue(resume).await.expect("resumes");
    };
    let wait = waiting.lease("one", 2, Duration::from_secs(20));
    let (leased, ()) = tokio::join!(wait, resume);
    assert_eq!(leased.tasks.len(), 2, "resuming wakes those who wait");

    let to = &mut scene.to;
    assert_eq!(paused(to).await, [false]);
    let answer = to.tasks.pause_queue(PauseQueueRequest { kind: 77 }).await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    let unknown = ResumeQueueRequest {
        kind: 0,
        node: "nobody".to_owned(),
    };
    let answer = to.tasks.resume_queue(unknown).await;
    refused(answer, Code::NotFound, "NO_SUCH_NODE");
}

#[tokio::test]
async fn a_node_that_fails_everything_is_stopped_until_a_person_lets_it_go_on() {
    let Scene { mut to, .. } = Scene::new().await;
    to.nodes
        .register_node(node("broken", 1))
        .await
        .expect("registers");
    to.register(1..=20).await;
    let good = to.lease("one", 4, AT_ONCE).await.tasks;
    let bad = to.lease("broken", 12, AT_ONCE).await.tasks;
    let request = FailTasksRequest {
        node: "broken".to_owned(),
        incarnation: 1,
        failures: bad
            .iter()
            .map(|task| failure(task, FailureCause::Permanent))
            .collect(),
    };
    to.tasks.fail_tasks(request).await.expect("answers");
    assert_eq!(to.stats().await.tasks_failed, 12);
    to.complete("one", &good, &[1]).await;
    assert_eq!(
        to.stats().await.tasks_failed,
        0,
        "the library has not failed"
    );
    let leased = to.lease("broken", 4, AT_ONCE).await;
    assert_eq!(
        (leased.tasks.len(), leased.idle_reason.as_str()),
        (0, "NODE_STOPPED")
    );
    let stopped = nodes(&mut to).await;
    let stopped = stopped.iter().find(|node| node.name == "nodes/broken");
    assert_eq!(
        stopped.map(|node| node.stopped_reason.as_str()),
        Some("NODE_STOPPED")
    );
    let resume = ResumeQueueRequest {
        kind: 0,
        node: "nodes/broken".to_owned(),
    };
    to.tasks.resume_queue(resume).await.expect("resumes");
    assert_eq!(to.lease("broken", 4, AT_ONCE).await.tasks.len(), 4);
}

#[tokio::test]
async fn nodes_and_watchers_are_listed_and_silence_makes_them_offline() {
    let Scene { mut to, store, .. } = Scene::new().await;
    to.register([1]).await;
    to.lease("one", 1, AT_ONCE).await;
    let seen = nodes(&mut to).await;
    let names: Vec<_> = seen
        .iter()
        .map(|n| (&*n.name, &*n.role, n.online, n.leased))
        .collect();
    let expected = [
        ("watchers/den", "watcher", true, 0),
        ("nodes/one", "tagger", true, 1),
    ];
    assert_eq!(names, expected);
    assert_eq!(seen[1].models, ["models/1"]);
    let online = |seen: &[Node]| seen.iter().map(|n| n.online).collect::<Vec<_>>();
    store.clock.advance(Duration::from_secs(36));
    assert_eq!(online(&nodes(&mut to).await), [false, true]);
    store.clock.advance(Duration::from_secs(60));
    assert_eq!(online(&nodes(&mut to).await), [false, false]);
}

#[tokio::test]
async fn demand_is_told_at_once_and_when_it_changes() {
    let Scene { mut to, .. } = Scene::new().await;
    let answer = to.capacity.watch_demand(WatchDemandRequest {}).await;
    let mut demand = answer.expect("streams").into_inner();
    let first = next(&mut demand).await;
    assert!(first.demands.is_empty(), "{first:?}");

    to.register(1..=5).await;
    let after = until(&mut demand, |d| {
        d.demands.first().is_some_and(|d| d.leasable == 5)
    })
    .await;
    assert_eq!(after.demands[0].model, "models/1");
    let request = RequestCapacityRequest {
        kind: ModelKind::Tag.into(),
    };
    let asked = to
        .capacity
        .request_capacity(request)
        .await
        .expect("counts")
        .into_inner();
    assert_eq!(asked.held.map(|held| held.seconds), Some(600));
    assert_eq!(asked.nodes[0].name, "nodes/one");
    until(&mut demand, |d| d.demands[0].interactive == 1).await;
    to.lease("one", 2, AT_ONCE).await;
    until(&mut demand, |d| {
        (d.demands[0].leasable, d.demands[0].leased) == (3, 2)
    })
    .await;

    // Many changes in a second are told a few times only, and the last is among them.
    let began = Instant::now();
    let mut told = 0;
    let mut registering = to.clone();
    let changes = async {
        for n in 10..60 {
            registering.register([n]).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let listen = async {
        loop {
            told += 1;
            if next(&mut demand).await.demands[0].leasable == 53 {
                break;
            }
        }
    };
    tokio::join!(changes, listen);
    let most = began.elapsed().as_millis() / 250 + 2;
    assert!(told <= most, "{told} messages, at most {most} are due");

    let bad = to
        .capacity
        .request_capacity(RequestCapacityRequest { kind: 0 })
        .await;
    refused(bad, Code::InvalidArgument, "INVALID_FIELD");
}

/// Three failed tasks and two queued ones; two files that failed.
async fn fail_some(to: &mut Clients) {
    to.register(1..=5).await;
    let tasks = to.lease("one", 3, AT_ONCE).await.tasks;
    let request = FailTasksRequest {
        node: "one".to_owned(),
        incarnation: 1,
        failures: tasks
            .iter()
            .map(|t| failure(t, FailureCause::Permanent))
            .collect(),
    };
    to.tasks.fail_tasks(request).await.expect("answers");
    let file = |number: u32| IngestFailure {
        location: picture(number).location,
        reason: "TRUNCATED".to_owned(),
        message: "it ends early".to_owned(),
        sha256: String::new(),
    };
    let request = ReportIngestFailuresRequest {
        failures: vec![file(100), file(101)],
    };
    to.locations
        .report_ingest_failures(request)
        .await
        .expect("reports");
}

async fn list(
    to: &mut Clients,
    state: TaskState,
    page_size: i32,
    page_token: &str,
) -> Result<ListTasksResponse, Status> {
    let request = ListTasksRequest {
        state: state.into(),
        page_size,
        page_token: page_token.to_owned(),
    };
    Ok(to.tasks.list_tasks(request).await?.into_inner())
}

async fn nodes(to: &mut Clients) -> Vec<Node> {
    let answer = to.nodes.list_nodes(ListNodesRequest {}).await;
    answer.expect("lists").into_inner().nodes
}

async fn next(stream: &mut tonic::Streaming<WatchDemandResponse>) -> WatchDemandResponse {
    let message = tokio::time::timeout(Duration::from_secs(15), stream.message());
    let message = message.await.expect("comes in time").expect("is no error");
    message.expect("the stream goes on")
}

async fn until(
    stream: &mut tonic::Streaming<WatchDemandResponse>,
    wanted: impl Fn(&WatchDemandResponse) -> bool,
) -> WatchDemandResponse {
    eventually(async || next(stream).await, wanted).await
}
