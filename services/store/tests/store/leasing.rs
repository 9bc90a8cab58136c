//! The lease protocol through the door: lease, complete, fail, release, crash.

use std::{collections::HashSet, time::Duration};

use proto::store::v1::{
    CompleteTasksRequest, Completion, CompletionState, FailTasksRequest, FailureCause,
    HeartbeatWatcherRequest, LeaseTasksResponse, LeaseToken, LeasedTask, MarkRunningRequest,
    ReleaseLeasesRequest, RenewLeasesRequest, ReportCrashRequest, TaskFailure, TaskLease,
};
use tonic::Code;

use crate::harness::{
    Clients, Scene, eventually, lease_request, node, picture, refused, result, watcher,
};

const LONG: Duration = Duration::from_secs(20);
const AT_ONCE: Duration = Duration::ZERO;

#[tokio::test]
async fn a_task_carries_all_that_a_node_needs() {
    let Scene { mut to, .. } = Scene::new().await;
    let traced = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut new = picture(1);
    new.traceparent = traced.to_owned();
    let posts = vec![new.clone()];
    let request = proto::store::v1::RegisterPostsRequest { posts };
    to.posts.register_posts(request).await.expect("registers");
    let leased = to.lease("one", 5, AT_ONCE).await;
    let [task] = &leased.tasks[..] else {
        panic!("one task: {leased:?}");
    };
    assert_eq!((task.post.as_str(), task.attempt), ("posts/1", 1));
    assert_eq!((&task.sha256, task.render_revision), (&new.sha256, 3));
    let sample = new.sample.expect("has one");
    assert_eq!(
        (task.sample_byte_size, &task.sample_sha256),
        (900, &sample.sha256)
    );
    assert_eq!(task.traceparent, traced);
    let [source] = &task.sources[..] else {
        panic!("one source: {task:?}");
    };
    let path = format!("/data/samples/00/{}-r3.jpg", new.sha256);
    assert_eq!(
        (&source.path[..], source.watcher.as_str()),
        (path.as_bytes(), "den")
    );
    assert_eq!(source.address, "http://127.0.0.1:7802");
    let seconds = |d: Option<prost_types::Duration>| d.map(|d| d.seconds);
    assert_eq!(
        (seconds(leased.ttl), seconds(leased.renew_every)),
        (Some(60), Some(20))
    );
}

#[tokio::test]
async fn a_result_is_stored_once_and_repeating_it_is_harmless() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=40).await;
    let tasks = to.lease("one", 256, AT_ONCE).await.tasks;
    assert_eq!(tasks.len(), 40);
    let done = to.complete("one", &tasks, &[0, 5]).await;
    assert!(
        done.iter().all(|state| *state == CompletionState::Accepted),
        "{done:?}"
    );
    let seq = to.stats().await.seq;
    let again = to.complete("one", &tasks, &[0, 5]).await;
    assert!(
        again
            .iter()
            .all(|state| *state == CompletionState::Repeated),
        "{again:?}"
    );
    let stats = to.stats().await;
    assert_eq!(
        (stats.seq, stats.predictions, stats.posts_done),
        (seq, 40, 40)
    );
    assert_eq!(stats.tasks_leased + stats.tasks_queued, 0);
    assert_eq!(stats.associations, 80);

    let mut forged = tasks[0].clone();
    forged.token = forged.token.map(|token| LeaseToken {
        counter: token.counter + 1_000,
        ..token
    });
    let stale = to.complete("one", &[forged], &[1]).await;
    assert_eq!(stale, [CompletionState::Stale]);
}

#[tokio::test]
async fn a_malformed_result_is_refused_alone_and_its_lease_stays() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=2).await;
    let tasks = to.lease("one", 2, AT_ONCE).await.tasks;
    let mut empty = result(&tasks[0], &[]);
    empty.result = None;
    let results = vec![result(&tasks[0], &[60]), empty, result(&tasks[1], &[3])];
    let request = CompleteTasksRequest {
        node: "one".to_owned(),
        incarnation: 1,
        results,
    };
    let answer = to
        .tasks
        .complete_tasks(request.clone())
        .await
        .expect("answers");
    let completions = answer.into_inner().completions;
    let states: Vec<_> = completions.iter().map(Completion::state).collect();
    let refused_state = CompletionState::Refused;
    assert_eq!(
        states,
        [refused_state, refused_state, CompletionState::Accepted]
    );
    assert!(
        completions[0].message.contains("60"),
        "{}",
        completions[0].message
    );
    assert_eq!(
        to.complete("one", &tasks[..1], &[1]).await,
        [CompletionState::Accepted]
    );

    let mut bad = request;
    bad.results[0].token = None;
    let answer = to.tasks.complete_tasks(bad.clone()).await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    bad.results.truncate(0);
    bad.results = vec![result(&tasks[0], &[]); 257];
    let answer = to.tasks.complete_tasks(bad).await;
    refused(answer, Code::InvalidArgument, "TOO_MANY");
}

