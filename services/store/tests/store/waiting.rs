//! Waiting for a task: woken by what arrives, never served twice, ended by time and shutdown.

use std::{collections::HashSet, time::Duration};

use proto::store::v1::LeasedTask;
use tokio::time::Instant;

use crate::harness::{Scene, node};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn whoever_waits_is_woken_by_the_next_registration() {
    let Scene { mut to, .. } = Scene::new().await;
    let mut slowest = Duration::ZERO;
    for round in 1..=5 {
        let mut waiting = to.clone();
        let wait = async move {
            let leased = waiting.lease("one", 8, LONG).await;
            (leased, Instant::now())
        };
        let register = async {
            // The request must be in line before there is anything to lease.
            tokio::time::sleep(Duration::from_millis(60)).await;
            to.register([round]).await;
            Instant::now()
        };
        let ((leased, woken), registered) = tokio::join!(wait, register);
        assert_eq!(leased.tasks.len(), 1);
        slowest = slowest.max(woken.saturating_duration_since(registered));
        to.complete("one", &leased.tasks, &[1]).await;
    }
    println!("woken at most {slowest:?} after the answer to the registration");
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
}

#[tokio::test]
async fn those_who_wait_never_get_the_same_task_and_none_goes_without() {
    let Scene { mut to, .. } = Scene::new().await;
    let names: Vec<String> = (0..6).map(|n| format!("node-{n}")).collect();
    for name in &names {
        to.nodes
            .register_node(node(name, 1))
            .await
            .expect("registers");
    }
    let waits = names.iter().map(|name| {
        let mut to = to.clone();
        async move { to.lease(name, 10, LONG).await.tasks }
    });
    let mut registering = to.clone();
    let register = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        registering.register(1..=60).await;
    };
    let (leased, ()) = tokio::join!(futures_util::future::join_all(waits), register);
    let all: Vec<&LeasedTask> = leased.iter().flatten().collect();
    let distinct: HashSet<&str> = all.iter().map(|task| task.name.as_str()).collect();
    assert_eq!((all.len(), distinct.len()), (60, 60));
    for tasks in &leased {
        assert_eq!(tasks.len(), 10, "each has its share");
    }
}

#[tokio::test]
async fn a_wait_ends_with_nothing_at_its_end_and_at_the_shutdown() {
    let Scene {
        mut to,
        store,
        data,
    } = Scene::new().await;
    let began = Instant::now();
    let leased = to.lease("one", 1, Duration::from_millis(300)).await;
    let took = began.elapsed();
    assert!(leased.tasks.is_empty() && leased.idle_reason.is_empty());
    assert!(
        took >= Duration::from_millis(290) && took < Duration::from_secs(5),
        "{took:?}"
    );

    let mut waiting = to.clone();
    let wait = async move { waiting.lease("one", 1, LONG).await };
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        store.stop().await;
        began.elapsed()
    };
    let (leased, took) = tokio::join!(wait, stop);
    assert!(leased.tasks.is_empty());
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(data);
}

#[tokio::test]
async fn nothing_is_leased_to_those_who_left_the_line() {
    let Scene { mut to, .. } = Scene::new().await;
    for _ in 0..10 {
        let mut waiting = to.clone();
        let leaving = waiting.lease("one", 1, LONG);
        let left = tokio::time::timeout(Duration::from_millis(20), leaving).await;
        assert!(left.is_err(), "there is nothing to lease");
    }
    // On the same connection, so the store has heard before of those who left.
    to.stats().await;
    to.register(1..=20).await;
    let stats = to.stats().await;
    assert_eq!((stats.tasks_queued, stats.tasks_leased), (20, 0));
}
