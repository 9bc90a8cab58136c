//! Facts to effective tags and rating: the pure function at the heart of search.
//!
//! Today's facts are the predictions of active models. The others that are to come join here and
//! nowhere else: source records beside the predictions in the union, then edits, the implication
//! closure, and removals last.

use crate::prediction::Scored;
use crate::{Category, Rating, TagId};

/// Confidence from which a label becomes a tag, for each category by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds(pub [u16; 6]);

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

/// What one active model said of a post.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Its thresholds.
    pub thresholds: Thresholds,
    /// Whether its rating goes before that of others.
    pub preferred: bool,
    /// Its labels.
    pub labels: &'a [Scored],
    /// Its score of each rating, in the order of [`Rating::ALL`].
    pub ratings: Option<[u16; 4]>,
}

/// What search sees of a post.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effective {
    /// Tags, ascending.
    pub tags: Vec<TagId>,
    /// Rating.
    pub rating: Option<Rating>,
}

/// A confidence of 0 to 1 in steps of 1/65535.
pub fn confidence(value: f32) -> u16 {
    (value.clamp(0.0, 1.0) * 65_535.0).round() as u16
}

/// Derives the effective tags and rating. `category` tells the category of a tag; labels without
/// one are left out. The rating is the highest-scored one of the preferred model, else of the
/// last in `said` that scored any.
pub fn effective(said: &[Said<'_>], category: impl Fn(TagId) -> Option<Category>) -> Effective {
    let mut tags: Vec<TagId> = said
        .iter()
        .flat_map(|model| {
            model.labels.iter().filter_map(|label| {
                let threshold = model.thresholds.of(category(label.tag)?);
                (label.confidence >= threshold.max(1)).then_some(label.tag)
            })
        })
        .collect();
    tags.sort_unstable();
    tags.dedup();
    let rating = said
        .iter()
        .filter_map(|model| Some((model.preferred, highest(model.ratings?)?)))
        .max_by_key(|&(preferred, _)| preferred)
        .map(|(_, rating)| rating);
    Effective { tags, rating }
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
mod tests {
    use super::*;

    fn scored(tag: TagId, value: f32) -> Scored {
        Scored {
            tag,
            confidence: confidence(value),
        }
    }

    fn said(labels: &[Scored]) -> Said<'_> {
        Said {
            thresholds: Thresholds::default(),
            preferred: false,
            labels,
            ratings: None,
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

    #[test]
    fn each_category_has_its_own_threshold() {
        let labels = [
            scored(1, 0.35),
            scored(2, 0.34),
            scored(10, 0.84),
            scored(11, 0.85),
        ];
        let seen = effective(&[said(&labels)], character_from_ten);
        assert_eq!(seen.tags, [1, 11]);
    }

    #[test]
    fn several_models_are_united_without_doubles() {
        let (a, b) = (
            [scored(3, 0.9), scored(5, 0.9)],
            [scored(1, 0.9), scored(5, 0.9)],
        );
        let seen = effective(&[said(&a), said(&b)], character_from_ten);
        assert_eq!(seen.tags, [1, 3, 5]);
    }

    #[test]
    fn the_preferred_model_rates_before_later_ones() {
        let mut first = said(&[]);
        first.ratings = Some([0, 0, 0, 9]);
        let mut second = said(&[]);
        second.ratings = Some([9, 0, 0, 0]);
        let rate = |all: &[Said<'_>]| effective(all, character_from_ten).rating;
        assert_eq!(rate(&[first, second]), Some(Rating::General));
        first.preferred = true;
        assert_eq!(rate(&[first, second]), Some(Rating::Explicit));
        first.ratings = Some([0; 4]);
        assert_eq!(rate(&[first, second]), Some(Rating::General));
        assert_eq!(rate(&[]), None);
    }

    #[test]
    fn a_threshold_of_nought_still_wants_some_confidence() {
        let labels = [scored(1, 0.0), scored(2, 0.01)];
        let mut model = said(&labels);
        model.thresholds = Thresholds([0; 6]);
        assert_eq!(effective(&[model], character_from_ten).tags, [2]);
    }
}
