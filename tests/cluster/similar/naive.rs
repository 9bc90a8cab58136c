//! What the answer must be: every post compared with the subject on every channel, in the plainest
//! way, from what the store says. Nothing of the service's code is used.

use std::collections::BTreeMap;

use proto::similarity::v1::SimilarPosts;
use proto::store::v1::Post;

use super::library::{TAGS, model_name};
use super::look::{DIMENSIONS, Look};

/// Scores may differ by rounding.
const SLACK: f64 = 3e-6;

/// A post as the store tells it.
pub(super) struct Known {
    pub(super) number: u32,
    pub(super) tags: Vec<usize>,
    vector: Option<Vec<f64>>,
    look: Look,
}

/// What is compared with.
pub(super) struct Subject<'a> {
    pub(super) post: Option<&'a Known>,
    pub(super) vector: Option<Vec<f64>>,
}

/// All posts in one moment.
pub(super) struct Scan {
    /// Those outside the trash.
    pub(super) posts: Vec<Known>,
    /// Those in it; they count only where the store counts how frequent a tag is.
    trashed: Vec<Known>,
}

/// Scores by channel: embedding, perceptual hash, colour, tags.
type Scores = [Option<f64>; 4];

impl Scan {
    pub(super) fn new(posts: Vec<(Post, Look)>, model: Option<usize>) -> Self {
        let known = |(post, look): (Post, Look)| {
            let embedded = |model: &usize| post.embedding_models.contains(&model_name(*model));
            let vector = model.filter(embedded).map(|model| {
                let halves = look.vectors[model].iter();
                let values: Vec<f64> = halves.map(|half| half.to_f64()).collect();
                assert_eq!(values.len(), DIMENSIONS[model]);
                values
            });
            let tag = |name: &str| TAGS.iter().position(|(known, _, _)| *known == name);
            Known {
                number: kit::id::parse("posts/", &post.name).expect("is a name"),
                tags: post.tags.iter().filter_map(|own| tag(&own.name)).collect(),
                vector,
                look,
            }
        };
        let is_trashed = |(post, _): &(Post, Look)| post.trash_time.is_some();
        let (trashed, posts): (Vec<_>, Vec<_>) = posts.into_iter().partition(is_trashed);
        Self {
            posts: posts.into_iter().map(known).collect(),
            trashed: trashed.into_iter().map(known).collect(),
        }
    }

    pub(super) fn vectors(&self) -> usize {
        let embedded = self.posts.iter().filter(|post| post.vector.is_some());
        embedded.count()
    }

