//! Same bytes, same post.

use crate::Error;
use crate::fixture::{NOW, Scene, at, made, picture, sha256};
use crate::post::MAX_REGISTER;

#[test]
fn the_same_content_is_one_post_within_a_batch_and_across_batches() {
    let mut scene = Scene::new();
    let root = scene.root;
    let mut copy = picture(root, 1);
    copy.location = at(root, "copy.png");
    let batch = [picture(root, 1), copy, picture(root, 2)];
    let first = scene.run(|w| w.register_posts(&batch, NOW));
    let created: Vec<_> = first
        .into_iter()
        .map(|registered| (made(registered).id, made(registered).created))
        .collect();
    assert_eq!(created, [(1, true), (1, false), (2, true)]);
    let before = scene.dump();
    let second = scene.run(|w| w.register_posts(&batch, NOW));
    assert!(
        second
            .into_iter()
            .all(|registered| !made(registered).created)
    );
    assert_eq!(
        scene.dump(),
        before,
        "sending a batch twice changes nothing"
    );
    assert_eq!(scene.locations(1, 9).unwrap().len(), 2);
}

#[test]
fn a_post_is_read_as_it_was_registered() {
    let mut scene = Scene::new();
    let new = picture(scene.root, 5);
    let id = scene.register([5])[0].id;
    let post = scene.post(id).unwrap().unwrap();
    assert_eq!(post.content, new.content);
    assert_eq!(post.created_ms, NOW.unix_ms);
    assert_eq!(scene.post_by_sha256(&sha256(5)).unwrap(), Some(id));
    assert_eq!(scene.post_by_md5(&new.content.md5).unwrap(), Some(id));
    assert_eq!(scene.post(id + 1).unwrap(), None);
}

#[test]
fn a_new_post_has_its_tasks_with_it() {
    let mut scene = Scene::new();
    let (first, second) = (scene.tagger(1), scene.tagger(2));
    scene.register(0..4);
    for model in [first.id, second.id] {
        assert_eq!(scene.task_counts(model).unwrap().queued, 4);
    }
}

#[test]
fn numbers_of_purged_posts_are_not_given_out_again() {
    let mut scene = Scene::new();
    scene.register(0..3);
    scene.purge(3);
    let again = scene.write(|w| w.purge_posts(&[3], NOW)).unwrap_err();
    assert!(matches!(again, Error::NotFound { .. }), "{again}");
    scene.reopen();
    assert_eq!(scene.register([9])[0].id, 4);
}

#[test]
fn the_last_number_is_the_last() {
    let mut scene = Scene::new();
    scene.register([0]);
    scene
        .conn
        .execute(
            "UPDATE sqlite_sequence SET seq = 4294967295 WHERE name = 'post'",
            [],
        )
        .unwrap();
    let new = picture(scene.root, 1);
    let refused = scene.write(|w| w.register_posts(&[new], NOW)).unwrap_err();
    assert!(
        matches!(refused, Error::Exhausted { noun: "post", .. }),
        "{refused}"
    );
    assert_eq!(scene.find(""), [1]);
}

#[test]
fn pictures_that_cannot_be_are_refused_as_a_whole() {
    let mut scene = Scene::new();
    let good = picture(scene.root, 1);
    let spoil: [fn(&mut crate::post::Content); 7] = [
        |c| c.width = 0,
        |c| c.height = 65_536,
        |c| c.byte_size = 0,
        |c| c.frames = 0,
        |c| c.detail = 12_751,
        |c| c.media_type = "image/\n".to_owned(),
        |c| c.colours = "x".repeat(201),
    ];
    for spoil in spoil {
        let mut bad = picture(scene.root, 2);
        spoil(&mut bad.content);
        let batch = [good.clone(), bad];
        let refused = scene.write(|w| w.register_posts(&batch, NOW));
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    let many = vec![good; MAX_REGISTER + 1];
    let refused = scene.write(|w| w.register_posts(&many, NOW));
    assert!(matches!(refused, Err(Error::TooMany { .. })));
    assert_eq!(scene.find(""), [0u32; 0]);
}
