//! What people say stands, and all of a call or nothing of it is taken.

use crate::effective::Judgement;
use crate::fixture::{NOW, Scene, later, result};
use crate::{Category, Error, PostId, Rating};

use super::*;

fn add(names: &[&str]) -> Vec<NewTag> {
    let tag = |name: &&str| NewTag {
        name: (*name).to_owned(),
        category: None,
    };
    names.iter().map(tag).collect()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn edit(scene: &mut Scene, edit: PostEdit) -> Post {
    scene.run(|w| w.edit_posts(&[edit], "ann", NOW)).remove(0)
}

fn refuse(scene: &mut Scene, edits: &[PostEdit]) -> Error {
    let before = scene.dump();
    let refused = scene
        .write(|w| w.edit_posts(edits, "ann", NOW))
        .unwrap_err();
    assert_eq!(scene.dump(), before, "{refused}: nothing of it remains");
    refused
}

/// Three posts, of which a model says `tag_1`, `tag_2` and general.
fn scene() -> Scene {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let node = scene.node(1, 1, &[model.id]);
    scene.register(1..=3);
    scene.tag_all(node, model.id, &result(&[(1, 0.9), (2, 0.9), (10, 0.9)]));
    scene
}

#[test]
fn an_edit_stands_whatever_models_say_and_its_withdrawal_restores_what_they_said() {
    let mut scene = scene();
    let before = scene.post(2).unwrap().unwrap();
    let post = edit(
        &mut scene,
        PostEdit {
            post: 2,
            add: add(&["My Cat", "tag_1"]),
            remove: names(&["tag_2"]),
            rating: RatingChange::Set(Rating::Explicit),
            ..PostEdit::default()
        },
    );
    assert!(post.changed_seq > before.changed_seq);
    assert_eq!(post.rating, Some(Rating::Explicit));
    assert_eq!(scene.find("my_cat tag_1 -tag_2 rating:e"), [2]);
    let model = scene.models().unwrap()[0].id;
    let node = scene.node(1, 2, &[model]);
    scene.register([4]);
    scene.tag_all(node, model, &result(&[(2, 0.9)]));
    scene.run(|w| w.deactivate_model(model));
    while scene.run(|w| w.upkeep(NOW)) {}
    assert_eq!(scene.find("my_cat tag_1 -tag_2 rating:e"), [2]);
    assert_eq!(scene.find("tag_2"), [0u32; 0], "no model speaks any more");
    scene.run(|w| w.activate_model(model, NOW));
    while scene.run(|w| w.upkeep(NOW)) {}

    scene.reopen();
    assert_eq!(scene.find("my_cat tag_1 -tag_2 rating:e"), [2]);
    let said = scene.tag_edits(2).unwrap();
    assert_eq!(said.len(), 3);
    assert!(
        said.iter()
            .all(|e| e.editor == "ann" && e.edited_ms == NOW.unix_ms)
    );
    assert_eq!(scene.stats().unwrap().edits, 4);

    let post = edit(
        &mut scene,
        PostEdit {
            post: 2,
            reset: names(&["my_cat", "tag_1", "tag_2"]),
            rating: RatingChange::Reset,
            ..PostEdit::default()
        },
    );
    assert_eq!((post.tags, post.rating), (before.tags, before.rating));
    assert_eq!(scene.stats().unwrap().edits, 0);
    assert_eq!(scene.find("my_cat"), [0u32; 0]);
}

#[test]
fn saying_the_same_again_changes_nothing_and_the_opposite_takes_its_place() {
    let mut scene = scene();
    let said = PostEdit {
        post: 1,
        add: add(&["cat"]),
        remove: names(&["tag_1"]),
        rating: RatingChange::Set(Rating::General),
        ..PostEdit::default()
    };
    let first = edit(&mut scene, said.clone());
    let before = scene.dump();
    let again = scene
        .run(|w| w.edit_posts(&[said], "bob", later(9)))
        .remove(0);
    assert_eq!(
        (again.changed_seq, scene.dump()),
        (first.changed_seq, before)
    );

    let turned = PostEdit {
        post: 1,
        add: add(&["tag_1"]),
        remove: names(&["cat"]),
        ..PostEdit::default()
    };
    scene.run(|w| w.edit_posts(&[turned], "bob", later(9)));
    assert_eq!(scene.find("tag_1 -cat id:1"), [1]);
    let edits = scene.tag_edits(1).unwrap();
    assert_eq!(edits.len(), 2);
    assert!(edits.iter().all(|edit| edit.editor == "bob"));
    let cat = scene.tags().find("cat").unwrap().id;
    assert!(edits.iter().any(|e| e.judgement == Judgement::Removed(cat)));
    let rating = scene.rating_edit(1).unwrap().unwrap();
    assert_eq!((rating.rating, &*rating.editor), (Rating::General, "ann"));
}

#[test]
fn a_new_tag_has_the_category_given_and_a_known_one_keeps_its_own() {
    let mut scene = scene();
    let artist = |name: &str| NewTag {
        name: name.to_owned(),
        category: Some(Category::Artist),
    };
    let one = PostEdit {
        post: 1,
        add: vec![artist("somebody")],
        ..PostEdit::default()
    };
    edit(&mut scene, one.clone());
    assert_eq!(scene.find("artist:somebody"), [1]);
    edit(&mut scene, PostEdit { post: 2, ..one });
    let other = PostEdit {
        post: 3,
        add: vec![artist("fresh"), artist("tag_1")],
        ..PostEdit::default()
    };
    let refused = refuse(&mut scene, &[other]);
    assert!(refused.to_string().contains("artist:tag_1"), "{refused}");
    assert!(scene.tags().find("fresh").is_none());
}

#[test]
fn one_bad_edit_leaves_all_posts_of_the_call_as_they_were() {
    let mut scene = scene();
    let good = PostEdit {
        post: 1,
        add: add(&["cat"]),
        ..PostEdit::default()
    };
    let of = |post: PostId| PostEdit {
        post,
        ..PostEdit::default()
    };
    let bad = [
        of(9),
        of(1),
        PostEdit {
            remove: names(&["never_seen"]),
            ..of(2)
        },
        PostEdit {
            reset: names(&["never_seen"]),
            ..of(2)
        },
        PostEdit {
            add: add(&["  "]),
            ..of(2)
        },
        PostEdit {
            add: add(&["a\u{7}b"]),
            ..of(2)
        },
        PostEdit {
            add: add(&["dog", "DOG"]),
            ..of(2)
        },
        PostEdit {
            add: add(&["tag_1"]),
            remove: names(&["tag_1"]),
            ..of(2)
        },
        PostEdit {
            remove: names(&["tag_1"]),
            reset: names(&["tag_1"]),
            ..of(2)
        },
    ];
    for bad in bad {
        refuse(&mut scene, &[good.clone(), bad]);
    }
    let unknown = PostEdit {
        remove: names(&["never_seen"]),
        ..of(2)
    };
    match refuse(&mut scene, &[unknown]) {
        Error::NotFound { noun, name } => assert_eq!((noun, &*name), ("tag", "never_seen")),
        other => panic!("{other}"),
    }
    let many: Vec<PostEdit> = (1..=MAX_POSTS as u32 + 1).map(of).collect();
    assert!(matches!(refuse(&mut scene, &many), Error::TooMany { .. }));
    let tags = vec!["x".to_owned(); MAX_TAGS + 1];
    let many = PostEdit {
        reset: tags,
        ..of(1)
    };
    assert!(matches!(refuse(&mut scene, &[many]), Error::TooMany { .. }));
}

#[test]
fn there_is_an_end_to_what_is_said_of_one_post() {
    let mut scene = scene();
    let tags: Vec<String> = (0..=MAX_EDITS).map(|n| format!("own_{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let of = |tags: &[&str]| PostEdit {
        post: 1,
        add: add(tags),
        ..PostEdit::default()
    };
    for some in tags[..MAX_EDITS].chunks(MAX_TAGS) {
        scene.run(|w| w.edit_posts(&[of(some)], "ann", NOW));
    }
    match refuse(&mut scene, &[of(&tags[MAX_EDITS..])]) {
        Error::TooMany { what, .. } => assert_eq!(what, "edited tags of one post"),
        other => panic!("{other}"),
    }
}
