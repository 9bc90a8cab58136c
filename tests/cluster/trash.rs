//! A person throws pictures away, thinks better of it, and throws one away for good.

use std::fs;

use kumo_tests::{
    cluster::{Machine, Store},
    pictures::{png, solid},
    wait,
};
use proto::store::v1::Post;

fn tags(post: &Post) -> Vec<String> {
    post.tags.iter().map(|tag| tag.name.clone()).collect()
}

/// Whether a place is known and there, whatever it holds.
fn is_present(store: &Store, path: &str) -> bool {
    let known = store.locations("roots/1").expect("answers");
    known
        .iter()
        .any(|(place, _, present)| *present && place == path.as_bytes())
}

/// Waits until exactly these many posts are found.
fn until_found(store: &Store, posts: usize) {
    wait::until(&format!("{posts} posts are found"), 60, || {
        let found = store.search("")?.len();
        if found == posts {
            Ok(())
        } else {
            Err(format!("{found} are"))
        }
    });
}

#[test]
fn what_is_restored_is_as_it_was_and_what_is_purged_stays_away_until_it_is_allowed() {
    let machine = Machine::new();
    let red = png(&solid(90, 70, [200, 30, 30])).expect("encodes");
    machine.drop_file("red.png", &red);
    machine.drop_file(
        "blue.png",
        &png(&solid(90, 70, [30, 30, 200])).expect("encodes"),
    );
    let mut store_program = machine.start_store();
    let mut watcher = machine.start_watcher();
    let _tagger = machine.start_tagger();
    machine.settle(2, 60);
    let mut store = machine.store();
    let before = store.search("red_theme").expect("answers").remove(0);
    assert!(before.detail < 200, "one colour: {}", before.detail);

    // Edited, into the trash, and back.
    store
        .edit(&before.name, "mine", "red_theme")
        .expect("edits");
    let edited = store.post(&before.name).expect("is there");
    store.trash(&before.name).expect("goes into the trash");
    assert_eq!(store.search("mine").expect("answers").len(), 0);
    assert_eq!(store.search("").expect("answers").len(), 1);
    let trashed = store.search("mine status:trash").expect("answers");
    assert!(trashed.len() == 1 && trashed[0].trash_time.is_some());
    store.restore(&before.name).expect("comes back");
    let restored = store.search("mine").expect("answers").remove(0);
    assert_eq!(tags(&restored), tags(&edited));
    assert_eq!(restored.edits, edited.edits);
    assert_eq!(restored.predictions, edited.predictions);
    assert_eq!(restored.locations, edited.locations);

    // Gone for good, whoever looks again, and however much they have forgotten.
    store.trash(&before.name).expect("goes into the trash");
    store.purge(&before.name).expect("ends");
    assert!(store.post(&before.name).is_err());
    machine.drop_file("copy of red.png", &red);
    wait::until("the copy is known", 60, || {
        if is_present(&store, "copy of red.png") {
            Ok(())
        } else {
            Err("it is not".to_owned())
        }
    });
    for (round, forgetful) in [(0, false), (1, true)] {
        assert!(watcher.stop().success());
        assert!(store_program.stop().success());
        if forgetful {
            fs::remove_file(machine.data().join("watcher/known.db")).expect("is there");
        }
        // Found by the scan at the start, in the folder of the others.
        let new = png(&solid(60 + round, 60, [30, 200, 30])).expect("encodes");
        machine.drop_file(format!("scanned {round}.png"), &new);
        store_program = machine.start_store();
        watcher = machine.start_watcher();
        store = machine.store();
        until_found(&store, 2 + round as usize);
        assert!(is_present(&store, "red.png") && is_present(&store, "copy of red.png"));
        let log = watcher.log();
        assert_eq!(
            log.contains("learning from the store"),
            forgetful,
            "a purge is no loss: {log}"
        );
    }
    assert_eq!(store.stats().expect("answers").rejected, 1);

    // Allowed: it comes back without anybody touching it, as another post.
    assert_eq!(store.allow(&before.sha256).expect("answers"), 1);
    until_found(&store, 4);
    let name = format!("posts/sha256:{}", before.sha256);
    let back = store.post(&name).expect("is there");
    assert_ne!(back.name, before.name);
    assert_eq!(back.locations.len(), 2, "its copy as well: {back:?}");
    wait::until("it is tagged anew", 60, || {
        let post = store.post(&name)?;
        if tags(&post) == tags(&before) {
            Ok(())
        } else {
            Err(format!("{:?}", post.tags))
        }
    });
    assert!(red == fs::read(machine.library().join("red.png")).expect("is there"));
}
