//! A follower that applies pages ends with the store's state, whenever it asks.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::feed::{Change, Cursor};
use crate::fixture::{NOW, Scene, picture, result};
use crate::{Error, PostId};

#[derive(Debug, Clone)]
enum Step {
    Register(u32),
    Tag(u32),
    Trash(PostId),
    Restore(PostId),
    Purge(PostId),
    Follow(u32),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..30).prop_map(Step::Register),
        3 => (0u32..10).prop_map(Step::Tag),
        3 => (1u32..15).prop_map(Step::Trash),
        1 => (1u32..15).prop_map(Step::Restore),
        2 => (1u32..15).prop_map(Step::Purge),
        3 => (1u32..5).prop_map(Step::Follow),
        1 => Just(Step::Reopen),
    ]
}

/// What a follower holds: the position of each post's last change.
#[derive(Default)]
struct Follower {
    posts: BTreeSet<(PostId, u64)>,
    trashed: BTreeSet<PostId>,
    seq: u64,
}

impl Follower {
    fn follow(&mut self, scene: &Scene, limit: u32) -> bool {
        let cursor = Cursor {
            epoch: scene.epoch(),
            seq: self.seq,
        };
        let page = scene.changes(cursor, limit).unwrap();
        assert!(page.changes.len() <= limit as usize);
        assert!(page.changes.is_sorted_by_key(|change| change.seq));
        for change in &page.changes {
            self.apply(change);
        }
        self.seq = page.cursor.seq;
        page.more
    }

    fn apply(&mut self, change: &Change) {
        self.posts.retain(|(post, _)| *post != change.post);
        self.trashed.remove(&change.post);
        if change.trashed {
            assert!(change.deleted, "what is in the trash is found no more");
            self.trashed.insert(change.post);
        }
        if !change.deleted {
            self.posts.insert((change.post, change.seq));
        }
    }
}

fn truth(scene: &Scene) -> BTreeSet<(PostId, u64)> {
    let ids = scene.find("");
    let posts = scene.posts(&ids).unwrap();
    posts
        .iter()
        .map(|post| (post.id, post.changed_seq))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn followers_end_with_the_state_of_the_store(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let mut scene = Scene::new();
        let model = scene.tagger(1);
        let node = scene.node(1, 1, &[model.id]);
        let mut early = Follower::default();
        for step in steps {
            match step {
                Step::Register(number) => {
                    let new = picture(scene.root, number);
                    scene.run(|w| w.register_posts(&[new], NOW));
                }
                Step::Tag(label) => {
                    scene.tag_all(node, model.id, &result(&[(label, 0.9)]));
                }
                Step::Trash(post) => {
                    // Which may not be there.
                    let _ = scene.write(|w| w.trash_posts(&[post], NOW));
                }
                Step::Restore(post) => {
                    let _ = scene.write(|w| w.restore_posts(&[post]));
                }
                Step::Purge(post) => {
                    let _ = scene.write(|w| w.purge_posts(&[post], NOW));
                }
                Step::Follow(limit) => {
                    early.follow(&scene, limit);
                }
                Step::Reopen => scene.reopen(),
            }
        }
        let mut late = Follower::default();
        while early.follow(&scene, 3) {}
        while late.follow(&scene, 2) {}
        prop_assert_eq!(&early.posts, &truth(&scene));
        prop_assert_eq!(&late.posts, &truth(&scene));
        let trashed: BTreeSet<PostId> = scene.find("status:trash").into_iter().collect();
        prop_assert_eq!(&early.trashed, &trashed);
        prop_assert_eq!(&late.trashed, &trashed);
        prop_assert_eq!(early.seq, scene.cursor().seq);
    }
}

#[test]
fn foreign_and_future_cursors_must_read_everything_again() {
    let scene = Scene::new();
    let now = scene.cursor();
    let foreign = Cursor {
        epoch: now.epoch ^ 1,
        ..now
    };
    let future = Cursor {
        seq: now.seq + 1,
        ..now
    };
    for cursor in [foreign, future] {
        let refused = scene.changes(cursor, 10);
        assert!(
            matches!(refused, Err(Error::ResyncRequired { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(scene.changes(now, 10).unwrap().changes, []);
}
