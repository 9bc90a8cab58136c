//! What sources say is kept as they said it, and counts until it is forgotten.

use crate::fixture::{NOW, Scene, later, result};

use super::*;

fn record(source: &str, tags: &[&str], rating: Option<Rating>) -> NewRecord {
    let tags = tags
        .iter()
        .map(|tag| ((*tag).to_owned(), Category::General));
    let raw = format!("{{\"from\":\"{source}\"}}").into_bytes();
    NewRecord::new(
        source.to_owned(),
        "77".to_owned(),
        tags.collect(),
        rating,
        raw,
        None,
    )
    .unwrap()
}

fn put(scene: &mut Scene, post: PostId, record: NewRecord) -> Vec<u32> {
    scene.run(|w| w.put_source_records(&[(post, record)], NOW))
}

fn seq(scene: &Scene, post: PostId) -> u64 {
    scene.post(post).unwrap().unwrap().changed_seq
}

#[test]
fn records_count_beside_models_and_come_back_as_they_were_received() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let node = scene.node(1, 1, &[model.id]);
    scene.register(1..=2);
    scene.tag_all(node, model.id, &result(&[(1, 0.9), (10, 0.9)]));
    let danbooru = record("danbooru", &["Long Hair", "tag_2"], Some(Rating::Sensitive));
    assert_eq!(put(&mut scene, 1, danbooru), [0u32; 0]);
    assert_eq!(scene.find("tag_1 tag_2 long_hair rating:s"), [1]);
    scene.reopen();
    assert_eq!(scene.find("tag_1 tag_2 long_hair rating:s"), [1]);
    let kept = scene.source_record(1, 0).unwrap().unwrap();
    assert_eq!(kept.raw, b"{\"from\":\"danbooru\"}");
    assert_eq!((&*kept.source, &*kept.external_id), ("danbooru", "77"));
    assert_eq!(kept.fetched_ms, NOW.unix_ms);
    assert_eq!(scene.source_record(1, 1).unwrap(), None);
    assert_eq!(scene.source_records(1).unwrap()[0].raw, b"");
    assert_eq!(scene.stats().unwrap().source_records, 1);
}

#[test]
fn a_record_takes_the_place_of_the_former_one_and_the_same_one_changes_nothing() {
    let mut scene = Scene::new();
    scene.register(1..=1);
    put(&mut scene, 1, record("gelbooru", &["a", "b"], None));
    let before = scene.dump();
    let same = record("gelbooru", &["b", "A", "a"], None);
    scene.run(|w| w.put_source_records(&[(1, same)], later(5)));
    assert_eq!(
        scene.dump(),
        before,
        "not even the time of an unchanged record"
    );
    let moved = seq(&scene, 1);
    put(&mut scene, 1, record("gelbooru", &["c"], None));
    assert!(seq(&scene, 1) > moved);
    assert_eq!((scene.find("c"), scene.find("a")), (vec![1], vec![]));
    assert_eq!(scene.stats().unwrap().source_records, 1);
}

#[test]
fn records_of_unknown_posts_are_told_and_leave_nothing() {
    let mut scene = Scene::new();
    scene.register(1..=1);
    let before = scene.dump();
    let unmatched = put(&mut scene, 5, record("danbooru", &["x"], None));
    assert_eq!(unmatched, [0]);
    assert_eq!(scene.dump(), before);
}

#[test]
fn forgotten_records_count_no_more() {
    let mut scene = Scene::new();
    scene.register(1..=1);
    for source in ["danbooru", "e621"] {
        put(
            &mut scene,
            1,
            record(source, &[source], Some(Rating::General)),
        );
    }
    let key = |source: &str, external_id: Option<&str>| RecordKey {
        post: 1,
        source: source.to_owned(),
        external_id: external_id.map(str::to_owned),
    };
    let nothing = [key("danbooru", Some("78")), key("nobody", None)];
    assert_eq!(scene.run(|w| w.delete_source_records(&nothing)), (0, 2));
    let one = [key("danbooru", Some("77")), key("danbooru", None)];
    assert_eq!(scene.run(|w| w.delete_source_records(&one)), (1, 2));
    assert_eq!(
        (scene.find("danbooru"), scene.find("e621 rating:g")),
        (vec![], vec![1])
    );
    assert_eq!(
        scene.run(|w| w.delete_source_records(&[key("e621", None)])),
        (1, 1)
    );
    assert_eq!(scene.find("rating:unrated tagcount:0"), [1]);
    let records: Vec<u64> = scene
        .sources_of_records()
        .unwrap()
        .iter()
        .map(|s| s.records)
        .collect();
    assert_eq!(records, [0, 0]);
}

