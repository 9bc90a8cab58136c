//! Tasks are made with their posts, end with their results, and never vanish in between.

use crate::fixture::{NOW, Scene, at, claim, folder, later, result, sha256, watcher};
use crate::lease::{Claim, Renewal, Token, Verdict};
use crate::location::LocationChange;
use crate::model::BACKFILL_WINDOW;
use crate::prediction::{MAX_LABELS, TagResult};
use crate::root::RootState;
use crate::task::{Delivery, Failure, FailureCause, Outcome, TaskState};
use crate::watcher::NewWatcher;
use crate::{Error, ModelKind, Rating};

fn source_unavailable(claim: Claim) -> Failure {
    Failure {
        claim,
        cause: FailureCause::SourceUnavailable,
        reason: "SOURCE_UNAVAILABLE".to_owned(),
        message: String::new(),
    }
}

#[test]
fn a_result_makes_tags_and_rating_searchable_and_ends_the_task() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let post = scene.register([1])[0].id;
    let node = scene.node(1, 1, &[model.id]);
    let seq = scene.cursor().seq;
    let said = result(&[(2, 0.9), (4, 0.34), (5, 0.01), (10, 0.2), (12, 0.6)]);
    assert_eq!(scene.tag_all(node, model.id, &said), 1);
    assert_eq!(scene.find("tag_2 rating:q"), [post]);
    assert_eq!(scene.find("tag_4"), [0u32; 0]);
    assert_eq!(scene.tasks(None, 0, 10).unwrap(), []);
    assert_eq!(scene.cursor().seq, seq + 1);
    let kept = &scene.predictions(post).unwrap()[0];
    assert_eq!(
        kept.labels.len(),
        2,
        "below the storage threshold nothing is kept"
    );
    assert_eq!(kept.node, "node-1");
    assert_eq!(
        scene.post(post).unwrap().unwrap().rating,
        Some(Rating::Questionable)
    );
    let stats = scene.stats().unwrap();
    assert_eq!(
        (stats.posts_done, stats.predictions, stats.associations),
        (1, 1, 1)
    );
}

#[test]
fn a_repeated_result_is_as_good_as_accepted_and_changes_nothing() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.register([1]);
    let node = scene.node(1, 1, &[model.id]);
    let lease = claim(&scene.lease(node, model.id, 1).tasks[0].grant);
    let deliver =
        |scene: &mut Scene| scene.run(|w| w.complete_task(node, lease, &result(&[(1, 0.9)]), NOW));
    assert_eq!(deliver(&mut scene), Delivery::Accepted);
    scene.reopen();
    let before = scene.dump();
    assert_eq!(deliver(&mut scene), Delivery::Repeated);
    assert_eq!(scene.dump(), before);
}

#[test]
fn results_without_the_lease_change_nothing() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.register([1]);
    let (node, other) = (scene.node(1, 1, &[model.id]), scene.node(2, 1, &[model.id]));
    let lease = claim(&scene.lease(node, model.id, 1).tasks[0].grant);
    let before = scene.dump();
    let forged = Claim {
        token: Token {
            counter: lease.token.counter + 1,
            ..lease.token
        },
        ..lease
    };
    let said = result(&[(1, 0.9)]);
    for (who, what) in [(node, forged), (other, lease)] {
        let delivery = scene.run(|w| w.complete_task(who, what, &said, NOW));
        assert_eq!(delivery, Delivery::Stale);
    }
    assert_eq!(scene.dump(), before);
}

#[test]
fn hostile_results_are_refused_and_the_lease_stays() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.register([1]);
    let node = scene.node(1, 1, &[model.id]);
    let lease = claim(&scene.lease(node, model.id, 1).tasks[0].grant);
    let before = scene.dump();
    let many = u32::try_from(MAX_LABELS).unwrap() + 1;
    let lopsided = Outcome::Tags(TagResult {
        labels: vec![1, 2],
        confidences: vec![0.5],
        render_revision: 1,
    });
    let hostile = [
        result(&[(14, 0.5)]),
        result(&[(u32::MAX, 0.5)]),
        result(&[(1, f32::NAN)]),
        result(&[(1, f32::INFINITY)]),
        result(&[(1, 1.01)]),
        result(&[(1, -0.01)]),
        result(&[(1, 0.5), (1, 0.6)]),
        result(&(0..many).map(|n| (n, 0.5)).collect::<Vec<_>>()),
        lopsided,
    ];
    for said in hostile {
        let delivery = scene.run(|w| w.complete_task(node, lease, &said, NOW));
        assert!(matches!(delivery, Delivery::Refused(_)), "{said:?}");
    }
    assert_eq!(scene.dump(), before);
    let good = scene.run(|w| w.complete_task(node, lease, &result(&[(1, 0.5)]), NOW));
    assert_eq!(good, Delivery::Accepted);
}

