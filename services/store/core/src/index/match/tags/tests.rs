//! Matching by tags agrees with looking at every post, whatever is pruned.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Matches, Question, TagMatching};
use crate::index::{Index, PostDelta, Standing};
use crate::{Category, PostId, TagId};

/// Far enough apart for a few posts to reach into many blocks.
const APART: u32 = 4_099;

type Library = BTreeMap<PostId, (BTreeSet<TagId>, bool)>;

fn category(tag: TagId) -> Category {
    Category::ALL[tag as usize % Category::ALL.len()]
}

fn index(library: &Library) -> Index {
    let mut index = Index::new();
    for (&post, (tags, live)) in library {
        index.apply(&delta(post, tags, *live));
    }
    index
}

fn delta(post: PostId, tags: &BTreeSet<TagId>, live: bool) -> PostDelta {
    PostDelta {
        post,
        added: tags.iter().copied().collect(),
        removed: Vec::new(),
        columns: None,
        rating: None,
        standing: if live {
            Standing::Live
        } else {
            Standing::Trashed
        },
    }
}

/// By the formula, of every post. Weights are rounded as documented, so that ties are ties.
fn naive(library: &Library, question: &Question) -> (Vec<(PostId, f64)>, Vec<f64>) {
    let all = library.values().filter(|(_, live)| *live).count() as f64;
    let with = |tag| {
        library
            .values()
            .filter(|(tags, _)| tags.contains(tag))
            .count() as f64
    };
    let weights: Vec<(TagId, u64)> = question
        .tags
        .iter()
        .filter(|(tag, _)| with(tag) > 0.0 && all > 0.0)
        .map(|(tag, category)| {
            let factor = match category {
                Category::Character => 3.0,
                Category::Copyright | Category::Artist => 2.0,
                Category::Species => 1.5,
                Category::General => 1.0,
                Category::Meta => 0.25,
            };
            let weight = factor * (1.0 + all / with(tag)).ln();
            (*tag, (weight * 4_294_967_296.0).round() as u64)
        })
        .collect();
    let total: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let sum = |post: &PostId| match library.get(post) {
        Some((tags, true)) => {
            let shared = weights.iter().filter(|(tag, _)| tags.contains(tag));
            shared.map(|(_, weight)| weight).sum()
        }
        _ => 0,
    };
    let within = |post: &PostId| {
        let within = question.within.as_ref();
        within.is_none_or(|found| found.contains(*post)) && question.except != Some(*post)
    };
    let posts = library.keys().copied().filter(within);
    let mut best: Vec<(PostId, u64)> = posts.map(|post| (post, sum(&post))).collect();
    best.retain(|(_, sum)| *sum > 0);
    best.sort_by_key(|&(post, sum)| (std::cmp::Reverse(sum), post));
    best.truncate(question.limit);
    let share = |sum: u64| sum as f64 / total.max(1) as f64;
    let best = best.into_iter().map(|(post, sum)| (post, share(sum)));
    let also = question.also.iter().map(|post| share(sum(post)));
    (best.collect(), also.collect())
}

fn answer(index: &Index, question: Question) -> Matches {
    let mut matching = TagMatching::new(index, question);
    while matching.step(index) {}
    matching.finish()
}

fn check(library: &Library, question: Question) {
    let (best, also) = naive(library, &question);
    let found = answer(&index(library), question);
    let posts: Vec<PostId> = found.best.iter().map(|m| m.post).collect();
    let expected: Vec<PostId> = best.iter().map(|(post, _)| *post).collect();
    assert_eq!(posts, expected);
    let scores = found.best.iter().map(|m| m.score).chain(found.also);
    let expected = best.iter().map(|(_, score)| *score).chain(also);
    for (score, expected) in scores.zip(expected) {
        assert!(
            (f64::from(score) - expected).abs() < 1e-6,
            "{score} {expected}"
        );
    }
}

/// Tag 0 is on most posts, higher ones on ever fewer.
fn tags() -> impl Strategy<Value = BTreeSet<TagId>> {
    prop::collection::vec((0u32..40, 0u32..40), 0..12)
        .prop_map(|pairs| pairs.into_iter().map(|(a, b)| a.min(b)).collect())
}

fn library() -> impl Strategy<Value = Library> {
    let post = (tags(), prop::bool::weighted(0.9));
    prop::collection::btree_map((1u32..60).prop_map(|n| n * APART), post, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_best_are_those_of_a_full_scan(
        library in library(),
        asked in prop::collection::btree_set(0u32..45, 0..14),
        except in prop::option::of((1u32..60).prop_map(|n| n * APART)),
        limit in 0usize..70,
        also in prop::collection::vec((0u32..62).prop_map(|n| n * APART), 0..20),
        within in prop::option::of(prop::collection::btree_set(1u32..60, 0..60)),
    ) {
        let posts = |set: BTreeSet<u32>| set.into_iter().map(|n| n * APART);
        check(&library, Question {
            tags: asked.into_iter().map(|tag| (tag, category(tag))).collect(),
            except,
            limit,
            also,
            within: within.map(|set| posts(set).collect()),
        });
    }
}

/// Ten thousand posts: every one has tag 1, one in `n` has tag `n`.
fn regular() -> Library {
    (1..=10_000_u32)
        .map(|post| {
            (
                post * 30,
                ((1..=60).filter(|n| post % n == 0).collect(), true),
            )
        })
        .collect()
}

fn question(limit: usize) -> Question {
    Question {
        tags: (1..=60).map(|tag| (tag, Category::General)).collect(),
        except: None,
        limit,
        also: vec![30, 60, 31],
        within: None,
    }
}

#[test]
fn long_lists_are_not_run_through_when_they_cannot_matter() {
    let library = regular();
    let index = index(&library);
    for limit in [1, 10, 500, 10_000] {
        check(&library, question(limit));
    }
    let mut matching = TagMatching::new(&index, question(10));
    assert!(matching.step(&index));
    assert!(matching.floor > 0, "the rarest tags give a floor");
    let frequent: u64 = matching.terms.iter().rev().take(5).map(|t| t.weight).sum();
    assert!(
        frequent < matching.need(),
        "the five most frequent tags need no list of theirs"
    );
}

#[test]
fn posts_that_go_while_it_is_answered_leave_their_places_to_others() {
    let mut library = regular();
    let mut index = index(&library);
    let mut matching = TagMatching::new(&index, question(5));
    assert!(matching.step(&index));
    assert!(matching.floor > 0);
    let best = answer(&index, question(20)).best;
    for gone in &best {
        let entry = library.get_mut(&gone.post).unwrap();
        entry.1 = false;
        let tags = entry.0.clone();
        index.apply(&delta(gone.post, &tags, false));
    }
    while matching.step(&index) {}
    let posts: Vec<PostId> = matching.finish().best.iter().map(|m| m.post).collect();
    assert_eq!(posts.len(), 5);
    let next: Vec<PostId> = answer(&index, question(5))
        .best
        .iter()
        .map(|m| m.post)
        .collect();
    assert_eq!(posts, next);
}

#[test]
fn a_post_beyond_all_others_ends_the_answer() {
    let tags: BTreeSet<TagId> = [1].into();
    let posts = [1, PostId::MAX - 1, PostId::MAX];
    let library = posts.map(|post| (post, (tags.clone(), true))).into();
    check(&library, question(2));
    check(&library, question(9));
}