#[test]
fn a_new_priority_reaches_all_posts_in_slices_and_over_a_restart() {
    let mut scene = Scene::new();
    scene.register(1..=450);
    for post in 1..=450 {
        put(&mut scene, post, record("safe", &[], Some(Rating::General)));
        put(
            &mut scene,
            post,
            record("strict", &[], Some(Rating::Explicit)),
        );
    }
    while scene.run(|w| w.upkeep(NOW)) {}
    assert_eq!(scene.find("rating:g").len(), 450);
    let (source, published) = scene.write(|w| w.update_source("strict", 500)).unwrap();
    assert_eq!((source.priority, published.upkeep), (500, true));
    assert!(scene.run(|w| w.upkeep(NOW)), "more is left after one slice");
    assert_eq!(scene.find("rating:e").len(), 200);
    scene.reopen();
    let mut slices = 0;
    while scene.run(|w| w.upkeep(NOW)) {
        slices += 1;
    }
    assert_eq!((scene.find("rating:e").len(), slices), (450, 1));
    let order: Vec<String> = scene
        .sources_of_records()
        .unwrap()
        .into_iter()
        .map(|s| s.name)
        .collect();
    assert_eq!(order, ["strict", "safe"]);
    let same = scene.write(|w| w.update_source("strict", 500)).unwrap();
    assert!(!same.1.upkeep, "nothing to do for the same priority");
    let unknown = scene.write(|w| w.update_source("nobody", 5)).unwrap_err();
    assert!(matches!(unknown, Error::NotFound { noun: "source", .. }));
    let high = scene.write(|w| w.update_source("safe", 1_001)).unwrap_err();
    assert!(matches!(high, Error::Invalid { .. }));
}

#[test]
fn what_cannot_be_a_record_is_refused() {
    let new = |source: &str, id: &str, tags: usize, raw: usize| {
        let tags = (0..tags).map(|n| (format!("t{n}"), Category::General));
        NewRecord::new(
            source.to_owned(),
            id.to_owned(),
            tags.collect(),
            None,
            vec![0; raw],
            None,
        )
    };
    assert!(new("dan.booru_2-x", "", MAX_TAGS, MAX_RAW).is_ok());
    for (source, id, tags, raw) in [
        ("", "1", 1, 1),
        ("Danbooru", "1", 1, 1),
        ("dan booru", "1", 1, 1),
        ("x\u{e9}", "1", 1, 1),
        ("danbooru", "a\nb", 1, 1),
        ("danbooru", "1", MAX_TAGS + 1, 1),
        ("danbooru", "1", 1, MAX_RAW + 1),
    ] {
        assert!(
            new(source, id, tags, raw).is_err(),
            "{source} {id:?} {tags} {raw}"
        );
    }
    assert!(new(&"x".repeat(101), "1", 1, 1).is_err());
    assert!(new("x", &"1".repeat(201), 1, 1).is_err());
}

#[test]
fn a_post_has_a_bounded_number_of_records() {
    let mut scene = Scene::new();
    scene.register(1..=1);
    let numbered = |n: usize| {
        let (source, id) = ("danbooru".to_owned(), n.to_string());
        NewRecord::new(source, id, Vec::new(), None, Vec::new(), None).unwrap()
    };
    let fit: Vec<_> = (0..MAX_PER_POST).map(|n| (1, numbered(n))).collect();
    scene.run(|w| w.put_source_records(&fit, NOW));
    let over = [(1, numbered(MAX_PER_POST))];
    let refused = scene
        .write(|w| w.put_source_records(&over, NOW))
        .unwrap_err();
    assert!(matches!(refused, Error::TooMany { .. }), "{refused}");
}

#[test]
fn no_post_gets_more_tags_than_fit_into_an_answer() {
    let mut scene = Scene::new();
    scene.register(1..=1);
    let names = |from: usize, to: usize| -> Vec<String> {
        (from..to).map(|number| format!("name_{number}")).collect()
    };
    let mut put = |source: &str, names: Vec<String>| {
        let tags: Vec<&str> = names.iter().map(String::as_str).collect();
        let record = record(source, &tags, None);
        scene.write(|w| w.put_source_records(&[(1, record)], NOW))
    };
    put("a", names(0, MAX_TAGS)).expect("is kept");
    put("b", names(MAX_TAGS, MAX_POST_TAGS)).expect("is kept");
    put("c", names(0, MAX_TAGS)).expect("says nothing new");
    let refused = put("d", vec!["one_more".to_owned()]).expect_err("is one too many");
    assert!(refused.to_string().contains("10001"), "{refused}");
    assert_eq!(scene.post(1).unwrap().unwrap().tags.len(), MAX_POST_TAGS);
    assert_eq!(scene.source_records(1).unwrap().len(), 3);
}