#[test]
fn a_newer_result_replaces_the_older_one_of_its_model_only() {
    let mut scene = Scene::new();
    let (first, second) = (scene.tagger(1), scene.tagger(2));
    let post = scene.register([1])[0].id;
    let node = scene.node(1, 1, &[first.id, second.id]);
    scene.tag_all(node, first.id, &result(&[(1, 0.9)]));
    scene.tag_all(node, second.id, &result(&[(2, 0.9)]));
    assert_eq!(scene.find("tag_1 tag_2"), [post]);
    scene.run(|w| w.deactivate_model(first.id));
    while scene.run(|w| w.upkeep(NOW)) {}
    assert_eq!(scene.find("tag_1"), [0u32; 0]);
    assert_eq!(scene.predictions(post).unwrap().len(), 2, "facts are kept");
    scene.run(|w| w.activate_model(first.id, NOW));
    while scene.run(|w| w.upkeep(NOW)) {}
    assert_eq!(scene.find("tag_1 tag_2"), [post]);
    assert_eq!(
        scene.tasks(None, 0, 9).unwrap(),
        [],
        "what is done is not done again"
    );
}

#[test]
fn failures_are_listed_with_their_reason_and_can_be_retried() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.register(1..4);
    let node = scene.node(1, 1, &[model.id]);
    let lease = claim(&scene.lease(node, model.id, 1).tasks[0].grant);
    let failure = Failure {
        claim: lease,
        cause: FailureCause::Permanent,
        reason: "DECODE_FAILED".to_owned(),
        message: "bad huffman code".to_owned(),
    };
    assert_eq!(
        scene.run(|w| w.fail_task(node, &failure, NOW)),
        Verdict::Failed
    );
    assert_eq!(
        scene.run(|w| w.fail_task(node, &failure, NOW)),
        Verdict::Stale
    );
    scene.reopen();
    let failed = scene.tasks(Some(TaskState::Failed), 0, 10).unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].reason, "DECODE_FAILED");
    assert_eq!(failed[0].message, "bad huffman code");
    assert_eq!(failed[0].node, "node-1");
    assert_eq!(scene.task_counts(model.id).unwrap().failed, 1);
    assert!(scene.run(|w| w.retry_task(lease.task, NOW)));
    assert!(!scene.run(|w| w.retry_task(lease.task, NOW)));
    assert!(!scene.run(|w| w.retry_task(4711, NOW)));
    assert_eq!(scene.lease(node, model.id, 9).tasks.len(), 3);
}

#[test]
fn a_crash_makes_suspects_of_what_ran_and_frees_the_rest() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.register(1..6);
    let node = scene.node(1, 1, &[model.id]);
    let claims: Vec<Claim> = scene
        .lease(node, model.id, 5)
        .tasks
        .iter()
        .map(|task| claim(&task.grant))
        .collect();
    scene.run(|w| w.mark_running(node, claims[..2].to_vec(), NOW));
    let suspects = scene.run(|w| w.report_crash(node, NOW));
    assert_eq!(suspects, [claims[0].task, claims[1].task]);
    scene.reopen();
    let again = scene.node(1, 2, &[model.id]);
    let stale = scene.write(|w| w.lease_tasks(node, model.id, 1, NOW));
    assert!(
        matches!(stale, Err(Error::NotRegistered { .. })),
        "{stale:?}"
    );
    assert_eq!(scene.tag_all(again, model.id, &result(&[])), 5);
}

#[test]
fn leases_run_out_in_silence_and_live_by_renewal() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.register(1..3);
    let node = scene.node(1, 1, &[model.id]);
    let claims: Vec<Claim> = scene
        .lease(node, model.id, 2)
        .tasks
        .iter()
        .map(|task| claim(&task.grant))
        .collect();
    let renewed = scene.run(|w| w.renew_leases(node, claims[..1].to_vec(), later(50_000)));
    assert_eq!(renewed, [Renewal::Extended]);
    while scene.run(|w| w.tick(later(61_000))) {}
    let counts = scene.task_counts(model.id).unwrap();
    assert_eq!((counts.leased, counts.queued), (1, 1));
}

#[test]
fn demand_counts_what_waits_and_what_runs() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.register(1..6);
    let node = scene.node(1, 1, &[model.id]);
    scene.lease(node, model.id, 2);
    scene.request_capacity(ModelKind::Tag, 1, NOW);
    let demand = scene.demand(NOW).unwrap();
    assert_eq!(demand.len(), 1);
    assert_eq!((demand[0].work.leasable, demand[0].work.leased), (3, 2));
    assert_eq!(demand[0].total(), 6);
}

