//! Many at once: shared commits, and how fast results come in.

use std::time::{Duration, Instant};

use proto::store::v1::CompletionState;

use crate::harness::{Scene, node};

/// Figures to look at; they depend on the machine and are not asserted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_of_48_tags_from_eight_clients() {
    const POSTS: u32 = 2_000;
    let Scene { mut to, .. } = Scene::new().await;
    let began = Instant::now();
    for start in (0..POSTS).step_by(500) {
        to.register(start..start + 500).await;
    }
    let registering = began.elapsed();
    let labels: Vec<u32> = (0..48).collect();
    let began = Instant::now();
    let clients = (0..8).map(|n| {
        let (mut to, labels, name) = (to.clone(), labels.clone(), format!("node-{n}"));
        async move {
            to.nodes
                .register_node(node(&name, 1))
                .await
                .expect("registers");
            let mut done = 0;
            loop {
                let tasks = to.lease(&name, 32, Duration::ZERO).await.tasks;
                if tasks.is_empty() {
                    return done;
                }
                let states = to.complete(&name, &tasks, &labels).await;
                assert!(states.iter().all(|s| *s == CompletionState::Accepted));
                done += states.len();
            }
        }
    });
    let done: usize = futures_util::future::join_all(clients)
        .await
        .into_iter()
        .sum();
    let took = began.elapsed();
    assert_eq!(done, POSTS as usize);
    let stats = to.stats().await;
    assert_eq!((stats.posts_done, stats.associations), (2_000, 48 * 2_000));
    let rate = |took: Duration| f64::from(POSTS) / took.as_secs_f64();
    println!(
        "registered {:.0} posts/s, leased and completed {:.0} results/s of 48 tags (8 clients)",
        rate(registering),
        rate(took)
    );
}

#[tokio::test]
async fn an_orderly_end_leaves_no_log_behind_and_a_second_store_is_refused() {
    let Scene {
        mut to,
        store,
        data,
    } = Scene::new().await;
    to.register(1..=50).await;
    assert!(data.path().join("kumo.db-wal").exists());
    let flags = ["store", "--listen", "127.0.0.1:0", "--data"];
    let folder = data.path().to_str().expect("is UTF-8");
    let second = tokio::process::Command::new(env!("CARGO_BIN_EXE_kumo-store"))
        .args(&flags[1..])
        .arg(folder)
        .output()
        .await
        .expect("runs");
    let log = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{log}");
    assert!(log.contains("in use by another store"), "{log}");
    assert!(log.contains(&std::process::id().to_string()), "{log}");
    to.register(51..=52).await;
    store.stop().await;
    assert!(
        !data.path().join("kumo.db-wal").exists(),
        "the log was written back"
    );
}
