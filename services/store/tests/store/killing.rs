//! kill -9 of the real program under load: what was acknowledged is there.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use kit::{Credential, client::Peer, rundir::Announcement};
use proto::store::v1::{BatchGetPostsRequest, RegisterPostsRequest};
use tokio::process::{Child, Command};

use crate::harness::{Clients, Running, model, picture, watcher};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_registration_survives_kill_nine() {
    let data = tempfile::tempdir().expect("a folder");
    let next = Arc::new(AtomicU32::new(1));
    let mut acknowledged: BTreeMap<u32, String> = BTreeMap::new();
    for round in 0..3 {
        let mut program = start(data.path());
        let mut to = connect(data.path(), &program).await;
        if round == 0 {
            to.nodes
                .register_watcher(watcher("den"))
                .await
                .expect("registers");
            to.models.register_model(model()).await.expect("registers");
        }
        let writers: Vec<_> = (0..16)
            .map(|_| keep_registering(to.clone(), next.clone()))
            .collect();
        let kill = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            program.kill().await.expect("is killed");
        };
        let (written, ()) = tokio::join!(futures_util::future::join_all(writers), kill);
        let written: Vec<(u32, String)> = written.into_iter().flatten().collect();
        assert!(!written.is_empty(), "round {round} wrote something");
        acknowledged.extend(written);
    }
    let store = Running::start(data.path()).await;
    let mut to = store.clients();
    let all: Vec<(u32, String)> = acknowledged.into_iter().collect();
    for slice in all.chunks(1_000) {
        let request = BatchGetPostsRequest {
            names: slice.iter().map(|(_, name)| name.clone()).collect(),
            view: 0,
        };
        let found = to
            .posts
            .batch_get_posts(request)
            .await
            .expect("reads")
            .into_inner();
        assert_eq!(found.missing, [""; 0], "acknowledged, and lost");
        for (post, (number, _)) in found.posts.iter().zip(slice) {
            assert_eq!(post.sha256, picture(*number).sha256);
        }
    }
    let stats = to.stats().await;
    assert_eq!(stats.tasks_queued, stats.posts, "each with its task");
    println!(
        "{} acknowledged, {} there after three kills",
        all.len(),
        stats.posts
    );
    store.stop().await;
}

/// Registers one post after another until the store is gone; returns what was acknowledged.
async fn keep_registering(mut to: Clients, next: Arc<AtomicU32>) -> Vec<(u32, String)> {
    let mut done = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let request = RegisterPostsRequest {
            posts: vec![picture(number)],
        };
        match to.posts.register_posts(request).await {
            Ok(answer) => done.push((number, answer.into_inner().posts[0].name.clone())),
            Err(_) => return done,
        }
    }
}

fn start(data: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kumo-store"))
        .args(["--listen", "127.0.0.1:0", "--log", "warn", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts")
}

/// Waits until the program has announced itself and answers.
async fn connect(data: &Path, program: &Child) -> Clients {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(
            Instant::now() < deadline,
            "the store answers within twenty seconds"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
        let announced = Announcement::read(data, "store");
        let Some(announced) = announced.filter(|a| Some(a.pid) == program.id()) else {
            continue;
        };
        let credential = Credential::local(data).expect("has a token");
        let peer = Peer::new(&announced.address.to_string(), &credential).expect("an address");
        let mut to = Clients::new(&peer.channel());
        let stats = proto::store::v1::GetStatsRequest {};
        if to.admin.get_stats(stats).await.is_ok() {
            return to;
        }
    }
}
