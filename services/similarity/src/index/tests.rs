//! The index against a naive model that compares with everything.

use std::collections::BTreeMap;

use half::f16;
use proptest::prelude::*;
use renderer::PerceptualHash;
use roaring::RoaringBitmap;

use super::{Entry, Index, Model, PostId, Refused, Search, Subject, TagScores, pool};
use crate::{
    blend::{Channel, Hit, Weights, rank},
    colours::Colours,
    snapshot::Position,
};

const DIMENSIONS: usize = 3;

/// What the model knows of a post.
#[derive(Clone, Debug)]
struct Picture {
    vector: Option<Vec<u8>>,
    hash: Option<PerceptualHash>,
    colours: Option<Colours>,
}

#[derive(Clone, Debug)]
enum Step {
    Put(PostId, Picture),
    Remove(PostId),
    Reload,
    Switch,
    Ask {
        post: PostId,
        weights: [u8; 4],
        within: Option<Vec<PostId>>,
        k: usize,
        min_score: f32,
    },
}

fn halves(values: &[f32]) -> Vec<u8> {
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    let unit = values.iter().map(|value| f16::from_f32(value / length));
    unit.flat_map(f16::to_le_bytes).collect()
}

fn model() -> Option<Model> {
    Some(Model {
        revision: [9; 32],
        dimensions: DIMENSIONS,
    })
}

