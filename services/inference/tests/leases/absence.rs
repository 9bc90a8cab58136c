//! The store goes away, comes back, forgets, loses answers: nothing is lost and nothing done twice.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::device::Control;
use crate::media::{Manner, Media};
use crate::node::{at, eventually, sample, start, start_with};
use crate::served::Served;
use crate::state::State;

fn patient() -> State {
    State::new(Duration::from_secs(60), Duration::from_millis(200))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_outlive_a_store_that_goes_away_in_mid_batch() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for _ in 0..40 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    let store = Served::store(&state, None);
    let address = store.address;
    let control = Control::default();
    control.hold();
    let node = start_with(&store.url(), 4, None, control.clone()).await;
    eventually("the first batch runs", || control.waits()).await;
    drop(store);
    control.release();
    let waiting = || {
        node.cx
            .health
            .reasons()
            .join(" ")
            .contains("waiting for the store")
    };
    eventually("it says what it waits for", waiting).await;
    let runs = control.runs.load(Ordering::SeqCst);
    assert!(
        runs <= 3,
        "what was ready has run, and then nothing more: {runs}"
    );
    let (held, done) = (state.held(), state.done());
    assert!(held <= 16 && done < 40, "{held} held, {done} done");
    let store = Served::store(&state, Some(address));
    eventually("all is done", || state.done() == 40).await;
    assert!(state.lock().tasks.iter().all(|task| task.leased_times == 1));
    // Results that were ready may be told first.
    let again = || state.lock().registrations >= 2;
    eventually("it introduces itself again", again).await;
    eventually("it is ready again", || node.cx.health.reasons().is_empty()).await;
    node.stop().await.unwrap();
    state.assert_clean();
    drop(store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_waits_for_a_store_that_is_not_there_yet() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    let store = Served::store(&state, None);
    let (address, url) = (store.address, store.url());
    drop(store);
    let node = start(&url, 4).await;
    let waiting = || {
        node.cx
            .health
            .reasons()
            .join(" ")
            .contains("waiting for the store: ")
    };
    eventually("it says what it waits for", waiting).await;
    let store = Served::store(&state, Some(address));
    eventually("all is done", || state.done() == 1).await;
    node.stop().await.unwrap();
    state.assert_clean();
    drop(store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_makes_nothing_happen_twice() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    for _ in 0..24 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    state.lock().lose_answers = 5;
    let store = Served::store(&state, None);
    let node = start(&store.url(), 4).await;
    eventually("all is done", || state.done() == 24).await;
    eventually("nothing is held any more", || state.held() == 0).await;
    assert_eq!(state.lock().lose_answers, 0);
    node.stop().await.unwrap();
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_forgot_the_node_is_told_again() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    let store = Served::store(&state, None);
    let node = start(&store.url(), 4).await;
    eventually("it is registered", || state.lock().registered.is_some()).await;
    let control = node.control.clone();
    control.hold();
    state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    eventually("it runs", || control.waits()).await;
    state.lock().registered = None;
    control.release();
    eventually("the result arrives all the same", || state.done() == 1).await;
    assert!(state.lock().registrations >= 2);
    node.stop().await.unwrap();
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_of_lost_leases_is_dropped() {
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
    // One of each batch: it runs, it is marked, it is prepared.
    let before = state.lock().renewals;
    for index in [0, 5, 10] {
        state.expire(index);
        // Somebody else has it now.
        state.lock().tasks[index].failure = Some(proto::store::v1::TaskFailure::default());
    }
    eventually("the node has heard", || state.lock().renewals >= before + 2).await;
    control.release();
    eventually("the others are done", || state.done() == 9).await;
    let ran: usize = control.sizes.lock().unwrap().iter().sum();
    assert!(
        ran <= 11,
        "{ran} pictures ran although one was lost long before"
    );
    node.stop().await.unwrap();
    for index in [0, 5, 10] {
        assert!(state.entry(index).results.is_empty());
    }
    state.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_queue_is_told_and_not_asked_without_rest() {
    let state = patient();
    state.lock().idle_reason = "PAUSED".to_owned();
    let store = Served::store(&state, None);
    let node = start(&store.url(), 4).await;
    eventually("it is registered", || state.lock().registered.is_some()).await;
    assert!(node.cx.health.reasons().is_empty(), "a pause is no fault");
    node.stop().await.unwrap();
    state.assert_clean();
}
