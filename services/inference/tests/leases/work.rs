//! What a node does while all is well: everything once, in batches that overlap, alone where asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kumo_inference::leases::Error;
use kumo_inference::{Picture, Preprocessor};
use proto::store::v1::TagResult;

use crate::device::Control;
use crate::media::{Manner, Media};
use crate::node::{at, eventually, found, palette, sample, session, start, start_with};
use crate::served::Served;
use crate::state::State;

const PICTURES: [&str; 3] = ["sample.jpg", "grey.jpg", "progressive.jpg"];

fn patient() -> State {
    State::new(Duration::from_secs(60), Duration::from_secs(20))
}

/// What the model says of a sample, without any loop.
fn expected(name: &str) -> TagResult {
    let model = palette();
    let mut session = session(&model);
    let mut batch = session.batch(1);
    let mut picture = Picture::default();
    picture.read_sample(&sample(name)).unwrap();
    let mut preprocessor = Preprocessor::new(&model.spec().input);
    batch
        .push(|row| preprocessor.prepare(&picture, row))
        .unwrap()
        .unwrap();
    let outputs = session.run(&mut batch).unwrap();
    found(&model, outputs.row(0).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_is_done_once_with_the_result_of_its_own_picture() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    let names: Vec<&str> = PICTURES.into_iter().cycle().take(200).collect();
    for name in &names {
        state.add(sample(name), vec![at(&watcher.url())]);
    }
    let store = Served::store(&state, None);
    let node = start(&store.url(), 16).await;
    eventually("all is done", || state.done() == names.len()).await;
    let wanted = PICTURES.map(expected);
    for (index, name) in names.iter().enumerate() {
        let place = PICTURES.iter().position(|other| other == name).unwrap();
        let got = &state.entry(index).results[0];
        assert_eq!(got.labels, wanted[place].labels, "task {index}, {name}");
        for (a, b) in got.confidences.iter().zip(&wanted[place].confidences) {
            assert!((a - b).abs() < 1e-4, "task {index}: {a} and {b}");
        }
    }
    let sizes = node.control.sizes.lock().unwrap().clone();
    assert!(sizes.iter().max() > Some(&4), "batches grow: {sizes:?}");
    assert!(
        state.lock().most_held <= 16 * 6,
        "{}",
        state.lock().most_held
    );
    let calls = media.calls.load(Ordering::SeqCst);
    assert!(calls < 100, "{calls} calls for 200 samples");
    node.stop().await.unwrap();
    state.assert_clean();
    assert_eq!(state.held(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_batch_is_fetched_decoded_and_marked_while_one_runs() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for _ in 0..12 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    let store = Served::store(&state, None);
    let control = Control::default();
    control.hold();
    let node = start_with(&store.url(), 4, None, control.clone()).await;
    eventually("the first batch runs", || control.waits()).await;
    let marked = || {
        state
            .lock()
            .tasks
            .iter()
            .filter(|task| task.running)
            .count()
    };
    // Both batches stand as running: whichever kills the process is among the suspects.
    eventually("the second is marked while the first runs", || {
        marked() == 8
    })
    .await;
    eventually("the third is fetched", || {
        media.served.load(Ordering::SeqCst) == 12
    })
    .await;
    assert_eq!(
        control.runs.load(Ordering::SeqCst),
        0,
        "the first still runs"
    );
    assert!(state.held() <= 16, "no more than a few batches are held");
    control.release();
    eventually("all is done", || state.done() == 12).await;
    node.stop().await.unwrap();
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_queue_does_not_wait_for_a_full_batch() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    let store = Served::store(&state, None);
    let node = start(&store.url(), 32).await;
    for done in 1..=3 {
        let begun = std::time::Instant::now();
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
        eventually("one alone is done", || state.done() == done).await;
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    node.stop().await.unwrap();
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_must_run_alone_does_with_nothing_else_held() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for index in 0..30 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
        state.lock().tasks[index].alone = index % 7 == 3;
    }
    let store = Served::store(&state, None);
    let node = start(&store.url(), 8).await;
    eventually("all is done", || state.done() == 30).await;
    node.stop().await.unwrap();
    // The store has looked at every mark.
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_renewed_while_a_slow_device_runs() {
    let state = State::new(Duration::from_millis(600), Duration::from_millis(150));
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for _ in 0..8 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    let store = Served::store(&state, None);
    let control = Control::default();
    control.hold();
    let node = start_with(&store.url(), 4, None, control.clone()).await;
    eventually("the first batch runs", || control.waits()).await;
    eventually("three times to live have passed", || {
        state.lock().renewals >= 12
    })
    .await;
    control.release();
    eventually("all is done", || state.done() == 8).await;
    let again = state.lock().tasks.iter().any(|task| task.leased_times > 1);
    assert!(!again, "no lease ran out");
    node.stop().await.unwrap();
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_picture_that_spoils_a_batch_does_not_take_the_others_with_it() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for _ in 0..8 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    let store = Served::store(&state, None);
    let control = Control::default();
    control.spoiled.store(true, Ordering::SeqCst);
    let node = start_with(&store.url(), 4, None, control).await;
    eventually("all is done, one by one", || state.done() == 8).await;
    node.stop().await.unwrap();
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_on_which_nothing_runs_fails_no_task_and_says_so() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for _ in 0..8 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    let store = Served::store(&state, None);
    let control = Control::default();
    control.broken.store(true, Ordering::SeqCst);
    let node = start_with(&store.url(), 4, None, control.clone()).await;
    let reasons = || node.cx.health.reasons().join(" ");
    eventually("the process is not ready", || {
        reasons().contains("blank picture")
    })
    .await;
    eventually("the tasks of the batch were given back", || {
        state
            .lock()
            .tasks
            .iter()
            .filter(|task| task.released > 0)
            .count()
            >= 4
    })
    .await;
    control.broken.store(false, Ordering::SeqCst);
    eventually("it recovers by itself", || state.done() == 8).await;
    assert_eq!(reasons(), "");
    assert!(state.lock().tasks.iter().all(|task| task.failure.is_none()));
    node.stop().await.unwrap();
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_who_waits_goes_before_the_queue() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for _ in 0..12 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    let store = Served::store(&state, None);
    let control = Control::default();
    control.hold();
    let node = start_with(&store.url(), 4, None, control.clone()).await;
    let marked = || {
        state
            .lock()
            .tasks
            .iter()
            .filter(|task| task.running)
            .count()
    };
    eventually("one batch runs and one is ready", || {
        control.waits() && marked() == 8
    })
    .await;
    let started = node.cx.tasks.clone();
    let asked = {
        let node = std::sync::Arc::clone(&node.node);
        let ask = async move { node.infer(sample("grey.jpg")).await };
        started.spawn("ask", ask)
    };
    // The run in progress ends; what waits then is the answer and a full batch.
    eventually("the picture is prepared", || node.node.waiting() == 1).await;
    control.release();
    let answer = asked.await.unwrap().unwrap();
    assert_eq!(answer.row.len(), 34);
    eventually("all is done", || state.done() == 12).await;
    let sizes = control.sizes.lock().unwrap().clone();
    assert_eq!(
        sizes,
        [4, 1, 4, 4],
        "the one picture right after the run in progress"
    );
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_finishes_what_runs_and_gives_the_rest_back() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for _ in 0..12 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    let store = Served::store(&state, None);
    let control = Control::default();
    control.hold();
    let node = start_with(&store.url(), 4, None, control.clone()).await;
    let held = || state.held() == 12 && media.served.load(Ordering::SeqCst) == 12;
    eventually("one batch runs, all are held", || control.waits() && held()).await;
    node.cx.shutdown.begin();
    control.release();
    node.ended().await.unwrap();
    assert_eq!(state.done(), 4, "the batch that ran");
    assert_eq!(state.held(), 0, "nothing waits for a time-out");
    let released = state
        .lock()
        .tasks
        .iter()
        .filter(|task| task.released == 1)
        .count();
    assert_eq!(released, 8);
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_work_for_long_enough_it_leaves() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    let store = Served::store(&state, None);
    let limit = Some(Duration::from_millis(300));
    let node = start_with(&store.url(), 4, limit, Control::default()).await;
    node.ended().await.unwrap();
    assert_eq!(state.done(), 1);
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_of_the_same_name_makes_the_first_one_leave() {
    let state = patient();
    let store = Served::store(&state, None);
    let node = start(&store.url(), 4).await;
    eventually("it is registered", || state.lock().registered.is_some()).await;
    let mine = state.lock().registered;
    let rival = {
        let state = state.clone();
        node.cx.tasks.spawn("rival", async move {
            loop {
                state.lock().registered = Some(1);
                // A long poll under way ends with the next task, and only then is the rival noticed.
                state.add(*b"no picture", Vec::new());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };
    assert_ne!(mine, Some(1));
    let ended = node.ended().await;
    rival.abort();
    assert!(matches!(ended, Err(Error::Superseded { .. })), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_replaced_once_and_may_not_come_back_leaves() {
    let state = patient();
    let store = Served::store(&state, None);
    let node = start(&store.url(), 4).await;
    eventually("it is registered", || state.lock().registered.is_some()).await;
    {
        let mut inner = state.lock();
        inner.retired = inner.registered.replace(1);
    }
    // The long poll under way ends with the next task.
    state.add(*b"no picture", Vec::new());
    let ended = node.ended().await;
    assert!(matches!(ended, Err(Error::Superseded { .. })), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_over_one_batch_ends_neither_the_device_nor_the_other_pictures() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for _ in 0..8 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    let store = Served::store(&state, None);
    let control = Control::default();
    control.panics.store(true, Ordering::SeqCst);
    let node = start_with(&store.url(), 4, None, control).await;
    eventually("all is done, one by one", || state.done() == 8).await;
    node.stop().await.unwrap();
    state.assert_clean();
}