fn picture() -> impl Strategy<Value = Picture> {
    let vector = prop::collection::vec(-4_i8..5, DIMENSIONS)
        .prop_filter("it has a direction", |values| {
            values.iter().any(|v| *v != 0)
        })
        .prop_map(|values| halves(&values.iter().map(|v| f32::from(*v)).collect::<Vec<_>>()));
    let hash = (
        prop::collection::vec(0_usize..256, 0..12),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(flips, blank)| {
            let mut bits = [0x33; 32];
            for bit in flips {
                bits[bit / 8] ^= 1 << (bit % 8);
            }
            let detail = if blank { 10 } else { 1000 };
            PerceptualHash { bits, detail }
        });
    let colours = (0_u32..83 * 19).prop_map(|seed| {
        let digits = ["0", "9", "A", "Z", "a", "f"];
        let digit = |place: u32| digits[(seed >> place) as usize % digits.len()];
        let text = format!("L{}0{}0{}{}", digit(0), digit(2), digit(4), "fQ".repeat(11));
        Colours::parse(&text).expect("the text is one")
    });
    (
        prop::option::of(vector),
        prop::option::of(hash),
        prop::option::of(colours),
    )
        .prop_map(|(vector, hash, colours)| Picture {
            vector,
            hash,
            colours,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let post = 1_u32..30;
    let ask = (
        post.clone(),
        [0_u8..3, 0..3, 0..3, 0..3],
        prop::option::of(prop::collection::vec(post.clone(), 0..20)),
        1_usize..12,
        prop::sample::select(vec![0.0_f32, 0.5, 0.9, 0.95, 1.0]),
    );
    prop_oneof![
        8 => (post.clone(), picture()).prop_map(|(post, picture)| Step::Put(post, picture)),
        2 => post.clone().prop_map(Step::Remove),
        2 => Just(Step::Reload),
        1 => Just(Step::Switch),
        3 => ask.prop_map(|(post, weights, within, k, min_score)| Step::Ask {
            post, weights, within, k, min_score,
        }),
    ]
}

/// Shares of tags, made up from the numbers.
fn tag_score(subject: PostId, post: PostId) -> f32 {
    ((subject * 7 + post * 3) % 11) as f32 / 10.0
}

/// All posts scored on all channels.
fn naive(
    posts: &BTreeMap<PostId, Picture>,
    subject: PostId,
    search: &Search<'_>,
    tags: bool,
) -> Vec<Hit> {
    let numbers = |bytes: &[u8]| -> Vec<f64> {
        let halves = bytes.as_chunks::<2>().0.iter();
        halves
            .map(|half| f16::from_le_bytes(*half).to_f64())
            .collect()
    };
    let asked = &posts[&subject];
    let used = |channel| search.weights.of(channel) > 0.0;
    let allowed = |post| post != subject && search.within.is_none_or(|set| set.contains(post));
    let scored = posts
        .iter()
        .filter(|(post, _)| allowed(**post))
        .map(|(post, picture)| {
            let cosine = asked
                .vector
                .as_ref()
                .zip(picture.vector.as_ref())
                .map(|(a, b)| {
                    let (a, b) = (numbers(a), numbers(b));
                    let length = a.iter().map(|v| v * v).sum::<f64>().sqrt();
                    let dot: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
                    (dot / length).clamp(0.0, 1.0) as f32
                });
            let detailed = |hash: &PerceptualHash| !hash.is_near_blank();
            let bits = asked
                .hash
                .filter(detailed)
                .zip(picture.hash.filter(detailed));
            let bits = bits.map(|(a, b)| 1.0 - a.distance(&b) as f32 / 128.0);
            let cells = asked.colours.zip(picture.colours);
            let cells = cells.map(|(a, b)| (1.0 - a.difference(&b) as f32 / 2304.0).max(0.0));
            let scores = [
                cosine.filter(|_| used(Channel::Embedding)),
                bits.filter(|_| used(Channel::PerceptualHash)),
                cells.filter(|_| used(Channel::Colour)),
                Some(tag_score(subject, *post)).filter(|_| tags && used(Channel::Tags)),
            ];
            (*post, scores)
        });
    rank(&search.weights, scored, search.k, search.min_score)
}

/// Equal but for rounding, which may also swap neighbours of nearly the same score.
fn same(found: &[Hit], expected: &[Hit]) -> bool {
    let near = |a: f32, b: f32| (a - b).abs() < 2e-6;
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(a, b)| near(a.score, b.score))
        && found.iter().all(|hit| {
            let twin = expected.iter().find(|other| other.post == hit.post);
            let last = expected.last().map_or(0.0, |last| last.score);
            twin.map_or(near(hit.score, last), |twin| {
                twin.scores
                    .iter()
                    .zip(hit.scores)
                    .all(|(a, b)| match (a, b) {
                        (Some(a), Some(b)) => near(*a, b),
                        (a, b) => a.is_none() && b.is_none(),
                    })
            })
        })
}

/// Asks as a caller does: candidates, then tags, then the blend.
fn answer(index: &Index, subject: &Subject, search: &Search<'_>, tags: bool) -> Vec<Hit> {
    let candidates = index.candidates(subject, search);
    let number = subject.post.unwrap_or(0);
    let scores = tags.then(|| {
        let mut best: Vec<(PostId, f32)> = index
            .iter()
            .chain([4_000_000])
            .map(|post| (post, tag_score(number, post)))
            .collect();
        best.sort_by(|a, b| b.1.total_cmp(&a.1));
        let also = candidates.posts.iter().map(|post| tag_score(number, *post));
        TagScores {
            best,
            also: also.collect(),
        }
    });
    index.blend(subject, search, &candidates, scores.as_ref())
}

fn put(index: &mut Index, post: PostId, picture: &Picture) -> Result<(), Refused> {
    index.put(
        post,
        &Entry {
            vector: picture.vector.as_deref(),
            hash: picture.hash,
            colours: picture.colours,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_history_answers_as_comparing_with_everything(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let path = folder.path().join("snapshot.bin");
        let mut index = Index::new(model());
        let mut posts: BTreeMap<PostId, Picture> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(post, picture) => {
                    let frozen = index.clone();
                    prop_assert_eq!(put(&mut index, post, &picture), Ok(()));
                    prop_assert!(frozen.iter().eq(posts.keys().copied()));
                    posts.insert(post, picture);
                }
                Step::Remove(post) => {
                    prop_assert_eq!(index.remove(post), posts.remove(&post).is_some());
                }
                Step::Reload => {
                    index.save(&path, Position::default()).expect("the disk has room");
                    index = Index::load(&path).expect("it is whole").0;
                }
                Step::Switch => {
                    index = index.switched(model());
                    posts.values_mut().for_each(|picture| picture.vector = None);
                }
                Step::Ask { post, weights, within, k, min_score } => {
                    let Some(subject) = index.subject(post) else {
                        prop_assert!(!posts.contains_key(&post));
                        continue;
                    };
                    let Some(weights) = Weights::new(weights.map(f32::from)) else {
                        continue;
                    };
                    let within = within.map(|set| set.into_iter().collect::<RoaringBitmap>());
                    let search = Search { weights, within: within.as_ref(), k, min_score };
                    for tags in [false, true] {
                        // Without a channel that all have, some posts have nothing to go by.
                        let found = answer(&index, &subject, &search, tags);
                        let expected = naive(&posts, post, &search, tags);
                        prop_assert!(same(&found, &expected), "{found:?}\n{expected:?}");
                    }
                }
            }
            let vectors = posts.values().filter(|picture| picture.vector.is_some());
            prop_assert_eq!(index.vectors(), vectors.count() as u64);
            prop_assert!(index.iter().eq(posts.keys().copied()));
        }
    }
}

/// Numbers that look random and are the same every time.
fn scattered(post: u32, dimensions: usize) -> Vec<f32> {
    let mut state = u64::from(post) << 20 | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    // Never negative, as the features of many models.
    (0..dimensions).map(|_| next() + next()).collect()
}

/// Posts in families of twenty that are alike, more than are compared one by one.
fn families(posts: u32) -> Index {
    let mut index = Index::new(Some(Model {
        revision: [9; 32],
        dimensions: 64,
    }));
    for post in 1..=posts {
        let family = scattered(1_000_000 + post / 20, 64);
        let own = scattered(post, 64);
        let values: Vec<f32> = family.iter().zip(own).map(|(f, o)| f + 0.1 * o).collect();
        let entry = Entry {
            vector: Some(&halves(&values)),
            ..Entry::default()
        };
        index.put(post, &entry).expect("it is fit");
    }
    index
}

#[test]
fn among_many_the_nearest_are_found_by_codes() {
    let mut index = families(20_000);
    let embedding = Weights::new([1.0, 0.0, 0.0, 0.0]).expect("they are fit");
    let even: RoaringBitmap = (1..=20_000).step_by(2).collect();
    let few: RoaringBitmap = (1..=20_000).step_by(9).collect();
    for within in [None, Some(&even), Some(&few)] {
        let search = Search {
            weights: embedding,
            within,
            k: 5,
            min_score: 0.0,
        };
        for post in (7..20_000).step_by(1999) {
            let subject = index.subject(post).expect("it is there");
            let candidates = index.candidates(&subject, &search);
            assert_eq!(candidates.posts.len(), pool(5));
            let allowed = |post: u32| within.is_none_or(|set| set.contains(post));
            assert!(candidates.posts.iter().all(|post| allowed(*post)));
            // In millionths, by which ties are told.
            let mut exact: Vec<(u32, PostId)> = index
                .iter()
                .filter(|other| *other != post && allowed(*other))
                .filter_map(|other| Some((index.cosine(other, post)?, other)))
                .map(|(cosine, other)| {
                    (
                        (f64::from(cosine.clamp(0.0, 1.0)) * 1e6).round() as u32,
                        other,
                    )
                })
                .collect();
            exact.sort_by_key(|(score, post)| (u32::MAX - score, *post));
            let best: Vec<PostId> = exact.iter().take(5).map(|(_, post)| *post).collect();
            let found = index.blend(&subject, &search, &candidates, None);
            let found: Vec<PostId> = found.iter().map(|hit| hit.post).collect();
            assert_eq!(found, best, "like {post}");
        }
    }
    // A family that is gone is not found any more.
    for post in 100..120 {
        assert!(index.remove(post));
    }
    assert_eq!(index.subject(100), None);
}

#[test]
fn a_filter_of_as_many_as_are_compared_is_answered_exactly() {
    let index = families(9_000);
    let within: RoaringBitmap = (1..=8_192).step_by(2).collect();
    assert_eq!(within.len(), 4_096);
    let search = Search {
        weights: Weights::new([1.0, 0.0, 0.0, 0.0]).expect("they are fit"),
        within: Some(&within),
        k: 5,
        min_score: 0.0,
    };
    let subject = index.subject(8_991).expect("it is there");
    let mut exact: Vec<(f32, PostId)> = within
        .iter()
        .filter_map(|post| Some((index.cosine(post, 8_991)?, post)))
        .collect();
    exact.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut best: Vec<PostId> = exact.iter().take(pool(5)).map(|(_, post)| *post).collect();
    best.sort_unstable();
    assert_eq!(index.candidates(&subject, &search).posts, best);
}

#[test]
fn what_cannot_be_taken_changes_nothing() {
    let mut index = Index::new(model());
    let good = halves(&[1.0, 2.0, 3.0]);
    let entry = |vector| Entry {
        vector: Some(vector),
        ..Entry::default()
    };
    index.put(4, &entry(&good)).expect("it is fit");
    let before = index.subject(4);
    let nan = [&good[..4], &[0, 0x7e]].concat();
    let long: Vec<u8> = [1.0_f32; 3]
        .iter()
        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
        .collect();
    let twice = [good.clone(), good.clone()].concat();
    for bad in [&good[..4], &twice, &nan, &long, &[0; 6]] {
        assert!(index.put(4, &entry(bad)).is_err(), "{bad:?}");
        assert!(index.put(5, &entry(bad)).is_err(), "{bad:?}");
    }
    assert_eq!(index.put(0, &entry(&good)), Err(Refused::Post));
    assert_eq!((index.subject(4), index.posts()), (before, 1));
    assert!(index.put(5, &entry(&[])).is_ok(), "empty is none");
    let none = Index::new(None).put(1, &entry(&good));
    assert!(matches!(none, Err(Refused::Size { dimensions: 0, .. })));
}

#[test]
fn outside_vectors_are_made_one_long_or_refused() {
    let index = Index::new(model());
    assert_eq!(index.unit(&[0.0, 3.0, 4.0]), Ok(vec![0.0, 0.6, 0.8]));
    assert_eq!(index.unit(&[0.0; 3]), Err(Refused::Zero));
    assert_eq!(index.unit(&[f32::NAN, 1.0, 1.0]), Err(Refused::NotFinite));
    assert!(matches!(index.unit(&[1.0; 4]), Err(Refused::Size { .. })));
    assert!(matches!(index.unit(&[]), Err(Refused::Size { .. })));
    assert!(index.unit_f16(&halves(&[1.0, 1.0, 0.0])).is_ok());
    assert!(index.unit_f16(&[0; 5]).is_err());
}

#[test]
fn no_cosine_is_above_one_though_lengths_are_only_nearly_one() {
    let mut index = Index::new(Some(Model {
        revision: [1; 32],
        dimensions: 2,
    }));
    let long: Vec<u8> = [0.713_f32; 2]
        .iter()
        .flat_map(|value| half::f16::from_f32(*value).to_le_bytes())
        .collect();
    for post in [1, 2] {
        let entry = Entry {
            vector: Some(&long),
            ..Entry::default()
        };
        index.put(post, &entry).expect("is taken");
    }
    assert_eq!(index.cosine(1, 1), Some(1.0));
    assert_eq!(index.cosine(1, 2), Some(1.0));
}
