//! The thread by itself: groups, refusals, panics, and what a failing disk does to it.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use kit::Fault;
use store_core::{
    Category, DeviceClass,
    effective::Thresholds,
    location::Found,
    model::{Label, LabelCategory, NewModel, Registration},
    node::{NewNode, Subject},
    post::{Content, NewPost, Sample},
    root::{RootKind, RootState, WatchedRoot},
    watcher::NewWatcher,
};
use tempfile::TempDir;

use super::*;

struct Scene {
    engine: Engine,
    thread: Thread,
    gauges: Arc<Gauges>,
    clock: Clock,
    _data: TempDir,
}

impl Scene {
    fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let path = data.path().to_owned();
        let clock = Clock::default();
        let gauges = Arc::new(Gauges::default());
        let now = clock.now();
        let open = move || Ok(Store::open(&path, &Options::default(), now)?);
        let (engine, thread) =
            Engine::start(clock.clone(), Arc::clone(&gauges), open).expect("starts");
        Self {
            engine,
            thread,
            gauges,
            clock,
            _data: data,
        }
    }
}

/// A change that is its own: a watcher of that name.
fn change(name: String) -> impl FnOnce(&mut Write<'_>, Now) -> Result<(), store_core::Error> {
    move |write, now| {
        let new = NewWatcher {
            name,
            incarnation: 1,
            address: String::new(),
            sample_dir: Vec::new(),
            version: String::new(),
        };
        let root = WatchedRoot {
            path: b"/pictures".to_vec(),
            kind: RootKind::Library,
            state: RootState::Online,
            notice: String::new(),
        };
        write.register_watcher(&new, &[root], now).map(|_| ())
    }
}

async fn watchers(engine: &Engine) -> usize {
    let read = engine.read(|store, now| Ok(store.watchers(now)?.len()));
    read.await.expect("reads")
}

/// Makes the thread wait until the sender is used or dropped.
async fn hold(engine: &Engine) -> mpsc::Sender<()> {
    let (release, gate) = mpsc::channel();
    let (entered, inside) = oneshot::channel();
    engine
        .submit(Job::Read(Box::new(move |_, _| {
            let _ = entered.send(());
            let _ = gate.recv();
        })))
        .expect("has room");
    inside.await.expect("holds");
    release
}

#[tokio::test]
async fn many_writers_share_few_commits() {
    let scene = Scene::new();
    let (before, _) = scene.gauges.commits();
    let writers = (0..64).map(|writer| {
        let engine = scene.engine.clone();
        async move {
            for n in 0..20 {
                engine.write(change(format!("w{writer}-{n}"))).await?;
            }
            Ok::<_, Error>(())
        }
    });
    let outcomes = futures_util::future::join_all(writers).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let (commits, requests) = scene.gauges.commits();
    println!("{requests} requests in {} commits", commits - before);
    assert_eq!((requests, watchers(&scene.engine).await), (1_280, 1_280));
    assert!(commits - before < 640, "{commits} commits");
}

