//! Files come, move and go; posts stay.

use crate::Error;
use crate::fixture::{NOW, Scene, at, folder, picture, result, sha256, watcher};
use crate::ingest_failure::NewIngestFailure;
use crate::location::{LocationChange, LocationState};
use crate::root::RootState;

fn gone(scene: &Scene, path: &str) -> LocationChange {
    LocationChange::Missing {
        root: scene.root,
        path: path.as_bytes().to_vec(),
    }
}

#[test]
fn a_moved_file_keeps_its_post_and_its_tags() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let post = scene.register([1])[0].id;
    let node = scene.node(1, 1, &[model.id]);
    scene.tag_all(node, model.id, &result(&[(2, 0.9)]));
    let moved = LocationChange::Present(at(scene.root, "b/new name.png"), sha256(1));
    let left = gone(&scene, "a/1.png");
    let unknown = scene.run(|w| w.update_locations(&[moved, left], NOW));
    assert_eq!(unknown, [0u32; 0]);
    scene.reopen();
    assert_eq!(scene.find("tag_2"), [post]);
    let places = scene.locations(post, 10).unwrap();
    let seen: Vec<_> = places
        .iter()
        .map(|l| (l.found.path.as_slice(), l.state))
        .collect();
    assert_eq!(
        seen,
        [
            (&b"b/new name.png"[..], LocationState::Present),
            (&b"a/1.png"[..], LocationState::Missing),
        ]
    );
    let root = scene.root(scene.root).unwrap();
    assert_eq!((root.present, root.missing), (1, 1));
}

fn left(scene: &Scene, path: &str) -> LocationChange {
    LocationChange::Moved {
        root: scene.root,
        path: path.as_bytes().to_vec(),
    }
}

/// Paths of a post and whether they are there.
fn places(scene: &Scene, post: crate::PostId) -> Vec<(String, LocationState)> {
    let locations = scene.locations(post, 10).unwrap().into_iter();
    let text = |path: Vec<u8>| String::from_utf8(path).unwrap();
    locations.map(|l| (text(l.found.path), l.state)).collect()
}

#[test]
fn a_place_that_was_left_for_another_is_forgotten() {
    let mut scene = Scene::new();
    let post = scene.register([1])[0].id;
    let changes = [
        LocationChange::Present(at(scene.root, "b/1.png"), sha256(1)),
        left(&scene, "a/1.png"),
    ];
    // Twice, as a call that is repeated.
    for _ in 0..2 {
        scene.run(|w| w.update_locations(&changes, NOW));
        let there = ("b/1.png".to_owned(), LocationState::Present);
        assert_eq!(places(&scene, post), [there]);
        let root = scene.root(scene.root).unwrap();
        assert_eq!((root.present, root.missing), (1, 0));
    }
}

#[test]
fn a_place_that_was_missing_is_forgotten_when_its_file_turns_up_elsewhere() {
    let mut scene = Scene::new();
    let post = scene.register([1])[0].id;
    let missing = gone(&scene, "a/1.png");
    scene.run(|w| w.update_locations(&[missing], NOW));
    let changes = [
        LocationChange::Present(at(scene.root, "b/1.png"), sha256(1)),
        left(&scene, "a/1.png"),
    ];
    scene.run(|w| w.update_locations(&changes, NOW));
    let there = ("b/1.png".to_owned(), LocationState::Present);
    assert_eq!(places(&scene, post), [there]);
    let root = scene.root(scene.root).unwrap();
    assert_eq!((root.present, root.missing), (1, 0));
}

#[test]
fn a_move_to_nowhere_that_is_known_leaves_the_place_missing() {
    let mut scene = Scene::new();
    let post = scene.register([1, 2])[0].id;
    // The new place has a content that is no post, an old one is missing itself, and what is
    // present belongs to another post: none of them stands for the file.
    let changes = [
        LocationChange::Present(at(scene.root, "b/1.png"), sha256(1)),
        gone(&scene, "b/1.png"),
        LocationChange::Present(at(scene.root, "c/1.png"), sha256(9)),
        left(&scene, "a/1.png"),
        left(&scene, "never/seen.png"),
    ];
    assert_eq!(scene.run(|w| w.update_locations(&changes, NOW)), [2]);
    assert_eq!(
        places(&scene, post),
        [
            ("a/1.png".to_owned(), LocationState::Missing),
            ("b/1.png".to_owned(), LocationState::Missing),
        ]
    );
    assert_eq!(scene.find("").len(), 2);
    let root = scene.root(scene.root).unwrap();
    assert_eq!((root.present, root.missing), (1, 2));
}

#[test]
fn nothing_of_an_offline_root_has_moved() {
    let mut scene = Scene::new();
    let post = scene.register([1])[0].id;
    let copy = LocationChange::Present(at(scene.root, "b/1.png"), sha256(1));
    scene.run(|w| w.update_locations(&[copy], NOW));
    let away = [folder(RootState::Offline)];
    scene.run(|w| w.register_watcher(&watcher(2), &away, NOW));
    let change = left(&scene, "a/1.png");
    let refused = scene
        .write(|w| w.update_locations(&[change], NOW))
        .unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    assert_eq!(places(&scene, post).len(), 2);
}

