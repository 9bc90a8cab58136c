//! The laws of effective tags, on facts of every kind.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Facts that own what they are made of.
#[derive(Debug, Clone)]
struct Owned {
    records: Vec<Claim>,
    said: Vec<Opinion>,
    edits: BTreeMap<TagId, bool>,
    rating: Option<Rating>,
}

/// Model, whether it is preferred, its labels and its ratings.
type Opinion = (ModelId, bool, Vec<Scored>, Option<[u16; 4]>);

impl Owned {
    fn effective(&self) -> Effective {
        let said: Vec<Said<'_>> = self
            .said
            .iter()
            .map(|(model, preferred, labels, ratings)| Said {
                model: *model,
                thresholds: Thresholds::default(),
                preferred: *preferred,
                labels,
                ratings: *ratings,
            })
            .collect();
        let edits: Vec<Judgement> = self
            .edits
            .iter()
            .map(|(&tag, &removed)| match removed {
                true => Judgement::Removed(tag),
                false => Judgement::Added(tag),
            })
            .collect();
        let facts = Facts {
            records: &self.records,
            said: &said,
            edits: &edits,
            rating: self.rating,
        };
        effective(&facts, character_from_ten)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it has the shape of a look-up")]
fn character_from_ten(tag: TagId) -> Option<Category> {
    Some(if tag >= 10 {
        Category::Character
    } else {
        Category::General
    })
}

fn scored(tag: TagId, value: f32) -> Scored {
    Scored {
        tag,
        confidence: confidence(value),
    }
}

fn said(model: ModelId, labels: &[Scored]) -> Said<'_> {
    Said {
        model,
        thresholds: Thresholds::default(),
        preferred: false,
        labels,
        ratings: None,
    }
}

fn of_models(said: &[Said<'_>]) -> Effective {
    let facts = Facts {
        said,
        ..Facts::default()
    };
    effective(&facts, character_from_ten)
}

fn rated(source: SourceId, priority: u32, fetched_ms: i64, rating: Option<Rating>) -> Claim {
    Claim {
        source,
        priority,
        fetched_ms,
        tags: Vec::new(),
        rating,
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let tag = || 1..16_u32;
    let rating = || (0..5_u8).prop_map(Rating::from_code);
    let claim = (
        1..4_u32,
        select(vec![0_u32, 100, 100]),
        0..3_i64,
        prop::collection::vec(tag(), 0..6),
        rating(),
    );
    let claim = claim.prop_map(|(source, priority, fetched_ms, tags, rating)| Claim {
        source,
        priority,
        fetched_ms,
        tags,
        rating,
    });
    let label = (tag(), any::<u16>()).prop_map(|(tag, confidence)| Scored { tag, confidence });
    let ratings = prop::option::of(prop::array::uniform4(any::<u16>()));
    let labels = prop::collection::vec(label, 0..8);
    let models = prop::collection::vec((any::<bool>(), labels, ratings), 0..4);
    (
        prop::collection::vec(claim, 0..4),
        models,
        prop::collection::btree_map(tag(), any::<bool>(), 0..6),
        rating(),
    )
        .prop_map(|(records, models, edits, rating)| {
            let said = (1..)
                .zip(models)
                .map(|(model, (preferred, labels, ratings))| (model, preferred, labels, ratings));
            Owned {
                records,
                said: said.collect(),
                edits,
                rating,
            }
        })
}

proptest! {
    #[test]
    fn a_person_always_wins(facts in owned()) {
        let seen = facts.effective();
        for (tag, removed) in &facts.edits {
            prop_assert_eq!(seen.tags.contains(tag), !removed, "tag {}", tag);
        }
        if facts.rating.is_some() {
            prop_assert_eq!(seen.rating, facts.rating);
        }
    }

    #[test]
    fn the_order_of_facts_does_not_matter(facts in owned(), seed in any::<u64>()) {
        let mut other = facts.clone();
        let (records, models) = (other.records.len(), other.said.len());
        if records > 0 {
            other.records.rotate_left(seed as usize % records);
        }
        if models > 0 {
            other.said.rotate_left(seed as usize % models);
        }
        if seed % 2 == 0 {
            other.records.reverse();
            other.said.reverse();
        }
        prop_assert_eq!(facts.effective(), other.effective());
    }

    #[test]
    fn an_edit_changes_its_own_tag_alone_and_its_withdrawal_restores_what_was(
        facts in owned(),
        tag in 1..16_u32,
        removed in any::<bool>(),
    ) {
        let mut without = facts;
        without.edits.remove(&tag);
        let mut with = without.clone();
        with.edits.insert(tag, removed);
        let others = |effective: Effective| -> Vec<TagId> {
            effective.tags.into_iter().filter(|other| *other != tag).collect()
        };
        prop_assert_eq!(others(with.effective()), others(without.effective()));
        prop_assert_eq!(with.effective().rating, without.effective().rating);
        let before = without.effective();
        with.edits.remove(&tag);
        prop_assert_eq!(with.effective(), before);
    }

    #[test]
    fn a_fact_told_twice_counts_once(facts in owned()) {
        let mut twice = facts.clone();
        twice.records.extend(facts.records.clone());
        twice.said.extend(facts.said.clone());
        prop_assert_eq!(facts.effective(), twice.effective());
    }

    #[test]
    fn tags_ascend_and_each_was_named_by_some_fact(facts in owned()) {
        let seen = facts.effective();
        prop_assert!(seen.tags.is_sorted_by(|a, b| a < b));
        for tag in &seen.tags {
            let recorded = facts.records.iter().any(|claim| claim.tags.contains(tag));
            let labelled = facts.said.iter().any(|said| said.2.iter().any(|l| l.tag == *tag));
            let added = facts.edits.get(tag) == Some(&false);
            prop_assert!(recorded || labelled || added, "tag {}", tag);
        }
    }
}

#[test]
fn each_category_has_its_own_threshold() {
    let labels = [
        scored(1, 0.35),
        scored(2, 0.34),
        scored(10, 0.84),
        scored(11, 0.85),
    ];
    assert_eq!(of_models(&[said(1, &labels)]).tags, [1, 11]);
}

#[test]
fn models_and_sources_are_united_without_doubles() {
    let (a, b) = (
        [scored(3, 0.9), scored(5, 0.9)],
        [scored(1, 0.9), scored(5, 0.9)],
    );
    let mut record = rated(1, 100, 0, None);
    record.tags = vec![12, 5, 7];
    let facts = Facts {
        records: &[record],
        said: &[said(1, &a), said(2, &b)],
        edits: &[Judgement::Removed(7), Judgement::Added(2)],
        rating: None,
    };
    assert_eq!(
        effective(&facts, character_from_ten).tags,
        [1, 2, 3, 5, 12],
        "thresholds are for models alone"
    );
}

#[test]
fn the_preferred_model_rates_before_later_ones() {
    let mut first = said(1, &[]);
    first.ratings = Some([0, 0, 0, 9]);
    let mut second = said(2, &[]);
    second.ratings = Some([9, 0, 0, 0]);
    let rate = |all: &[Said<'_>]| of_models(all).rating;
    assert_eq!(rate(&[first, second]), Some(Rating::General));
    first.preferred = true;
    assert_eq!(rate(&[first, second]), Some(Rating::Explicit));
    first.ratings = Some([0; 4]);
    assert_eq!(rate(&[first, second]), Some(Rating::General));
    assert_eq!(rate(&[]), None);
}

#[test]
fn a_person_rates_before_sources_and_these_by_priority_then_acquaintance_before_models() {
    let mut model = said(1, &[]);
    model.ratings = Some([9, 0, 0, 0]);
    model.preferred = true;
    let all = [
        rated(1, 100, 1, Some(Rating::Questionable)),
        rated(1, 100, 2, Some(Rating::Sensitive)),
        rated(2, 100, 9, Some(Rating::Explicit)),
        rated(3, 50, 9, Some(Rating::General)),
        rated(4, 900, 9, None),
    ];
    let rate = |records: &[Claim], rating| {
        let facts = Facts {
            records,
            said: &[model],
            edits: &[],
            rating,
        };
        effective(&facts, character_from_ten).rating
    };
    assert_eq!(rate(&[], None), Some(Rating::General));
    assert_eq!(rate(&all[4..], None), Some(Rating::General));
    assert_eq!(rate(&all, None), Some(Rating::Sensitive));
    assert_eq!(rate(&all[2..], None), Some(Rating::Explicit));
    assert_eq!(
        rate(&all, Some(Rating::Questionable)),
        Some(Rating::Questionable)
    );
    let mut raised = all.clone();
    raised[3].priority = 101;
    assert_eq!(rate(&raised, None), Some(Rating::General));
}

#[test]
fn a_threshold_of_nought_still_wants_some_confidence() {
    let labels = [scored(1, 0.0), scored(2, 0.01)];
    let mut model = said(1, &labels);
    model.thresholds = Thresholds([0; 6]);
    assert_eq!(of_models(&[model]).tags, [2]);
}