#[tokio::test]
async fn a_request_to_lease_says_who_what_and_how_many() {
    let Scene { mut to, .. } = Scene::new().await;
    for max in [0, 257] {
        let answer = to
            .tasks
            .lease_tasks(lease_request("one", max, AT_ONCE))
            .await;
        refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    }
    let answer = to
        .tasks
        .lease_tasks(lease_request("nobody", 1, AT_ONCE))
        .await;
    refused(answer, Code::FailedPrecondition, "STALE_INCARNATION");
    let mut request = lease_request("one", 1, AT_ONCE);
    request.model = "models/7".to_owned();
    let answer = to.tasks.lease_tasks(request.clone()).await;
    refused(answer, Code::NotFound, "NO_SUCH_MODEL");
    request.model = "models/1".to_owned();
    request.incarnation = 2;
    let answer = to.tasks.lease_tasks(request).await;
    refused(answer, Code::FailedPrecondition, "STALE_INCARNATION");
}

#[tokio::test]
async fn leases_are_renewed_until_silence_and_then_lost() {
    let Scene { mut to, store, .. } = Scene::new().await;
    to.register(1..=3).await;
    let tasks = to.lease("one", 3, AT_ONCE).await.tasks;
    for _ in 0..3 {
        store.clock.advance(Duration::from_secs(40));
        assert_eq!(renew(&mut to, &tasks).await, [""; 0]);
    }
    store.clock.advance(Duration::from_secs(61));
    let mut names: Vec<String> = tasks.iter().map(|task| task.name.clone()).collect();
    let mut lost = eventually(
        async || renew(&mut to, &tasks).await,
        |lost| lost.len() == 3,
    )
    .await;
    names.sort();
    lost.sort();
    assert_eq!(lost, names);
    assert_eq!(
        to.complete("one", &tasks[..1], &[1]).await,
        [CompletionState::Stale]
    );
    let again = to.lease("one", 3, AT_ONCE).await.tasks;
    assert_eq!(again.len(), 3);
    assert!(
        again.iter().all(|task| task.attempt == 1),
        "silence costs no attempt"
    );
}

#[tokio::test]
async fn what_is_released_can_be_leased_by_another_at_once() {
    let Scene { mut to, .. } = Scene::new().await;
    to.nodes
        .register_node(node("two", 1))
        .await
        .expect("registers");
    to.register([1]).await;
    let tasks = to.lease("one", 1, AT_ONCE).await.tasks;
    let request = ReleaseLeasesRequest {
        node: "one".to_owned(),
        incarnation: 1,
        leases: leases(&tasks),
    };
    let mut waiting = to.clone();
    let (other, released) = tokio::join!(
        waiting.lease("two", 1, LONG),
        to.tasks.release_leases(request)
    );
    released.expect("releases");
    assert_eq!(other.tasks[0].name, tasks[0].name);
    assert_ne!(other.tasks[0].token, tasks[0].token);
}

#[tokio::test]
async fn only_what_was_running_in_a_crash_is_suspect_and_twice_is_poison() {
    let Scene { mut to, .. } = Scene::new().await;
    to.register(1..=2).await;
    let tasks = to.lease("one", 2, AT_ONCE).await.tasks;
    let crash = ReportCrashRequest {
        node: "one".to_owned(),
        incarnation: 1,
    };
    assert_eq!(mark(&mut to, &tasks[..1]).await, [""; 0]);
    let answer = to.tasks.report_crash(crash.clone()).await.expect("answers");
    assert_eq!(answer.into_inner().suspects, [tasks[0].name.clone()]);

    to.nodes
        .register_node(node("one", 2))
        .await
        .expect("is another process");
    let lease = async |to: &mut Clients| {
        let mut request = lease_request("one", 9, AT_ONCE);
        request.incarnation = 2;
        let answer = to.tasks.lease_tasks(request).await.expect("leases");
        answer.into_inner()
    };
    let leases: [LeaseTasksResponse; 2] = [lease(&mut to).await, lease(&mut to).await];
    let alone = leases.iter().find(|leased| leased.alone);
    let alone = alone.unwrap_or_else(|| panic!("one is leased alone: {leases:?}"));
    assert_eq!(alone.tasks.len(), 1);
    assert_eq!(alone.tasks[0].name, tasks[0].name);
    let request = MarkRunningRequest {
        node: "one".to_owned(),
        incarnation: 2,
        leases: crate::leasing::leases(&alone.tasks),
    };
    to.tasks.mark_running(request).await.expect("answers");
    let third = to
        .nodes
        .register_node(node("one", 3))
        .await
        .expect("is another process");
    assert_eq!(third.into_inner().suspects, 1);
    assert_eq!(to.stats().await.tasks_failed, 1);
    let stale = to.tasks.report_crash(crash).await.expect("is ignored");
    assert_eq!(stale.into_inner().suspects, [""; 0]);
}

