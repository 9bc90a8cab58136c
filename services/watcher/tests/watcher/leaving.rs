//! Files and roots that go.

use std::{fs, time::Duration};

use proto::store::v1::RootState;

use super::den::Den;

/// Without the right to mount a disk: what lies below `disk` was seen on another device. How many
/// files that are.
fn seen_on_another_device(den: &Den) -> usize {
    let elsewhere = "UPDATE file SET dev = dev + 1 WHERE dir IN
                     (SELECT id FROM dir WHERE CAST(path AS TEXT) LIKE 'disk%')";
    let db = rusqlite::Connection::open(den.table()).expect("opens");
    db.execute(elsewhere, []).expect("changes")
}

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
    assert_eq!(seen_on_another_device(&den), 2);
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
async fn a_disk_that_is_away_takes_nothing_along_when_its_root_is_learned_again() {
    let mut den = Den::new().await;
    fs::create_dir(den.at("disk")).expect("makes");
    den.place("disk/1.png", 1);
    den.place("2.png", 2);
    den.place("3.png", 3);
    den.until("all", |state| state.present().len() == 3).await;
    den.until_idle().await;
    den.stop().await;
    assert_eq!(seen_on_another_device(&den), 1);
    fs::remove_file(den.at("disk/1.png")).expect("leaves the mount point");
    // As a stop between the store's acknowledgement and its being remembered leaves it.
    fs::remove_file(den.at("3.png")).expect("removes");
    den.store.state().lose("3.png");
    den.start().await;
    den.until_idle().await;
    den.rescan().await;
    let state = den.store.state();
    assert!(state.listings > 0, "the store knew less");
    assert_eq!(state.missing(), ["3.png"]);
    assert_eq!(state.present(), ["2.png", "disk/1.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_looked_for_on_a_disk_that_is_away_does_not_become_missing() {
    let mut den = Den::new().await;
    fs::create_dir(den.at("disk")).expect("makes");
    den.place("disk/1.png", 1);
    den.place("2.png", 2);
    den.until("both", |state| state.present().len() == 2).await;
    den.until_idle().await;
    den.stop().await;
    assert_eq!(seen_on_another_device(&den), 1);
    fs::remove_file(den.at("disk/1.png")).expect("leaves the mount point");
    den.start().await;
    den.until_idle().await;
    den.store.state().retry.push("disk/1.png".to_owned());
    den.until("the failure", |state| {
        state.failures.contains_key("disk/1.png")
    })
    .await;
    den.until_idle().await;
    den.rescan().await;
    assert_eq!(den.store.state().missing(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_from_a_disk_that_has_another_number_now_is_told() {
    let mut den = Den::new().await;
    // The newest directory is listed first, and nothing is left in it to recognise the disk by.
    fs::create_dir_all(den.at("disk/kept")).expect("makes");
    den.place("disk/kept/1.png", 1);
    den.place("disk/kept/2.png", 2);
    den.until("the first", |state| state.present().len() == 2)
        .await;
    for (folder, file) in [("disk/gone", "3.png"), ("disk/emptied", "4.png")] {
        fs::create_dir(den.at(folder)).expect("makes");
        let file = format!("{folder}/{file}");
        den.place(&file, file.len() as u32);
        den.until("another", |state| state.present().contains(&file.as_str()))
            .await;
    }
    den.until_idle().await;
    den.stop().await;
    assert_eq!(seen_on_another_device(&den), 4);
    fs::remove_file(den.at("disk/kept/2.png")).expect("removes");
    fs::remove_dir_all(den.at("disk/gone")).expect("removes");
    fs::remove_file(den.at("disk/emptied/4.png")).expect("removes");
    den.start().await;
    den.until("what is gone", |state| {
        state.missing() == ["disk/emptied/4.png", "disk/gone/3.png", "disk/kept/2.png"]
    })
    .await;
    assert_eq!(den.store.state().present(), ["disk/kept/1.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_missing_when_a_directory_has_its_name() {
    let mut den = Den::new().await;
    let become_a_directory = |den: &Den, path: &str| {
        fs::remove_file(den.at(path)).expect("removes");
        fs::create_dir(den.at(path)).expect("makes");
    };
    for seed in 1..=3 {
        den.place(&format!("{seed}.png"), seed);
    }
    den.until("all", |state| state.present().len() == 3).await;
    become_a_directory(&den, "1.png");
    den.until("the first", |state| state.missing() == ["1.png"])
        .await;
    den.until_idle().await;
    den.stop().await;
    become_a_directory(&den, "2.png");
    den.start().await;
    den.until("the second", |state| state.missing() == ["1.png", "2.png"])
        .await;
    assert_eq!(den.store.state().present(), ["3.png"]);
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
