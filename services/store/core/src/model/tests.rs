//! Models are known once, and their labels are tags before any result comes.

use super::{Label, LabelCategory, Labels, ModelKind, Registration, Target};
use crate::fixture::{NOW, Scene, model};
use crate::{Category, Error, Rating};

#[test]
fn labels_keep_tags_and_ratings_apart() {
    let targets = [
        Target::Tag(1),
        Target::Rating(Rating::Explicit),
        Target::Tag(70_000),
        Target::Rating(Rating::General),
    ];
    let labels = Labels::from_bytes(&Labels::new(targets).to_bytes()).unwrap();
    for (index, target) in (0..).zip(targets) {
        assert_eq!(labels.get(index), Some(target));
    }
    assert_eq!(labels.get(4), None);
}

#[test]
fn a_big_model_is_registered_in_steps_and_is_the_same_the_second_time() {
    let mut scene = Scene::new();
    let mut new = model(1);
    new.labels = (0..4_500)
        .map(|n| Label {
            name: format!("Label {n}"),
            category: LabelCategory::Tag(Category::General),
        })
        .collect();
    new.activate_if_first = true;
    let mut registration = Registration::new(new.clone()).unwrap();
    let mut steps = 0;
    let known = loop {
        steps += 1;
        if let Some(known) = scene.run(|w| registration.step(w, NOW)) {
            break known;
        }
    };
    assert_eq!(steps, 3);
    assert!(known.active && known.preferred);
    assert_eq!(known.label_count, 4_500);
    assert_eq!(scene.tags().len(), 4_500);
    assert!(scene.tags().find("label_4499").is_some());
    let mut again = Registration::new(new.clone()).unwrap();
    assert_eq!(scene.run(|w| again.step(w, NOW)), Some(known));
    new.labels.pop();
    let mut other = Registration::new(new).unwrap();
    let refused = scene.write(|w| other.step(w, NOW));
    assert!(matches!(refused, Err(Error::Invalid { .. })));
}

#[test]
fn a_registration_whose_step_was_undone_takes_it_again() {
    let mut scene = Scene::new();
    let mut new = model(1);
    new.labels = (0..2_500)
        .map(|n| Label {
            name: format!("label_{n}"),
            category: LabelCategory::Tag(Category::General),
        })
        .collect();
    let mut registration = Registration::new(new).unwrap();
    let undone = scene.write(|w| {
        registration.step(w, NOW)?;
        Err::<(), _>(Error::DiskFull)
    });
    assert!(undone.is_err());
    scene.run(|w| w.create_tags(&[("another", Category::Artist)]));
    let known = loop {
        if let Some(known) = scene.run(|w| registration.step(w, NOW)) {
            break known;
        }
    };
    let labels = scene.labels(known.id).unwrap();
    for index in [0, 1_999, 2_000, 2_499] {
        let tag = scene.tags().find(&format!("label_{index}")).unwrap();
        assert_eq!(labels.get(index), Some(Target::Tag(tag.id)));
    }
}

#[test]
fn models_that_make_no_sense_are_refused() {
    let mut nameless = model(1);
    nameless.name = "a b".to_owned();
    let mut unlabelled = model(1);
    unlabelled.labels.clear();
    let mut embedder = model(1);
    embedder.kind = ModelKind::Embed;
    let mut misrated = model(1);
    misrated.labels[10].name = "spicy".to_owned();
    for bad in [nameless, unlabelled, embedder, misrated] {
        assert!(matches!(Registration::new(bad), Err(Error::Invalid { .. })));
    }
}

#[test]
fn pausing_survives_a_restart_and_holds_back_every_task() {
    let mut scene = Scene::new();
    let tagger = scene.tagger(1);
    scene.register(0..3);
    let node = scene.node(1, 1, &[tagger.id]);
    scene.run(|w| w.pause_model(tagger.id, true, NOW));
    scene.reopen();
    assert!(scene.model(tagger.id).unwrap().paused);
    assert_eq!(scene.lease(node, tagger.id, 3).tasks, []);
    scene.run(|w| w.pause_model(tagger.id, false, NOW));
    assert_eq!(scene.lease(node, tagger.id, 3).tasks.len(), 3);
}