#[tokio::test]
async fn a_failure_is_final_repeated_or_waits_for_its_source() {
    let Scene { mut to, store, .. } = Scene::new().await;
    to.register(1..=3).await;
    let tasks = to.lease("one", 3, AT_ONCE).await.tasks;
    let causes = [
        FailureCause::Permanent,
        FailureCause::Transient,
        FailureCause::SourceUnavailable,
    ];
    let failures: Vec<TaskFailure> = tasks
        .iter()
        .zip(causes)
        .map(|(task, cause)| failure(task, cause))
        .collect();
    let request = FailTasksRequest {
        node: "one".to_owned(),
        incarnation: 1,
        failures,
    };
    let answer = to.tasks.fail_tasks(request.clone()).await.expect("answers");
    assert_eq!(answer.into_inner().stale, [""; 0]);
    let stats = to.stats().await;
    assert_eq!(
        (stats.tasks_failed, stats.tasks_queued, stats.tasks_parked),
        (1, 1, 1)
    );
    let again = to.tasks.fail_tasks(request.clone()).await.expect("answers");
    assert_eq!(again.into_inner().stale.len(), 3);

    // Nobody is heard of for a while; then the watcher is back, and so is what waited for it.
    store.clock.advance(Duration::from_secs(120));
    let parked = async || to.stats().await.tasks_parked;
    eventually(parked, |parked| *parked == 1).await;
    let beat = HeartbeatWatcherRequest {
        watcher: "den".to_owned(),
        incarnation: 1,
        roots: watcher("den").roots,
        progress: None,
    };
    to.nodes.heartbeat_watcher(beat).await.expect("is known");
    eventually(
        async || to.stats().await.tasks_parked,
        |parked| *parked == 0,
    )
    .await;
    let back = to.lease("one", 3, AT_ONCE).await.tasks;
    let attempts: HashSet<(String, u32)> = back
        .into_iter()
        .map(|task| (task.name, task.attempt))
        .collect();
    let expected = [(tasks[1].name.clone(), 2), (tasks[2].name.clone(), 1)];
    assert_eq!(
        attempts,
        expected.into(),
        "a source that is away costs no attempt"
    );

    let mut bad = request;
    bad.failures[0].cause = 0;
    let answer = to.tasks.fail_tasks(bad.clone()).await;
    refused(answer, Code::InvalidArgument, "INVALID_FIELD");
    bad.failures[0].cause = FailureCause::Permanent.into();
    bad.failures[0].reason = "lower case".to_owned();
    let answer = to.tasks.fail_tasks(bad).await;
    refused(answer, Code::InvalidArgument, "INVALID_VALUE");
}

#[tokio::test]
async fn a_restart_leaves_leases_with_their_holders_for_one_time_to_live() {
    let mut scene = Scene::new().await;
    scene.to.register(1..=3).await;
    let tasks = scene.to.lease("one", 3, AT_ONCE).await.tasks;
    let mut scene = scene.restart().await;
    scene.store.clock.advance(Duration::from_secs(59));
    assert_eq!(scene.to.stats().await.tasks_leased, 3);
    let done = scene.to.complete("one", &tasks[..1], &[2]).await;
    assert_eq!(done, [CompletionState::Accepted]);
    scene.store.clock.advance(Duration::from_secs(2));
    let mut to = scene.to.clone();
    eventually(
        async || to.stats().await.tasks_leased,
        |leased| *leased == 0,
    )
    .await;
    let mut scene = scene.restart().await;
    let again = scene.to.complete("one", &tasks[..2], &[2]).await;
    let expected = [CompletionState::Repeated, CompletionState::Stale];
    assert_eq!(again, expected, "results and tokens outlive the process");
}

pub(crate) fn leases(tasks: &[LeasedTask]) -> Vec<TaskLease> {
    let lease = |task: &LeasedTask| TaskLease {
        task: task.name.clone(),
        token: task.token,
    };
    tasks.iter().map(lease).collect()
}

pub(crate) fn failure(task: &LeasedTask, cause: FailureCause) -> TaskFailure {
    TaskFailure {
        task: task.name.clone(),
        token: task.token,
        cause: cause.into(),
        reason: "DECODE_FAILED".to_owned(),
        message: "it is no picture".to_owned(),
    }
}

async fn renew(to: &mut Clients, tasks: &[LeasedTask]) -> Vec<String> {
    let request = RenewLeasesRequest {
        node: "one".to_owned(),
        incarnation: 1,
        leases: leases(tasks),
    };
    let answer = to.tasks.renew_leases(request).await.expect("answers");
    answer.into_inner().lost
}

async fn mark(to: &mut Clients, tasks: &[LeasedTask]) -> Vec<String> {
    let request = MarkRunningRequest {
        node: "one".to_owned(),
        incarnation: 1,
        leases: leases(tasks),
    };
    let answer = to.tasks.mark_running(request).await.expect("answers");
    answer.into_inner().lost
}
