//! Files and roots that go.

use std::{fs, time::Duration};

use proto::store::v1::RootState;

use super::den::Den;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_is_missing_and_returns_without_being_rendered_again() {
    let den = Den::new().await;
    den.place("a.png", 1);
    den.place("b.png", 2);
    den.until("both", |state| state.present().len() == 2).await;
    fs::remove_file(den.at("a.png")).expect("removes");
    den.until("that it is missing", |state| state.missing() == ["a.png"])
        .await;
    den.place("a.png", 1);
    den.until("its return", |state| state.missing().is_empty())
        .await;
    assert_eq!(den.store.state().registrations["a.png"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_directory_takes_its_files_along() {
    let den = Den::new().await;
    fs::create_dir_all(den.at("a/b")).expect("makes");
    den.place("a/1.png", 1);
    den.place("a/b/2.png", 2);
    den.place("3.png", 3);
    den.until("all", |state| state.present().len() == 3).await;
    fs::remove_dir_all(den.at("a")).expect("removes");
    den.until("that they are missing", |state| {
        state.missing() == ["a/1.png", "a/b/2.png"]
    })
    .await;
    assert_eq!(den.store.state().present(), ["3.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_original_of_a_copy_is_missing_and_not_moved() {
    let mut den = Den::new().await;
    den.place("a.png", 1);
    den.until("the original", |state| state.present() == ["a.png"])
        .await;
    den.until_idle().await;
    den.stop().await;
    fs::copy(den.at("a.png"), den.at("b.png")).expect("copies");
    fs::remove_file(den.at("a.png")).expect("removes");
    den.start().await;
    den.until("both", |state| {
        state.present() == ["b.png"] && state.missing() == ["a.png"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_told_to_be_missing_is_forgotten_when_its_file_turns_up() {
    let den = Den::new().await;
    den.place("a.png", 1);
    den.until("the first", |state| state.present() == ["a.png"])
        .await;
    // Out of sight for a while, so that all the store hears is that it is gone.
    let aside = den.top.path().join("aside.png");
    fs::rename(den.at("a.png"), &aside).expect("renames");
    den.until("that it is missing", |state| state.missing() == ["a.png"])
        .await;
    den.until_idle().await;
    fs::rename(&aside, den.at("b.png")).expect("renames");
    den.until("the move", |state| {
        state.present() == ["b.png"] && state.missing().is_empty()
    })
    .await;
    // And the old place is as good as new.
    fs::rename(den.at("b.png"), den.at("a.png")).expect("renames");
    den.until("the way back", |state| {
        state.present() == ["a.png"] && state.locations.len() == 1
    })
    .await;
    assert_eq!(den.store.state().registrations["a.png"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_mounted_below_the_root_may_be_away_and_nothing_becomes_missing() {
    let mut den = Den::new().await;
    fs::create_dir_all(den.at("disk/sub")).expect("makes");
    fs::create_dir(den.at("here")).expect("makes");
    den.place("disk/1.png", 1);
    den.place("disk/sub/2.png", 2);
    den.place("here/3.png", 3);
    den.until("all", |state| state.present().len() == 3).await;
    den.until_idle().await;
    den.stop().await;
    // Without the right to mount one: these files were seen on another device, which is not there.
    let table = den.data.path().join("watcher/known.db");
    let db = rusqlite::Connection::open(table).expect("opens");
    let elsewhere = "UPDATE file SET dev = dev + 1 WHERE dir IN
                     (SELECT id FROM dir WHERE CAST(path AS TEXT) LIKE 'disk%')";
    assert_eq!(db.execute(elsewhere, []).expect("changes"), 2);
    drop(db);
    fs::remove_dir_all(den.at("disk")).expect("empties");
    fs::create_dir(den.at("disk")).expect("leaves the mount point");
    fs::remove_dir_all(den.at("here")).expect("removes");
    den.start().await;
    den.until("what is gone from this disk", |state| {
        state.missing().contains(&"here/3.png")
    })
    .await;
    den.until_idle().await;
    assert_eq!(den.store.state().missing(), ["here/3.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_root_is_away_nothing_becomes_missing() {
    let mut den = Den::new().await;
    for seed in 1..=5 {
        den.place(&format!("{seed}.png"), seed);
    }
    den.until("all", |state| state.present().len() == 5).await;
    let offline = |state: &super::store::State| {
        state
            .roots
            .iter()
            .all(|root| root.state() == RootState::Offline)
    };
    // Away, as an unmounted disk; then an empty mount point is left in its place.
    let aside = den.top.path().join("aside");
    fs::rename(den.root(), &aside).expect("renames");
    den.rescan().await;
    den.until("that it is offline", offline).await;
    fs::create_dir(den.root()).expect("makes");
    den.rescan().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    den.until("that it is still offline", offline).await;
    assert_eq!(den.store.state().missing(), [""; 0]);
    // The same over a restart.
    den.stop().await;
    den.start().await;
    den.until("that it is offline again", |state| {
        state.announcements == 2 && offline(state)
    })
    .await;
    den.until_idle().await;
    assert_eq!(den.store.state().missing(), [""; 0]);
    // It returns, and one file fewer is in it.
    fs::remove_dir(den.root()).expect("removes");
    fs::rename(&aside, den.root()).expect("renames");
    fs::remove_file(den.at("1.png")).expect("removes");
    den.rescan().await;
    den.until("its return", |state| {
        state.missing() == ["1.png"] && !offline(state)
    })
    .await;
    let state = den.store.state();
    assert!(
        state.registrations.values().all(|times| *times == 1),
        "{:?}",
        state.registrations
    );
}
