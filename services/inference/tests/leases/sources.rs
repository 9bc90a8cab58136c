//! Where samples come from, and what happens when they are not what they should be.

use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proto::store::v1::{FailureCause, SampleSource, TaskFailure};

use crate::media::{Manner, Media};
use crate::node::{at, eventually, sample, start};
use crate::served::Served;
use crate::state::State;

fn patient() -> State {
    State::new(Duration::from_secs(60), Duration::from_secs(20))
}

fn on_disk(path: &std::path::Path) -> SampleSource {
    SampleSource {
        path: path.as_os_str().as_bytes().to_vec().into(),
        ..SampleSource::default()
    }
}

/// What becomes of three tasks whose only watcher has this manner.
async fn failures_of(manner: Manner) -> Vec<Option<TaskFailure>> {
    let state = patient();
    let watcher = Served::media(&Media::new(&state, manner));
    for _ in 0..3 {
        state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    }
    outcome(&state).await
}

async fn outcome(state: &State) -> Vec<Option<TaskFailure>> {
    let store = Served::store(state, None);
    let node = start(&store.url(), 4).await;
    eventually("all have an outcome", || {
        let inner = state.lock();
        let settled =
            |task: &crate::state::Entry| !task.results.is_empty() || task.failure.is_some();
        inner.tasks.iter().all(settled)
    })
    .await;
    node.stop().await.unwrap();
    state.assert_clean();
    state
        .lock()
        .tasks
        .iter()
        .map(|task| task.failure.clone())
        .collect()
}

fn assert_all(failures: &[Option<TaskFailure>], cause: FailureCause, reason: &str) {
    for failure in failures {
        let failure = failure.as_ref().expect("it failed");
        assert_eq!((failure.cause(), failure.reason.as_str()), (cause, reason));
        assert!(!failure.message.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_never_reach_the_model() {
    for manner in [Manner::Corrupt, Manner::Short, Manner::Long] {
        let failures = failures_of(manner).await;
        let told = failures.iter().filter(|failure| {
            failure
                .as_ref()
                .is_some_and(|failure| failure.reason == "SAMPLE_MISMATCH")
        });
        // After too many bytes the rest of the stream is not believed either.
        assert!(told.count() >= 1, "{manner:?}: {failures:?}");
        assert!(failures.iter().all(Option::is_some), "{manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_away_costs_no_attempt() {
    let away = FailureCause::SourceUnavailable;
    assert_all(
        &failures_of(Manner::Missing).await,
        away,
        "SAMPLE_NOT_FOUND",
    );
    assert_all(
        &failures_of(Manner::Nonsense).await,
        away,
        "STREAM_MALFORMED",
    );

    let state = patient();
    let watcher = Served::media(&Media::new(&state, Manner::Good));
    let gone = watcher.url();
    drop(watcher);
    state.add(sample("sample.jpg"), vec![at(&gone)]);
    assert_all(&outcome(&state).await, away, "UNREACHABLE");

    let state = patient();
    state.add(sample("sample.jpg"), Vec::new());
    state.add(sample("sample.jpg"), vec![at("no address at all")]);
    let failures = outcome(&state).await;
    assert_all(&failures[..1], away, "NO_SOURCE");
    assert_all(&failures[1..], away, "BAD_ADDRESS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_cut_keeps_what_had_come() {
    let failures = failures_of(Manner::Cut).await;
    assert_eq!(failures[0], None, "the first one came whole");
    assert_all(
        &failures[1..],
        FailureCause::SourceUnavailable,
        "STREAM_CUT",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_source_is_asked_when_one_is_away_or_wrong() {
    let state = patient();
    let good = Media::new(&state, Manner::Good);
    let bad = Media::new(&state, Manner::Corrupt);
    let (good_at, bad_at) = (Served::media(&good), Served::media(&bad));
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.jpg");
    std::fs::write(&wrong, b"another picture").unwrap();
    let fifo = folder.path().join("fifo");
    let name = std::ffi::CString::new(fifo.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name ends in a zero and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    for path in [&wrong, &fifo, &folder.path().join("missing.jpg")] {
        let sources = vec![on_disk(path), at(&bad_at.url()), at(&good_at.url())];
        state.add(sample("sample.jpg"), sources);
    }
    assert_eq!(outcome(&state).await, [None, None, None]);
    assert_eq!(
        bad.calls.load(Ordering::SeqCst),
        1,
        "one call for all three"
    );
    assert_eq!(good.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_on_the_same_disk_is_read_there() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.jpg");
    std::fs::write(&path, sample("sample.jpg")).unwrap();
    for _ in 0..5 {
        state.add(
            sample("sample.jpg"),
            vec![on_disk(&path), at(&watcher.url())],
        );
    }
    assert_eq!(outcome(&state).await, [const { None }; 5]);
    assert_eq!(media.calls.load(Ordering::SeqCst), 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_sample_that_is_no_picture_fails_for_good_and_alone() {
    let state = patient();
    let watcher = Served::media(&Media::new(&state, Manner::Good));
    let mut cut = sample("sample.jpg");
    cut.truncate(cut.len() / 2);
    for bytes in [
        sample("sample.jpg"),
        b"no picture".to_vec(),
        cut,
        sample("grey.jpg"),
    ] {
        state.add(bytes, vec![at(&watcher.url())]);
    }
    let failures = outcome(&state).await;
    assert_eq!((&failures[0], &failures[3]), (&None, &None));
    assert_all(&failures[1..3], FailureCause::Permanent, "PICTURE_DAMAGED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sample_of_absurd_size_is_not_even_fetched() {
    let state = patient();
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    state.add(sample("sample.jpg"), vec![at(&watcher.url())]);
    state.lock().tasks[0].byte_size = u32::MAX;
    let failures = outcome(&state).await;
    assert_all(&failures, FailureCause::Permanent, "SAMPLE_TOO_LARGE");
    assert_eq!(media.calls.load(Ordering::SeqCst), 0);
}
