//! A store that is not there, goes away, or forgets.

use std::{fs, time::Duration};

use super::{
    den::{Den, picture},
    store::Store,
};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_the_watcher_waits_says_so_and_is_not_ready() {
    let mut den = Den::without_watcher(Store::absent());
    for seed in 1..=3 {
        fs::write(den.at(format!("{seed}.png")), picture(seed)).expect("writes");
    }
    den.start().await;
    let mut reasons = den.cx().health.watch();
    let waits = reasons.wait_for(|reasons| {
        reasons
            .iter()
            .any(|reason| reason.starts_with("store: waiting for the store"))
    });
    tokio::time::timeout(Duration::from_secs(20), waits)
        .await
        .expect("says so")
        .expect("is heard");
    den.store.come();
    den.until("all", |state| state.present().len() == 3).await;
    tokio::time::timeout(Duration::from_secs(20), den.cx().health.ready())
        .await
        .expect("is ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_nothing_is_lost_and_afterwards_everything_goes_on() {
    let mut den = Den::new().await;
    den.place("0.png", 1000);
    den.until("the first", |state| state.present().len() == 1)
        .await;
    den.store.go();
    for seed in 1..=150 {
        den.place(&format!("{seed}.png"), seed);
    }
    fs::remove_file(den.at("0.png")).expect("removes");
    let mut progress = den
        .media()
        .watch_progress(proto::media::v1::WatchProgressRequest {})
        .await
        .expect("tells")
        .into_inner();
    let waiting = async {
        while let Some(now) = progress.message().await.expect("tells") {
            if now.waiting_for == "STORE_UNREACHABLE" {
                return now;
            }
        }
        panic!("the stream ended");
    };
    let now = tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("says so");
    assert!(now.pending > 0);
    den.store.come();
    den.until("all", |state| {
        state.present().len() == 150 && state.missing() == ["0.png"]
    })
    .await;
    let state = den.store.state();
    assert_eq!(state.posts.len(), 151);
    assert!(
        state.announcements >= 2,
        "a store that returns is told who this is"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgot_a_content_gets_it_again() {
    let den = Den::new().await;
    den.place("a.png", 1);
    den.until("the first", |state| state.present().len() == 1)
        .await;
    den.until_idle().await;
    den.store.state().posts.clear();
    fs::copy(den.at("a.png"), den.at("b.png")).expect("copies");
    den.until("the copy", |state| state.present().contains(&"b.png"))
        .await;
    assert_eq!(
        den.store.state().registrations["b.png"],
        1,
        "it was rendered for the store"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_was_learned_in_part_is_learned_again() {
    let mut den = Den::new().await;
    for seed in 1..=3 {
        den.place(&format!("{seed}.png"), seed);
    }
    den.until("all", |state| state.present().len() == 3).await;
    den.until_idle().await;
    den.stop().await;
    // As a stop between two pages of the store's answer leaves it.
    let db = rusqlite::Connection::open(den.table()).expect("opens");
    db.execute_batch(
        "DELETE FROM file WHERE CAST(name AS TEXT) = '3.png';
         UPDATE root SET store_name = ''",
    )
    .expect("forgets");
    drop(db);
    fs::remove_file(den.at("3.png")).expect("removes");
    den.start().await;
    den.until("that it is missing", |state| state.missing() == ["3.png"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_while_the_watcher_was_announced_is_not_learned_again() {
    let mut den = Den::new().await;
    for seed in 1..=3 {
        den.place(&format!("{seed}.png"), seed);
    }
    den.until("all", |state| state.present().len() == 3).await;
    den.until_idle().await;
    den.stop().await;
    den.store.state().uncounted = 2;
    den.start().await;
    den.until_idle().await;
    let state = den.store.state();
    assert_eq!((state.present().len(), state.listings), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgot_everything_and_will_not_say_so_is_told_everything() {
    let mut den = Den::new().await;
    for seed in 1..=3 {
        den.place(&format!("{seed}.png"), seed);
    }
    den.until("all", |state| state.present().len() == 3).await;
    den.until_idle().await;
    den.stop().await;
    {
        let mut state = den.store.state();
        state.posts.clear();
        state.locations.clear();
        state.refuses_to_list = true;
    }
    den.start().await;
    den.until("all again", |state| state.present().len() == 3)
        .await;
    assert!(den.store.state().listings > 0);
}
