//! Deleting is an act of a person, can be taken back, and in the end is for good.

use crate::edit::{NewTag, PostEdit};
use crate::fixture::{
    NOW, Scene, along, at, folder, later, made, picture, result, sha256, watcher,
};
use crate::location::{Held, LocationChange};
use crate::post::Registered;
use crate::root::RootState;
use crate::source_record::NewRecord;

use super::*;

fn with_facts() -> Scene {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let node = scene.node(1, 1, &[model.id]);
    scene.register(1..=3);
    scene.tag_all(node, model.id, &result(&[(1, 0.9), (10, 0.9)]));
    let edit = PostEdit {
        post: 2,
        add: vec![NewTag {
            name: "mine".to_owned(),
            category: None,
        }],
        rating: crate::edit::RatingChange::Set(crate::Rating::Explicit),
        ..PostEdit::default()
    };
    scene.run(|w| w.edit_posts(&[edit], "ann", NOW));
    let record = NewRecord::new(
        "danbooru".to_owned(),
        "5".to_owned(),
        Vec::new(),
        None,
        b"{}".to_vec(),
        None,
    );
    let record = record.unwrap();
    scene.run(|w| w.put_source_records(&[(2, record)], NOW));
    scene
}

fn rows_of(scene: &Scene, post: PostId) -> usize {
    [
        "task",
        "prediction",
        "edit",
        "edit_rating",
        "source_record",
        "location",
    ]
    .into_iter()
    .map(|table| {
        let sql = format!("SELECT count(*) FROM {table} WHERE post = ?1");
        let count = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        scene.conn.query_row(&sql, params![post], count).unwrap() as usize
    })
    .sum()
}

#[test]
fn the_trash_hides_a_post_and_restoring_brings_it_back_as_it_was() {
    let mut scene = with_facts();
    let before = scene.post(2).unwrap().unwrap();
    let until = scene.run(|w| w.trash_posts(&[2], NOW));
    assert_eq!(until, Some(NOW.unix_ms + KEPT_MS));
    for reopened in [false, true] {
        if reopened {
            scene.reopen();
        }
        for query in [
            "",
            "tag_1",
            "mine",
            "id:2",
            "-mine",
            "rating:e",
            "tagcount:2",
        ] {
            assert!(!scene.find(query).contains(&2), "{query}");
        }
        assert_eq!(scene.find("status:trash"), [2]);
        assert_eq!(scene.find("mine rating:e status:trash"), [2]);
        assert_eq!(scene.find("-mine status:trash"), [0u32; 0]);
        let stats = scene.stats().unwrap();
        assert_eq!((stats.posts, stats.posts_trashed), (2, 1));
    }
    let again = scene.run(|w| w.trash_posts(&[2, 3], later(5_000)));
    assert_eq!(
        again, until,
        "it keeps its time, and is the first of the two"
    );
    let kept = scene.post(2).unwrap().unwrap();
    assert_eq!(kept.trashed_ms, Some(NOW.unix_ms));

    scene.run(|w| w.restore_posts(&[2, 3]));
    let after = scene.post(2).unwrap().unwrap();
    assert!(after.changed_seq > before.changed_seq);
    assert_eq!((&after.tags, after.rating), (&before.tags, before.rating));
    assert_eq!(scene.find("mine rating:e"), [2]);
    assert_eq!(scene.find("status:trash"), [0u32; 0]);
}

#[test]
fn what_becomes_known_of_a_post_in_the_trash_is_kept_and_does_not_bring_it_back() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let node = scene.node(1, 1, &[model.id]);
    scene.register(1..=1);
    scene.run(|w| w.trash_posts(&[1], NOW));
    assert_eq!(scene.tag_all(node, model.id, &result(&[(4, 0.9)])), 1);
    let known = scene.register([1]);
    assert_eq!((known[0].id, known[0].created), (1, false));
    assert_eq!(
        (scene.find("tag_4"), scene.find("tag_4 status:trash")),
        (vec![], vec![1])
    );
    scene.run(|w| w.restore_posts(&[1]));
    assert_eq!(scene.find("tag_4"), [1]);
}