#[test]
fn a_post_whose_files_are_all_missing_stays() {
    let mut scene = Scene::new();
    let post = scene.register([1])[0].id;
    let change = gone(&scene, "a/1.png");
    scene.run(|w| w.update_locations(&[change], NOW));
    assert_eq!(scene.find(""), [post]);
}

#[test]
fn nothing_of_an_offline_root_becomes_missing() {
    let mut scene = Scene::new();
    let post = scene.register([1])[0].id;
    let away = [folder(RootState::Offline)];
    scene.run(|w| w.register_watcher(&watcher(2), &away, NOW));
    let change = gone(&scene, "a/1.png");
    let refused = scene
        .write(|w| w.update_locations(&[change], NOW))
        .unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    let place = &scene.locations(post, 10).unwrap()[0];
    assert_eq!(place.state, LocationState::Present);
}

#[test]
fn unknown_contents_are_named_by_their_place_in_the_call() {
    let mut scene = Scene::new();
    scene.register([1]);
    let changes =
        [5, 1, 6].map(|n| LocationChange::Present(at(scene.root, &format!("c/{n}")), sha256(n)));
    assert_eq!(scene.run(|w| w.update_locations(&changes, NOW)), [0, 2]);
}

#[test]
fn paths_that_leave_their_root_are_refused() {
    let mut scene = Scene::new();
    for path in ["", "/etc/passwd", "../x", "a/../../x", "a\0b"] {
        let mut new = picture(scene.root, 1);
        new.location.path = path.as_bytes().to_vec();
        let refused = scene.write(|w| w.register_posts(&[new], NOW));
        assert!(
            matches!(refused, Err(Error::Invalid { what: "path", .. })),
            "{path:?}"
        );
    }
    let mut odd = picture(scene.root, 1);
    odd.location.path = b"\xff\xfe\n..png".to_vec();
    scene.run(|w| w.register_posts(std::slice::from_ref(&odd), NOW));
    assert_eq!(
        scene.locations(1, 1).unwrap()[0].found.path,
        odd.location.path
    );
}

#[test]
fn a_file_that_fails_is_listed_until_it_succeeds_or_goes() {
    let mut scene = Scene::new();
    let failure = |n: u32, reason: &str| NewIngestFailure {
        root: scene.root,
        path: format!("a/{n}.png").into_bytes(),
        byte_size: 0,
        mtime_ns: 1,
        sha256: None,
        reason: reason.to_owned(),
        message: "no bytes\n".to_owned(),
    };
    let failures = [
        failure(1, "EMPTY"),
        failure(2, "TRUNCATED"),
        failure(3, "EMPTY"),
    ];
    let changed = failure(1, "NOT_A_PICTURE");
    scene.run(|w| w.report_ingest_failures(&failures, NOW));
    scene.run(|w| w.report_ingest_failures(std::slice::from_ref(&changed), NOW));
    scene.register([2]);
    let change = gone(&scene, "a/3.png");
    scene.run(|w| w.update_locations(&[change], NOW));
    let listed = scene.ingest_failures(0, 10).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].reported.reason, "NOT_A_PICTURE");
    assert_eq!(listed[0].reported.message, "no bytes ");
}

#[test]
fn a_retried_file_is_told_to_its_watcher_once_and_again_if_nothing_is_heard() {
    let mut scene = Scene::new();
    let failure = NewIngestFailure {
        root: scene.root,
        path: b"x.png".to_vec(),
        byte_size: 9,
        mtime_ns: 1,
        sha256: Some([1; 32]),
        reason: "RENDERER_DIED".to_owned(),
        message: String::new(),
    };
    scene.run(|w| w.report_ingest_failures(std::slice::from_ref(&failure), NOW));
    let id = scene.ingest_failures(0, 1).unwrap()[0].id;
    assert!(scene.run(|w| w.retry_ingest(id, NOW)));
    assert!(!scene.run(|w| w.retry_ingest(id + 1, NOW)));
    let told = vec![(scene.root, b"x.png".to_vec())];
    assert_eq!(scene.run(|w| w.take_retries(1, NOW)), told);
    assert_eq!(scene.run(|w| w.take_retries(1, NOW)), []);
    assert!(scene.ingest_failures(0, 1).unwrap()[0].retrying);
    let much_later = crate::fixture::later(300_000);
    assert_eq!(scene.run(|w| w.take_retries(1, much_later)), told);
    let clock_set_back = crate::Now {
        unix_ms: NOW.unix_ms - 31_536_000_000,
        ..NOW
    };
    assert_eq!(scene.run(|w| w.take_retries(1, clock_set_back)), told);
    assert_eq!(scene.run(|w| w.take_retries(1, clock_set_back)), []);
    scene.run(|w| w.report_ingest_failures(&[failure], NOW));
    assert!(!scene.ingest_failures(0, 1).unwrap()[0].retrying);
}
