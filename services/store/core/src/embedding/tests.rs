//! Vectors are stored once, checked, counted, told in the feed, and go with their post.

use super::{EmbedResult, MAX_DIMENSIONS, MIN_DIMENSIONS};
use crate::fixture::{NOW, Scene, along, claim, embedder, later, model, result, vector};
use crate::lease::{Claim, Holder};
use crate::model::Registration;
use crate::task::{Delivery, Outcome};
use crate::{Error, PostId};

/// A scene with an embedder and its node, and posts 1 to `posts`.
fn scene(posts: u32) -> (Scene, Holder, u32) {
    let mut scene = Scene::new();
    let model = scene.embedder(1).id;
    scene.register(1..=posts);
    let node = scene.node(1, 1, &[model]);
    (scene, node, model)
}

fn complete(scene: &mut Scene, node: Holder, lease: Claim, result: &Outcome) -> Delivery {
    scene.run(|w| w.complete_task(node, lease, result, later(5)))
}

fn refusal(delivery: Delivery) -> String {
    match delivery {
        Delivery::Refused(refused) => refused.message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_vector_is_kept_told_and_counted_and_a_repeated_one_changes_nothing() {
    let (mut scene, node, model) = scene(3);
    let leased = scene.lease(node, model, 1).tasks;
    let (post, lease) = (leased[0].post, claim(&leased[0].grant));
    let before = scene.cursor().seq;
    let delivered = complete(&mut scene, node, lease, &along(2));
    assert_eq!(delivered, Delivery::Accepted);
    let Outcome::Embedding(sent) = along(2) else {
        panic!("it is a vector");
    };
    let look = scene.look(Some(model), post).unwrap().unwrap();
    assert_eq!((look.post, &look.vector), (post, &sent.vector));
    assert_eq!(
        (look.perceptual_hash, look.colours.as_str()),
        ([3; 32], "LEHV6n")
    );
    assert_eq!(scene.embedding_models(post).unwrap(), [model]);
    assert_eq!(scene.post(post).unwrap().unwrap().changed_seq, before + 1);
    assert_eq!(scene.progress(model).unwrap().done, 1);
    let stats = scene.stats().unwrap();
    assert_eq!(
        (stats.embeddings, stats.predictions, stats.posts_done),
        (1, 0, 1)
    );

    scene.reopen();
    let dump = scene.dump();
    for other in [along(2), along(3)] {
        assert_eq!(
            complete(&mut scene, node, lease, &other),
            Delivery::Repeated
        );
    }
    let forged = Claim {
        token: crate::lease::Token {
            counter: lease.token.counter + 1_000,
            ..lease.token
        },
        ..lease
    };
    assert_eq!(
        complete(&mut scene, node, forged, &along(2)),
        Delivery::Stale
    );
    assert_eq!(scene.dump(), dump);
}

#[test]
fn a_vector_that_cannot_be_compared_is_refused_and_the_lease_stays() {
    let (mut scene, node, model) = scene(1);
    let lease = claim(&scene.lease(node, model, 1).tasks[0].grant);
    let before = scene.dump();
    let raw = |vector: &[u8]| {
        Outcome::Embedding(EmbedResult {
            vector: vector.to_vec(),
            render_revision: 1,
        })
    };
    let along = |length: f32| vector(&[0.0, length, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let hostile = [
        (raw(&[]), "0 bytes"),
        (raw(&[0; 15]), "15 bytes"),
        (raw(&[0; 17]), "17 bytes"),
        (raw(&[0; 16_384]), "need 16"),
        (raw(&[0; 16]), "length 0.0000"),
        (raw(&[0xff; 16]), "number 0 of the vector is NaN"),
        (along(f32::NAN), "number 1 of the vector is NaN"),
        (along(f32::NEG_INFINITY), "number 1 of the vector is -inf"),
        (along(2.0), "length 2.0000"),
        (along(0.98), "length 0.98"),
        (vector(&[1.0; 8]), "length 2.8284"),
        (result(&[(1, 0.9)]), "is an embedder: send a vector"),
    ];
    for (bad, expected) in hostile {
        let message = refusal(complete(&mut scene, node, lease, &bad));
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(scene.dump(), before);
    let nearly = along(0.993);
    assert_eq!(
        complete(&mut scene, node, lease, &nearly),
        Delivery::Accepted
    );
}

#[test]
fn a_tagger_is_sent_no_vector() {
    let mut scene = Scene::new();
    let tagger = scene.tagger(1).id;
    scene.register([1]);
    let node = scene.node(1, 1, &[tagger]);
    let lease = claim(&scene.lease(node, tagger, 1).tasks[0].grant);
    let message = refusal(complete(&mut scene, node, lease, &along(0)));
    assert!(message.contains("models/1 is a tagger"), "{message}");
    let good = complete(&mut scene, node, lease, &result(&[(1, 0.9)]));
    assert_eq!(good, Delivery::Accepted);
}

#[test]
fn models_share_no_vectors_and_a_post_takes_all_of_its_own_with_it() {
    let (mut scene, node, first) = scene(4);
    let second = scene.embedder(2).id;
    let other = scene.node(2, 1, &[second]);
    assert_eq!(scene.tag_all(node, first, &along(1)), 4);
    assert_eq!(scene.tag_all(other, second, &along(5)), 4);
    let vectors = |scene: &Scene, model| -> Vec<(PostId, Vec<u8>)> {
        let looks = scene.looks(model, 1, 2).unwrap();
        looks.into_iter().map(|l| (l.post, l.vector)).collect()
    };
    let ones = vectors(&scene, Some(first));
    let twos = vectors(&scene, Some(second));
    assert_eq!(ones.iter().map(|v| v.0).collect::<Vec<_>>(), [2, 3]);
    assert!(
        ones.iter()
            .zip(&twos)
            .all(|(a, b)| a.0 == b.0 && a.1 != b.1)
    );
    assert!(vectors(&scene, None).iter().all(|v| v.1.is_empty()));

    scene.run(|w| w.deactivate_model(first));
    scene.purge(2);
    assert_eq!(scene.look(Some(second), 2).unwrap(), None);
    let done = [first, second].map(|model| scene.progress(model).unwrap().done);
    assert_eq!(done, [3, 3], "of an idle model too");
    let left: i64 = scene
        .conn
        .query_row("SELECT count(*) FROM embedding", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 6);
    assert_eq!(scene.embedding_models(3).unwrap(), [first, second]);
}

#[test]
fn a_backfill_leaves_out_posts_that_have_a_vector() {
    let (mut scene, node, model) = scene(3);
    let tasks = scene.lease(node, model, 2).tasks;
    for task in &tasks {
        complete(&mut scene, node, claim(&task.grant), &along(0));
    }
    scene.run(|w| w.deactivate_model(model));
    while scene.run(|w| w.upkeep(NOW)) {}
    scene.run(|w| w.activate_model(model, NOW));
    while scene.run(|w| w.upkeep(NOW)) {}
    let rest = scene.lease(node, model, 10).tasks;
    assert_eq!(rest.len(), 1);
    assert!(tasks.iter().all(|task| task.post != rest[0].post));
}

#[test]
fn look_alike_search_goes_by_the_preferred_active_embedder() {
    let mut scene = Scene::new();
    let serving = |scene: &Scene| scene.embed_model().unwrap().map(|model| model.id);
    scene.tagger(1);
    assert_eq!(serving(&scene), None);
    let (first, second) = (scene.embedder(1).id, scene.embedder(2).id);
    assert_eq!(serving(&scene), Some(first));
    scene.run(|w| w.prefer_model(second));
    assert_eq!(serving(&scene), Some(second));
    scene.run(|w| w.deactivate_model(second));
    assert_eq!(serving(&scene), Some(first));
    scene.run(|w| w.deactivate_model(first));
    assert_eq!(serving(&scene), None);
    scene.run(|w| w.activate_model(second, NOW));
    assert_eq!(serving(&scene), Some(second));
}

#[test]
fn an_embedder_says_how_long_its_vectors_are_and_keeps_to_it() {
    let mut scene = Scene::new();
    for dimensions in [0, MIN_DIMENSIONS - 1, MAX_DIMENSIONS + 1, u32::MAX] {
        let mut new = embedder(1);
        new.dimensions = dimensions;
        let refused = Registration::new(new).unwrap_err();
        assert!(refused.to_string().contains("8 to 4096"), "{refused}");
    }
    let mut tagger = model(1);
    tagger.dimensions = 8;
    let refused = Registration::new(tagger).unwrap_err();
    assert!(matches!(refused, Error::Invalid { .. }), "{refused}");

    let known = scene.embedder(1);
    assert_eq!(known.dimensions, 8);
    scene.reopen();
    assert_eq!(scene.model(known.id).unwrap(), known);
    let mut longer = Registration::new(crate::model::NewModel {
        dimensions: 16,
        ..embedder(1)
    })
    .unwrap();
    let refused = scene.write(|w| longer.step(w, NOW)).unwrap_err();
    assert!(refused.to_string().contains("dimensions"), "{refused}");
}