#[test]
fn a_purge_leaves_a_tombstone_and_no_fact_and_its_content_stays_away() {
    let mut scene = with_facts();
    let present = scene.root(scene.root).unwrap().present;
    scene.purge(2);
    assert_eq!(rows_of(&scene, 2), 0);
    assert_eq!(scene.post(2).unwrap(), None);
    assert_eq!(scene.post_by_sha256(&sha256(2)).unwrap(), None);
    let stats = scene.stats().unwrap();
    assert_eq!(
        (stats.edits, stats.source_records, stats.rejected),
        (0, 0, 1)
    );
    assert_eq!(stats.predictions, 2);
    assert_eq!(
        scene.root(scene.root).unwrap().present,
        present,
        "counts stay whole"
    );

    let rejected = scene.rejected(None, 10).unwrap();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].sha256, sha256(2));
    assert_eq!(rejected[0].places, [(scene.root, b"a/2.png".to_vec())]);

    scene.reopen();
    let root = scene.root;
    let mut copy = picture(root, 2);
    copy.location = at(root, "copy.png");
    let told = scene.run(|w| w.register_posts(&[picture(root, 2), copy], NOW));
    assert_eq!(told, [Registered::Rejected; 2]);
    let change = LocationChange::Present(at(root, "third.png"), sha256(2));
    let unknown = scene.run(|w| w.update_locations(&[change], NOW));
    assert_eq!(unknown, [0u32; 0], "nobody needs to read it");
    assert_eq!(scene.find("").len(), 2);
    let known = scene.root_locations(root, 0, 100).unwrap();
    let held = known.iter().filter(|l| matches!(l.held, Held::Rejected(_)));
    assert!(held.clone().all(|l| l.sha256 == sha256(2)));
    assert_eq!(held.count(), 3);
    assert_eq!(scene.root(root).unwrap().present, present + 2);
}

#[test]
fn files_of_rejected_content_go_missing_and_move_like_others() {
    let mut scene = with_facts();
    scene.purge(2);
    let root = scene.root;
    let present = scene.root(root).unwrap().present;
    let moved = [
        LocationChange::Present(at(root, "new.png"), sha256(2)),
        LocationChange::Moved {
            root,
            path: b"a/2.png".to_vec(),
        },
    ];
    assert_eq!(scene.run(|w| w.update_locations(&moved, NOW)), [0u32; 0]);
    let places = scene.rejected(None, 1).unwrap().remove(0).places;
    assert_eq!(places, [(root, b"new.png".to_vec())]);
    let gone = [LocationChange::Missing {
        root,
        path: b"new.png".to_vec(),
    }];
    scene.run(|w| w.update_locations(&gone, NOW));
    let now = scene.root(root).unwrap();
    assert_eq!((now.present, now.missing), (present - 1, 1));
    // Another picture in its place is a post like any other.
    let mut other = picture(root, 9);
    other.location = at(root, "new.png");
    let told = scene.run(|w| w.register_posts(&[other], NOW)).remove(0);
    assert!(made(told).created);
    assert_eq!(scene.rejected(None, 1).unwrap()[0].places, []);
}

#[test]
fn allowed_content_comes_back_as_a_new_post_once_one_of_its_files_was_read() {
    let mut scene = with_facts();
    let root = scene.root;
    let mut copy = picture(root, 2);
    copy.location = at(root, "copy.png");
    scene.run(|w| w.register_posts(&[copy], NOW));
    scene.purge(2);
    let present = scene.root(root).unwrap().present;
    let beat = |scene: &mut Scene, now: Now| {
        let roots = [folder(RootState::Online)];
        scene.run(|w| w.heartbeat_watcher(&watcher(1).name, 1, &roots, Default::default(), now))
    };
    assert_eq!(beat(&mut scene, NOW), []);
    let contents = [sha256(2), sha256(77)];
    assert_eq!(scene.run(|w| w.allow_rejected(&contents, NOW)), 1);
    assert_eq!(scene.run(|w| w.allow_rejected(&contents, NOW)), 0);
    assert_eq!(scene.rejected(None, 10).unwrap(), []);
    assert_eq!(scene.stats().unwrap().rejected, 0);
    assert_eq!(scene.root(root).unwrap().present, present);

    scene.reopen();
    let both = [(root, b"a/2.png".to_vec()), (root, b"copy.png".to_vec())];
    assert_eq!(beat(&mut scene, NOW), both);
    assert_eq!(beat(&mut scene, later(1_000)), [], "told once");
    assert_eq!(
        beat(&mut scene, later(300_000)),
        both,
        "and again without an outcome"
    );
    // A watcher that says it lies there is told to read it.
    let there = LocationChange::Present(at(root, "a/2.png"), sha256(2));
    assert_eq!(scene.run(|w| w.update_locations(&[there], NOW)), [0]);

    let back = scene.register([2])[0];
    assert_eq!(
        (back.id, back.created),
        (4, true),
        "numbers are not used again"
    );
    assert_eq!(
        scene.locations(4, 10).unwrap().len(),
        2,
        "its copies are with it"
    );
    assert_eq!(beat(&mut scene, later(900_000)), []);
    assert_eq!(scene.find("mine"), [0u32; 0], "what was said of it is gone");
    assert_eq!(scene.root(root).unwrap().present, present);
    scene.purge(4);
    assert_eq!(scene.rejected(None, 10).unwrap().len(), 1);
}

