//! Facts to effective tags and rating: the pure function at the heart of search.
//!
//! Tags, step by step, each step a function of its own:
//!
//! 1. *claimed*: what source records say, and what active models are sure enough of;
//! 2. *added*: and what people say is there;
//! 3. *removed*: less what people say is not there.
//!
//! Tags come in as numbers of one table, so names have found their tag before step 1; what follows
//! from a tag follows after step 2, so that what a person removed stays removed.
//!
//! Rating: a person's, else that of the source of highest priority, else that of the preferred
//! model. The order in which facts are given never matters.

mod derive;

use std::cmp::Reverse;

use crate::prediction::Scored;
use crate::source_record::SourceId;
use crate::{Category, ModelId, Rating, TagId};

/// Confidence from which a label becomes a tag, for each category by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds(pub [u16; 6]);

/// Everything that is known of a post and bears on its tags and its rating.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// What sources say.
    pub records: &'a [Claim],
    /// What active models say.
    pub said: &'a [Said<'a>],
    /// What people say of tags; each tag at most once.
    pub edits: &'a [Judgement],
    /// The rating people gave.
    pub rating: Option<Rating>,
}

/// What one source record says of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The source. The lower number was known first.
    pub source: SourceId,
    /// Its priority.
    pub priority: u32,
    /// When the record was received from it, unix milliseconds.
    pub fetched_ms: i64,
    /// Tags, in any order.
    pub tags: Vec<TagId>,
    /// Rating, if it says one.
    pub rating: Option<Rating>,
}

/// What one active model said of a post.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The model.
    pub model: ModelId,
    /// Its thresholds.
    pub thresholds: Thresholds,
    /// Whether its rating goes before that of others.
    pub preferred: bool,
    /// Its labels.
    pub labels: &'a [Scored],
    /// Its score of each rating, in the order of [`Rating::ALL`].
    pub ratings: Option<[u16; 4]>,
}

/// What a person said of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The post has it.
    Added(TagId),
    /// The post does not have it.
    Removed(TagId),
}

/// What search sees of a post.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effective {
    /// Tags, ascending.
    pub tags: Vec<TagId>,
    /// Rating.
    pub rating: Option<Rating>,
}

impl Thresholds {
    /// The threshold of a category.
    pub fn of(&self, category: Category) -> u16 {
        self.0[usize::from(category.code())]
    }
}

impl Default for Thresholds {
    /// 0.35 in every category but 0.85 for characters, as is usual for booru taggers.
    fn default() -> Self {
        let mut all = [confidence(0.35); 6];
        all[usize::from(Category::Character.code())] = confidence(0.85);
        Self(all)
    }
}

/// A confidence of 0 to 1 in steps of 1/65535.
pub fn confidence(value: f32) -> u16 {
    (value.clamp(0.0, 1.0) * 65_535.0).round() as u16
}

/// Derives the effective tags and rating. `category` tells the category of a tag; labels of models
/// without one are left out.
pub fn effective(facts: &Facts<'_>, category: impl Fn(TagId) -> Option<Category>) -> Effective {
    let mut tags = claimed(facts, category);
    add(&mut tags, facts.edits);
    remove(&mut tags, facts.edits);
    Effective {
        tags,
        rating: rating(facts),
    }
}

/// Step 1: tags of source records, and labels of models from their thresholds up; ascending.
fn claimed(facts: &Facts<'_>, category: impl Fn(TagId) -> Option<Category>) -> Vec<TagId> {
    let recorded = facts.records.iter().flat_map(|claim| &claim.tags).copied();
    let predicted = facts.said.iter().flat_map(|model| {
        model.labels.iter().filter_map(|label| {
            let threshold = model.thresholds.of(category(label.tag)?);
            (label.confidence >= threshold.max(1)).then_some(label.tag)
        })
    });
    let mut tags: Vec<TagId> = recorded.chain(predicted).collect();
    ascend(&mut tags);
    tags
}

/// Step 2: tags that people added.
fn add(tags: &mut Vec<TagId>, edits: &[Judgement]) {
    tags.extend(edits.iter().filter_map(|edit| match *edit {
        Judgement::Added(tag) => Some(tag),
        Judgement::Removed(_) => None,
    }));
    ascend(tags);
}

/// Step 3: tags that people removed.
fn remove(tags: &mut Vec<TagId>, edits: &[Judgement]) {
    let mut removed: Vec<TagId> = edits
        .iter()
        .filter_map(|edit| match *edit {
            Judgement::Removed(tag) => Some(tag),
            Judgement::Added(_) => None,
        })
        .collect();
    removed.sort_unstable();
    tags.retain(|tag| removed.binary_search(tag).is_err());
}

fn ascend(tags: &mut Vec<TagId>) {
    tags.sort_unstable();
    tags.dedup();
}

fn rating(facts: &Facts<'_>) -> Option<Rating> {
    let recorded = || {
        let rated = |claim: &Claim| Some((rank(claim), claim.rating?));
        let best = facts.records.iter().filter_map(rated).max();
        best.map(|(_, rating)| rating)
    };
    let predicted = || {
        let rated = |model: &Said<'_>| {
            let rating = highest(model.ratings?)?;
            Some(((model.preferred, model.model), rating))
        };
        let best = facts.said.iter().filter_map(rated).max();
        best.map(|(_, rating)| rating)
    };
    facts.rating.or_else(recorded).or_else(predicted)
}

/// Whose rating counts: of the highest priority, then of the source known first, then the latest.
fn rank(claim: &Claim) -> (u32, Reverse<SourceId>, i64) {
    (claim.priority, Reverse(claim.source), claim.fetched_ms)
}

/// The rating with the highest score; the safer of two equals; none if all are 0.
fn highest(scores: [u16; 4]) -> Option<Rating> {
    Rating::ALL
        .into_iter()
        .zip(scores)
        .filter(|&(_, score)| score > 0)
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(rating, _)| rating)
}

#[cfg(test)]
mod tests;