    pub(super) fn like<'a>(&self, post: &'a Known) -> Subject<'a> {
        Subject {
            post: Some(post),
            vector: post.vector.clone(),
        }
    }

    fn tag_weight(&self, tag: usize) -> f64 {
        let all = self.posts.iter().chain(&self.trashed);
        let with = all.filter(|post| post.tags.contains(&tag));
        let rare = self.posts.len() as f64 / with.count().max(1) as f64;
        TAGS[tag].2 * rare.ln_1p()
    }

    fn scores(&self, subject: &Subject<'_>, other: &Known, weights: [f64; 4]) -> Scores {
        let look = subject.post.map(|post| &post.look);
        let cosine = subject.vector.as_ref().zip(other.vector.as_ref());
        let cosine = cosine.map(|(a, b)| {
            // Halves make vectors of not quite length 1: the subject's is made so again.
            let length = a.iter().map(|value| value * value).sum::<f64>().sqrt();
            let dot = a.iter().zip(b).map(|(a, b)| a / length * b).sum::<f64>();
            dot.clamp(0.0, 1.0)
        });
        let blank = |look: &Look| look.detail.is_some_and(|detail| detail < 200);
        let hash = look
            .filter(|own| !blank(own) && !blank(&other.look))
            .map(|own| {
                let bits = own.hash.iter().zip(other.look.hash);
                let differ: u32 = bits.map(|(a, b)| (a ^ b).count_ones()).sum();
                (1.0 - f64::from(differ) / 128.0).max(0.0)
            });
        let colours = look.and_then(|own| own.colour.zip(other.look.colour));
        let colour = colours.map(|(a, b)| {
            let differ: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b))).sum();
            (1.0 - f64::from(12 * differ) / f64::from(36 * 64)).max(0.0)
        });
        let own = subject.post.map_or(&[][..], |post| &post.tags);
        let sum = |tags: &mut dyn Iterator<Item = usize>| -> f64 {
            tags.map(|tag| self.tag_weight(tag)).sum()
        };
        let all = sum(&mut own.iter().copied());
        let shared = sum(&mut own.iter().copied().filter(|tag| other.tags.contains(tag)));
        let tags = (!own.is_empty()).then(|| shared / all);
        let mut scores = [cosine, hash, colour, tags];
        for (score, weight) in scores.iter_mut().zip(weights) {
            *score = score.filter(|_| weight > 0.0);
        }
        scores
    }

    /// The score of every post that has anything in common with the subject.
    pub(super) fn like_all(
        &self,
        subject: &Subject<'_>,
        weights: [f64; 4],
        allowed: impl Fn(&Known) -> bool,
    ) -> BTreeMap<u32, (f64, Scores)> {
        let own = subject.post.map(|post| post.number);
        let others = self.posts.iter();
        let others = others.filter(|post| Some(post.number) != own && allowed(post));
        let scored = others.filter_map(|other| {
            let scores = self.scores(subject, other, weights);
            // No channel but the tags, and none of those: nothing makes it a candidate.
            let found = scores[..3].iter().any(Option::is_some) || scores[3] > Some(0.0);
            let (mut sum, mut weight) = (0.0, 0.0);
            for (score, counts) in scores.iter().zip(weights) {
                if let Some(score) = score {
                    sum += score * counts;
                    weight += counts;
                }
            }
            (found && weight > 0.0).then(|| (other.number, (sum / weight, scores)))
        });
        scored.collect()
    }
}

/// Says how an answer differs from what must be there; `k` posts were asked for.
pub(super) fn compare(
    found: &SimilarPosts,
    expected: &BTreeMap<u32, (f64, Scores)>,
    k: usize,
) -> Result<(), String> {
    let mut best: Vec<f64> = expected.values().map(|(score, _)| *score).collect();
    best.sort_by(|a, b| b.total_cmp(a));
    best.truncate(k);
    if found.posts.len() != best.len() {
        let got: Vec<&str> = found.posts.iter().map(|post| post.post.as_str()).collect();
        let lacks: Vec<u32> = expected
            .keys()
            .copied()
            .filter(|number| !got.contains(&format!("posts/{number}").as_str()))
            .collect();
        return Err(format!(
            "{} posts instead of {}; lacks {lacks:?}",
            got.len(),
            best.len()
        ));
    }
    let mut last: Option<(f32, usize, u32)> = None;
    for (place, (post, best)) in found.posts.iter().zip(best).enumerate() {
        let number: u32 = kit::id::parse("posts/", &post.post).map_err(|e| e.to_string())?;
        let Some((score, scores)) = expected.get(&number) else {
            return Err(format!("posts/{number} is not to be found"));
        };
        let mut got: Scores = [None; 4];
        for one in &post.scores {
            let channel = usize::try_from(one.channel - 1).map_err(|e| e.to_string())?;
            got[channel] = Some(f64::from(one.score));
        }
        for (channel, (got, wanted)) in got.iter().zip(scores).enumerate() {
            let same = match (got, wanted) {
                (None, None) => true,
                (Some(got), Some(wanted)) => (got - wanted).abs() <= SLACK,
                _ => false,
            };
            if !same {
                return Err(format!(
                    "posts/{number}, channel {channel}: {got:?} instead of {wanted:?}"
                ));
            }
        }
        if (f64::from(post.score) - score).abs() > SLACK || (score - best).abs() > SLACK {
            return Err(format!(
                "place {place}: posts/{number} scores {} instead of {score}; {best} belongs there",
                post.score
            ));
        }
        let key = (post.score, post.scores.len(), number);
        if let Some((before, channels, lower)) = last {
            let ordered = before > key.0
                || (before == key.0 && (channels, u32::MAX - lower) > (key.1, u32::MAX - number));
            if !ordered {
                return Err(format!("posts/{lower} and posts/{number} are out of order"));
            }
        }
        last = Some(key);
    }
    Ok(())
}