#[test]
fn allowed_files_that_fail_or_vanish_are_not_told_for_ever() {
    let mut scene = Scene::new();
    scene.register(1..=2);
    scene.purge(1);
    scene.purge(2);
    scene.run(|w| w.allow_rejected(&[sha256(1), sha256(2)], NOW));
    let root = scene.root;
    let failure = crate::ingest_failure::NewIngestFailure {
        root,
        path: b"a/1.png".to_vec(),
        byte_size: 3,
        mtime_ns: 4,
        sha256: None,
        reason: "UNREADABLE".to_owned(),
        message: String::new(),
    };
    scene.run(|w| w.report_ingest_failures(&[failure], NOW));
    let gone = [LocationChange::Missing {
        root,
        path: b"a/2.png".to_vec(),
    }];
    scene.run(|w| w.update_locations(&gone, NOW));
    let roots = [folder(RootState::Online)];
    let told = scene.run(|w| {
        w.heartbeat_watcher(
            &watcher(1).name,
            1,
            &roots,
            Default::default(),
            later(900_000),
        )
    });
    assert_eq!(told, []);
}

#[test]
fn the_trash_empties_itself_after_thirty_days_in_slices() {
    let mut scene = Scene::new();
    scene.register(1..=50);
    let early: Vec<PostId> = (1..=45).collect();
    scene.run(|w| w.trash_posts(&early, NOW));
    scene.run(|w| w.trash_posts(&[46], later(1)));
    // What decides is running time, whatever the wall clock says.
    let due = |ms: i64| Now {
        mono_ms: NOW.mono_ms + ms.cast_unsigned(),
        ..NOW
    };
    assert!(!scene.run(|w| w.upkeep(due(KEPT_MS - 1))));
    assert!(!scene.trash_is_due(due(KEPT_MS - 1)).unwrap());
    assert_eq!(scene.find("status:trash").len(), 46);
    assert!(scene.trash_is_due(due(KEPT_MS)).unwrap());
    assert!(
        scene.run(|w| w.upkeep(due(KEPT_MS))),
        "a slice, and more is left"
    );
    assert_eq!(scene.find("status:trash").len(), 6);
    scene.reopen();
    while scene.run(|w| w.upkeep(NOW)) {}
    assert_eq!(scene.find("status:trash"), [46]);
    assert_eq!(scene.find("").len(), 4);
    assert_eq!(scene.rejected(None, 100).unwrap().len(), 45);
}

#[test]
fn a_post_in_the_trash_is_nothing_to_wait_for() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let embedder = scene.embedder(1);
    let tagging = scene.node(1, 1, &[model.id]);
    let embedding = scene.node(2, 1, &[embedder.id]);
    scene.register(1..=3);
    scene.tag_all(tagging, model.id, &result(&[(1, 0.9)]));
    scene.tag_all(embedding, embedder.id, &along(1));
    let counts = |scene: &Scene| {
        let stats = scene.stats().unwrap();
        (stats.posts, stats.posts_done, stats.predictions)
    };
    assert_eq!(counts(&scene), (3, 3, 3));
    scene.run(|w| w.trash_posts(&[1, 2], NOW));
    scene.run(|w| w.trash_posts(&[1], NOW));
    assert_eq!(counts(&scene), (1, 1, 3));
    // What is new and not done yet is waited for, in the trash or not.
    scene.register(4..=5);
    scene.run(|w| w.trash_posts(&[4], NOW));
    assert_eq!(counts(&scene), (2, 1, 3));
    scene.tag_all(tagging, model.id, &result(&[(1, 0.9)]));
    assert_eq!(counts(&scene), (2, 1, 5), "it has no vector yet");
    scene.tag_all(embedding, embedder.id, &along(1));
    assert_eq!(counts(&scene), (2, 2, 5));
    scene.run(|w| w.purge_posts(&[1, 4], NOW));
    assert_eq!(counts(&scene), (2, 2, 3));
    scene.run(|w| w.restore_posts(&[2]));
    scene.reopen();
    assert_eq!(counts(&scene), (3, 3, 3));
}