#[test]
fn a_parked_task_names_online_sources_once_its_watcher_is_back() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    let post = scene.register([1])[0].id;
    assert_eq!(scene.sources(post, NOW).unwrap()[0].watcher, "den");
    assert_eq!(scene.sources(post, later(60_000)).unwrap(), []);
    let node = scene.node(1, 1, &[model.id]);
    let lease = claim(&scene.lease(node, model.id, 1).tasks[0].grant);
    scene.run(|w| w.tick(later(30_000)));
    let failure = source_unavailable(lease);
    assert_eq!(
        scene.run(|w| w.fail_task(node, &failure, NOW)),
        Verdict::Parked
    );
    let attempts = scene.tasks(Some(TaskState::Parked), 0, 9).unwrap()[0].attempts;
    assert_eq!(attempts, 0, "a source that is away costs nothing");
}

#[test]
fn a_backfill_never_exceeds_its_window_while_new_posts_arrive() {
    let mut scene = Scene::new();
    let posts = u32::try_from(BACKFILL_WINDOW).unwrap() + 1_500;
    for first in (0..posts).step_by(500) {
        scene.register(first..(first + 500).min(posts));
    }
    let model = scene.tagger(1);
    let mut fresh = 0;
    while scene.run(|w| w.upkeep(NOW)) {
        assert!(scene.materialised(model.id).unwrap().0 <= BACKFILL_WINDOW);
        scene.register([100_000 + fresh]);
        fresh += 1;
    }
    assert_eq!(scene.materialised(model.id).unwrap().0, BACKFILL_WINDOW);
    assert_eq!(scene.progress(model.id).unwrap().backfill_left, 1_500);
    let queued = scene.task_counts(model.id).unwrap().queued;
    assert_eq!(queued, BACKFILL_WINDOW + u64::from(fresh));
    let node = scene.node(1, 1, &[model.id]);
    let tasks = scene.lease(node, model.id, 64).tasks;
    let newest = posts + fresh;
    assert!(
        tasks
            .iter()
            .take(fresh as usize)
            .all(|t| t.post > posts && t.post <= newest)
    );
    for task in tasks {
        let claim = claim(&task.grant);
        scene.run(|w| w.complete_task(node, claim, &result(&[]), NOW));
    }
    scene.run(|w| w.upkeep(NOW));
    assert!(scene.progress(model.id).unwrap().backfill_left < 1_500);
    assert!(scene.materialised(model.id).unwrap().0 <= BACKFILL_WINDOW);
}

#[test]
fn a_backfill_goes_on_while_the_posts_of_a_sleeping_machine_are_parked() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.run(|w| w.deactivate_model(model.id));
    for first in (0..2_000).step_by(500) {
        scene.register(first..first + 500);
    }
    scene.run(|w| w.activate_model(model.id, NOW));
    while scene.run(|w| w.upkeep(NOW)) {}
    let node = scene.node(1, 1, &[model.id]);
    scene.run(|w| w.tick(later(40_000)));
    loop {
        let tasks = scene.lease(node, model.id, 256).tasks;
        if tasks.is_empty() {
            break;
        }
        for task in tasks {
            let failure = source_unavailable(claim(&task.grant));
            scene.run(|w| w.fail_task(node, &failure, NOW));
        }
    }
    assert_eq!(scene.materialised(model.id).unwrap(), (0, 2_000));
}

#[test]
fn a_parked_task_is_tried_at_a_place_that_is_found_meanwhile() {
    let mut scene = Scene::new();
    let model = scene.tagger(1);
    scene.register([1, 2]);
    let node = scene.node(1, 1, &[model.id]);
    scene.run(|w| w.tick(later(40_000)));
    for task in scene.lease(node, model.id, 2).tasks {
        let failure = source_unavailable(claim(&task.grant));
        scene.run(|w| w.fail_task(node, &failure, later(40_000)));
    }
    assert_eq!(scene.task_counts(model.id).unwrap().parked, 2);
    let attic = NewWatcher {
        name: "attic".to_owned(),
        ..watcher(1)
    };
    let now = later(41_000);
    let root = scene.run(|w| w.register_watcher(&attic, &[folder(RootState::Online)], now))[0].id;
    let seen = LocationChange::Present(at(root, "copy.png"), sha256(1));
    let (_, published) = scene.write(|w| w.update_locations(&[seen], now)).unwrap();
    assert_eq!(published.woken, [model.id]);
    let tasks = scene.lease(node, model.id, 9).tasks;
    assert_eq!(tasks.len(), 1, "the other still waits for the den");
    assert_eq!(
        scene.sources(tasks[0].post, now).unwrap()[0].watcher,
        "attic"
    );
    scene.reopen();
    assert_eq!(scene.task_counts(model.id).unwrap().parked, 1);
}