#[tokio::test]
async fn a_refused_request_leaves_its_neighbours_alone() {
    let scene = Scene::new();
    let release = hold(&scene.engine).await;
    let (good, bad, panicking) = (
        scene.engine.write(change("good".to_owned())),
        scene.engine.write(change("not a name".to_owned())),
        scene
            .engine
            .write(|write, now| -> Result<(), store_core::Error> {
                change("half".to_owned())(write, now)?;
                panic!("planted")
            }),
    );
    let (good, bad, panicking, ()) = tokio::join!(good, bad, panicking, async move {
        release.send(()).expect("waits");
    });
    good.expect("is committed");
    assert_eq!(bad.map_err(|e| e.reason()), Err("INVALID_VALUE"));
    let panicking = panicking.expect_err("panicked");
    assert_eq!(
        (panicking.reason(), panicking.code()),
        ("PANIC", kit::Code::Internal)
    );
    assert_eq!(watchers(&scene.engine).await, 1);
    let read: Result<(), Error> = scene.engine.read(|_, _| panic!("planted")).await;
    assert_eq!(read.map_err(|e| e.reason()), Err("PANIC"));
    assert_eq!(watchers(&scene.engine).await, 1, "the thread lives");
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_when_to_try_again() {
    let scene = Scene::new();
    let release = hold(&scene.engine).await;
    let filled = (0..QUEUE).filter(|_| {
        let job: Job = Job::Read(Box::new(|_, _| ()));
        scene.engine.submit(job).is_ok()
    });
    assert_eq!(filled.count(), QUEUE);
    let refused = scene.engine.write(change("late".to_owned())).await;
    let refused = refused.expect_err("there is no room");
    assert_eq!(refused.code(), kit::Code::ResourceExhausted);
    assert_eq!(refused.reason(), "STORE_BUSY");
    assert!(refused.retry_after().is_some());
    release.send(()).expect("waits");
}

#[tokio::test]
async fn what_waits_for_a_caller_who_left_is_not_done() {
    let scene = Scene::new();
    let release = hold(&scene.engine).await;
    let write = scene.engine.write(change("left".to_owned()));
    let left = tokio::time::timeout(Duration::from_millis(20), write).await;
    assert!(left.is_err(), "the thread is held");
    release.send(()).expect("waits");
    assert_eq!(watchers(&scene.engine).await, 0);
}

#[tokio::test]
async fn a_database_that_cannot_be_trusted_ends_the_thread_and_all_are_told() {
    let scene = Scene::new();
    let release = hold(&scene.engine).await;
    let fatal = scene.engine.write(|_, _| -> Result<(), store_core::Error> {
        Err(store_core::Error::Fatal {
            what: "planted".to_owned(),
        })
    });
    let waiting = scene.engine.write(change("after".to_owned()));
    let (fatal, _, ()) = tokio::join!(fatal, waiting, async move {
        release.send(()).expect("waits");
    });
    let fatal = fatal.expect_err("is told");
    assert_eq!(
        (fatal.code(), fatal.reason()),
        (kit::Code::Unavailable, "DATABASE_UNTRUSTED")
    );
    let ended = scene.thread.await.expect_err("the process must end");
    assert_ne!(ended.code().exit_code(), 0);
    let late = scene
        .engine
        .read(|_, _| Ok(()))
        .await
        .expect_err("nobody is there");
    assert_eq!(late.code(), kit::Code::Unavailable);
}

#[tokio::test]
async fn a_full_disk_is_told_to_the_writers_of_its_group_and_reads_go_on() {
    let scene = Scene::new();
    let release = hold(&scene.engine).await;
    let full = scene
        .engine
        .write(|_, _| -> Result<(), store_core::Error> { Err(store_core::Error::DiskFull) });
    let ((), full) = tokio::join!(async move { release.send(()).expect("waits") }, full);
    let full = full.expect_err("is told");
    assert_eq!(
        (full.code(), full.reason()),
        (kit::Code::ResourceExhausted, "DISK_FULL")
    );
    assert_eq!(watchers(&scene.engine).await, 0);
    scene
        .engine
        .write(change("later".to_owned()))
        .await
        .expect("space is back");
}

#[tokio::test]
async fn leases_that_nobody_read_of_are_given_back() {
    let scene = Scene::new();
    let engine = &scene.engine;
    engine.write(a_task).await.expect("makes a task");
    let request = LeaseRequest {
        node: "n".to_owned(),
        incarnation: 1,
        subject: subject(),
        model: 1,
        max: 1,
        wait_ms: 0,
    };
    let (job, answer) = lease::Waiter::new(request.clone(), engine.clone());
    let leased = |store: &Store, _| Ok(store.task_counts(1)?.leased);
    // Both wait before the thread looks, or it would begin with the one that comes first.
    let release = hold(engine).await;
    engine.submit(Job::Lease(Box::new(job))).expect("has room");
    let (read, ()) = tokio::join!(engine.read(leased), async move {
        release.send(()).expect("waits");
    });
    assert_eq!(read.expect("reads"), 0, "reads go first");
    assert_eq!(engine.read(leased).await.expect("reads"), 1);
    drop(answer);
    // The release is in the queue already, and so before these.
    engine.write(|_, _| Ok(())).await.expect("writes");
    assert_eq!(engine.read(leased).await.expect("reads"), 0);
    let (tasks, _) = engine.lease(request).await.expect("leases").take();
    assert_eq!((tasks.len(), tasks[0].task.grant.attempt), (1, 1));
    assert_eq!(
        engine.read(leased).await.expect("reads"),
        1,
        "taken is taken"
    );
}

fn subject() -> Subject {
    Subject {
        name: "den".to_owned(),
        admin: false,
    }
}

/// Makes a model, its node and one post, which has a task therefore.
fn a_task(write: &mut Write<'_>, now: Now) -> Result<(), store_core::Error> {
    change("den".to_owned())(write, now)?;
    let mut registration = Registration::new(NewModel {
        kind: ModelKind::Tag,
        name: "m".to_owned(),
        revision: [1; 32],
        labels: vec![Label {
            name: "a".to_owned(),
            category: LabelCategory::Tag(Category::General),
        }],
        dimensions: 0,
        thresholds: Thresholds::default(),
        activate_if_first: true,
    })?;
    registration.step(write, now)?;
    let node = NewNode {
        name: "n".to_owned(),
        incarnation: 1,
        kind: ModelKind::Tag,
        models: vec![1],
        device_class: DeviceClass::Cpu,
        device_proof: String::new(),
        address: String::new(),
        version: String::new(),
    };
    write.register_node(&node, &subject(), now)?;
    write.register_posts(&[a_post()], now).map(|_| ())
}

fn a_post() -> NewPost {
    NewPost {
        content: Content {
            detail: 4_000,
            sha256: [1; 32],
            md5: [1; 16],
            media_type: "image/png".to_owned(),
            byte_size: 1,
            width: 1,
            height: 1,
            frames: 1,
            has_alpha: false,
            partial: false,
            perceptual_hash: [1; 32],
            colours: String::new(),
            sample: Sample {
                render_revision: 1,
                byte_size: 1,
                sha256: [1; 32],
                width: 1,
                height: 1,
            },
        },
        location: Found {
            root: 1,
            path: b"a.png".to_vec(),
            byte_size: 1,
            mtime_ns: 0,
            ctime_ns: 0,
            dev: 0,
            ino: 0,
        },
        traceparent: String::new(),
    }
}

#[tokio::test]
async fn a_post_that_was_long_in_the_trash_ends_by_itself() {
    let scene = Scene::new();
    let engine = &scene.engine;
    let register = |write: &mut Write<'_>, now: Now| a_task(write, now);
    engine.write(register).await.expect("registers");
    let trashed = engine.write(|write, now| write.trash_posts(&[1], now));
    trashed.await.expect("trashes");
    let kept = store_core::trash::KEPT_MS.unsigned_abs();
    scene.clock.advance(Duration::from_millis(kept));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let read = engine.read(|store, _| Ok(store.post(1)?.is_some()));
        if !read.await.expect("reads") {
            break;
        }
        assert!(Instant::now() < deadline, "it is still in the trash");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let rejected = engine.read(|store, _| Ok(store.rejected(None, 9)?.len()));
    assert_eq!(rejected.await.expect("reads"), 1);
}

#[tokio::test]
async fn closing_does_what_waits_first() {
    let Scene {
        engine,
        thread,
        _data,
        ..
    } = Scene::new();
    let release = hold(&engine).await;
    let write = engine.write(change("last".to_owned()));
    let close = async {
        engine.close();
        release.send(()).expect("waits");
    };
    let (written, ()) = tokio::join!(write, close);
    written.expect("is committed");
    thread.await.expect("ends well");
}