#[test]
fn many_posts_end_together_though_what_is_known_of_them_goes_in_slices() {
    let mut scene = Scene::new();
    scene.register(1..=100);
    let all: Vec<PostId> = (1..=100).collect();
    scene.run(|w| w.trash_posts(&all, NOW));
    assert!(
        scene.run(|w| w.purge_posts(&all[..90], NOW)),
        "a slice is done"
    );
    assert_eq!(scene.rejected(None, 100).unwrap().len(), 40);
    // Nothing brings the others back, and a call with one of them does nothing.
    for gone in [1, 90] {
        let restored = scene.write(|w| w.restore_posts(&[91, gone])).unwrap_err();
        assert!(matches!(restored, Error::NotFound { .. }), "{restored}");
        let trashed = scene.write(|w| w.trash_posts(&[gone], NOW)).unwrap_err();
        assert!(matches!(trashed, Error::NotFound { .. }), "{trashed}");
        let again = scene.write(|w| w.purge_posts(&[91, gone], NOW));
        assert!(matches!(again.unwrap_err(), Error::NotFound { .. }));
    }
    assert!(scene.run(|w| w.purge_ended(NOW)));
    assert_eq!(scene.rejected(None, 100).unwrap().len(), 80);
    // Killed here: upkeep ends what was begun, and nothing else.
    scene.reopen();
    assert!(scene.trash_is_due(NOW).unwrap());
    scene.run(|w| w.upkeep(NOW));
    assert!(!scene.trash_is_due(NOW).unwrap());
    assert_eq!(scene.rejected(None, 100).unwrap().len(), 90);
    scene.run(|w| w.restore_posts(&all[90..]));
    assert_eq!(scene.find("").len(), 10);
    assert_eq!(scene.stats().unwrap().posts_trashed, 0);
}

#[test]
fn many_records_of_a_post_go_in_pieces_and_it_does_not_come_back_with_a_part_of_them() {
    let mut scene = with_facts();
    let record = |number: usize| {
        let identifier = number.to_string();
        let raw = vec![7; crate::source_record::MAX_RAW];
        NewRecord::new(
            "gelbooru".to_owned(),
            identifier,
            Vec::new(),
            None,
            raw,
            None,
        )
        .unwrap()
    };
    let records: Vec<_> = (0..6).map(|number| (2, record(number))).collect();
    scene.run(|w| w.put_source_records(&records, NOW));
    scene.run(|w| w.trash_posts(&[2], NOW));
    // Its time comes, with nobody's doing.
    let due = Now {
        mono_ms: NOW.mono_ms + KEPT_MS.cast_unsigned(),
        ..NOW
    };
    assert!(scene.run(|w| w.purge_slice(due)), "a piece is done");
    // With the small one of before, which is the first to go.
    assert_eq!(scene.source_records(2).unwrap().len(), 2);
    let restored = scene.write(|w| w.restore_posts(&[2])).unwrap_err();
    assert!(matches!(restored, Error::NotFound { .. }), "{restored}");
    scene.reopen();
    while scene.run(|w| w.purge_slice(NOW)) {}
    assert_eq!((rows_of(&scene, 2), scene.post(2).unwrap()), (0, None));
    assert_eq!(scene.rejected(None, 100).unwrap().len(), 1);
}

#[test]
fn what_cannot_be_done_to_one_post_is_done_to_none() {
    let mut scene = with_facts();
    scene.run(|w| w.trash_posts(&[3], NOW));
    let before = scene.dump();
    let unknown = scene.write(|w| w.trash_posts(&[1, 9], NOW)).unwrap_err();
    assert!(matches!(unknown, Error::NotFound { noun: "post", .. }));
    let outside = scene.write(|w| w.restore_posts(&[3, 1])).unwrap_err();
    assert!(
        matches!(outside, Error::NotTrashed { post: 1 }),
        "{outside}"
    );
    let outside = scene.write(|w| w.purge_posts(&[3, 1], NOW)).unwrap_err();
    assert!(
        matches!(outside, Error::NotTrashed { post: 1 }),
        "{outside}"
    );
    let twice = scene.write(|w| w.purge_posts(&[3, 3], NOW)).unwrap_err();
    assert!(matches!(twice, Error::Invalid { .. }), "{twice}");
    let many: Vec<PostId> = (1..=MAX_POSTS as u32 + 1).collect();
    let many = scene.write(|w| w.trash_posts(&many, NOW)).unwrap_err();
    assert!(matches!(many, Error::TooMany { .. }), "{many}");
    assert_eq!(scene.dump(), before);
    assert_eq!(scene.run(|w| w.trash_posts(&[], NOW)), None);
}
