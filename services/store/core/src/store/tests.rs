//! Durability, isolation of neighbours, and what a failed COMMIT leaves.

use crate::fixture::{NOW, Scene, claim, picture, result, watcher};
use crate::root::RootState;
use crate::tag::Category;
use crate::task::{Failure, FailureCause};
use crate::{Error, Options, Store};

#[test]
fn what_is_written_is_there_after_opening_again() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.register(0..40);
    let node = scene.node(1, 10, &[model.id]);
    let tasks = scene.lease(node, model.id, 8).tasks;
    let done = result(&[(0, 0.9), (3, 0.5), (4, 0.1), (10, 0.7)]);
    scene.run(|w| w.complete_task(node, claim(&tasks[0].grant), &done, NOW));
    let failure = |cause, reason: &str, task: usize| Failure {
        claim: claim(&tasks[task].grant),
        cause,
        reason: reason.to_owned(),
        message: "why".to_owned(),
    };
    let gone = failure(FailureCause::Permanent, "DECODE_FAILED", 1);
    scene.run(|w| w.fail_task(node, &gone, NOW));
    let away = failure(FailureCause::SourceUnavailable, "SOURCE_UNAVAILABLE", 2);
    scene.run(|w| w.fail_task(node, &away, NOW));
    scene.run(|w| w.mark_running(node, vec![claim(&tasks[3].grant)], NOW));
    scene.purge(7);
    let before = scene.dump();
    assert!(before.iter().any(|line| line.starts_with("tombstone")));
    scene.reopen();
    assert_eq!(scene.dump(), before);
    let late = scene.run(|w| w.complete_task(node, claim(&tasks[3].grant), &done, NOW));
    assert_eq!(
        late,
        crate::task::Delivery::Accepted,
        "leases outlive the store"
    );
}

#[test]
fn a_failing_request_leaves_no_trace_and_its_neighbours_commit() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let root = scene.root;
    scene.register(0..3);
    scene.begin().unwrap();
    scene
        .request(|w| w.register_posts(&[picture(root, 3)], NOW))
        .unwrap();
    let doomed = scene.request(|w| {
        w.register_posts(&[picture(root, 4)], NOW)?;
        w.create_tags(&[("doomed", Category::General)])?;
        w.pause_model(model.id, true, NOW)?;
        assert!(w.tags().find("doomed").is_some());
        w.register_posts(&[picture(999, 5)], NOW)
    });
    assert!(matches!(doomed, Err(Error::NotFound { noun: "root", .. })));
    scene
        .request(|w| w.register_posts(&[picture(root, 6)], NOW))
        .unwrap();
    let published = scene.commit().unwrap();
    assert!(published.changed);
    assert_eq!(published.woken, [model.id]);
    let mut clean = Scene::new();
    clean.tagger(1);
    clean.register(0..3);
    clean.register([3]);
    clean.register([6]);
    let tell = |scene: &Scene| {
        let epoch = format!("{}", scene.epoch().cast_signed());
        let lines = scene.dump().into_iter();
        let epochless = lines.map(|line| line.replace(&epoch, "E"));
        epochless
            .map(|line| line.replace(&scene.epoch().to_string(), "E"))
            .collect::<Vec<_>>()
    };
    assert_eq!(tell(&scene), tell(&clean));
}

#[test]
fn a_request_that_panics_leaves_no_trace() {
    let mut scene = Scene::new();
    let root = scene.root;
    let before = scene.dump();
    scene.begin().unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        scene.request(|w| -> Result<(), Error> {
            w.register_posts(&[picture(root, 1)], NOW)?;
            panic!("a bug")
        })
    }));
    assert!(panicked.is_err());
    scene.commit().unwrap();
    assert_eq!(scene.dump(), before);
    scene.register([1]);
}

#[test]
fn when_commit_fails_nothing_has_changed_and_the_store_goes_on() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let root = scene.root;
    scene.register(0..3);
    let node = scene.node(1, 10, &[model.id]);
    let before = scene.dump();
    scene.begin().unwrap();
    // A violation that SQLite finds no sooner than at COMMIT.
    scene
        .conn
        .pragma_update(None, "defer_foreign_keys", true)
        .unwrap();
    scene
        .request(|w| {
            w.register_posts(&[picture(root, 9)], NOW)?;
            w.lease_tasks(node, model.id, 2, NOW)?;
            w.create_tags(&[("never", Category::Meta)])?;
            w.conn.execute("UPDATE location SET post = 4711", [])?;
            Ok(())
        })
        .unwrap();
    assert!(matches!(scene.commit(), Err(Error::Sqlite { .. })));
    assert_eq!(scene.dump(), before);
    scene.register([9]);
    assert_eq!(scene.find("").len(), 4);
    assert_eq!(scene.lease(node, model.id, 9).tasks.len(), 4);
}

#[test]
fn a_full_disk_is_said_and_once_there_is_room_work_goes_on() {
    let mut scene = Scene::new();
    scene.tagger(1);
    let root = scene.root;
    scene.register(0..3);
    let before = scene.dump();
    let pages: i64 = scene
        .conn
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    limit_pages(&scene, pages);
    let posts: Vec<_> = (10..400).map(|n| picture(root, n)).collect();
    let failed = scene.write(|w| w.register_posts(&posts, NOW)).unwrap_err();
    assert!(matches!(failed, Error::DiskFull), "{failed}");
    assert_eq!(scene.dump(), before, "reading goes on");
    limit_pages(&scene, 1 << 30);
    assert_eq!(scene.register(10..400).len(), 390);
}

fn limit_pages(scene: &Scene, pages: i64) {
    scene
        .conn
        .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        .unwrap();
}

#[test]
fn after_a_fatal_error_nothing_is_written_any_more() {
    let mut scene = Scene::new();
    let failed = scene.write(|_| -> Result<(), Error> {
        Err(Error::Fatal {
            what: "disk I/O error".to_owned(),
        })
    });
    assert!(failed.unwrap_err().is_fatal());
    let refused = scene.begin().unwrap_err();
    assert!(refused.to_string().contains("disk I/O error"), "{refused}");
}

#[test]
fn a_second_store_on_the_directory_is_refused() {
    let scene = Scene::new();
    let error = Store::open(scene.dir(), &Options::default(), NOW).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
}

#[test]
fn the_epoch_stays_and_is_another_for_another_database() {
    let mut scene = Scene::new();
    let epoch = scene.epoch();
    scene.reopen();
    assert_eq!(scene.epoch(), epoch);
    assert_ne!(Scene::new().epoch(), epoch);
}

#[test]
fn the_connection_is_set_up_to_keep_what_it_acknowledged() {
    let scene = Scene::new();
    for (pragma, expected) in [
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("trusted_schema", "0"),
        ("cell_size_check", "1"),
        ("mmap_size", "0"),
        ("journal_mode", "wal"),
    ] {
        let value: rusqlite::types::Value = scene
            .conn
            .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
            .unwrap();
        let value = match value {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{pragma} is {other:?}"),
        };
        assert_eq!(value, expected, "{pragma}");
    }
}

#[test]
fn a_watcher_that_announces_itself_again_keeps_its_roots() {
    let mut scene = Scene::new();
    let again = crate::fixture::folder(RootState::Online);
    let roots = scene.run(|w| w.register_watcher(&watcher(2), &[again], NOW));
    assert_eq!(roots[0].id, scene.root);
    let none = scene.run(|w| w.register_watcher(&watcher(3), &[], NOW));
    assert_eq!(none, []);
    assert_eq!(
        scene.root(scene.root).unwrap().seen.state,
        RootState::Offline
    );
}
