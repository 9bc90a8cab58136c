//! Tags: their names, how common they are, and which a post has.

use std::collections::BTreeSet;

use kumo_store_core::Category;
use kumo_store_core::model::{Label, LabelCategory};
use kumo_store_core::prediction::TagResult;

use crate::random::Random;
use crate::scale::Scale;

/// Labels of a result besides those that become tags.
const FAINT: usize = 20;
/// Flattens the top of the distribution: the most common tag is on about two posts in three.
const HEAD: f64 = 5.0;
const RATINGS: [&str; 4] = ["general", "sensitive", "questionable", "explicit"];

/// All labels of the tagger: every tag, then the ratings.
pub(crate) fn labels(scale: &Scale) -> Vec<Label> {
    let tag = |number| Label {
        name: name(number),
        category: LabelCategory::Tag(category(number)),
    };
    let rating = |name: &str| Label {
        name: name.to_owned(),
        category: LabelCategory::Rating,
    };
    (0..scale.tags)
        .map(tag)
        .chain(RATINGS.map(rating))
        .collect()
}

/// Four syllables, which name a number below 2,560,000.
pub(crate) fn name(number: u32) -> String {
    const FIRST: &[u8; 8] = b"kstnhmrb";
    const SECOND: &[u8; 5] = b"aiueo";
    let mut rest = number as usize;
    let mut name = String::new();
    for _ in 0..4 {
        name.push(FIRST[rest % 8] as char);
        name.push(SECOND[rest / 8 % 5] as char);
        rest /= 40;
    }
    match category(number) {
        Category::Character => name + "_(of_somewhere)",
        Category::General | Category::Copyright | Category::Artist => name,
        Category::Species | Category::Meta => name + "_kind",
    }
}

/// Seven in ten are general, as on boorus.
pub(crate) fn category(number: u32) -> Category {
    match Random::new(1, u64::from(number)).below(100) {
        0..70 => Category::General,
        70..83 => Category::Character,
        83..89 => Category::Copyright,
        89..96 => Category::Artist,
        96..97 => Category::Species,
        _ => Category::Meta,
    }
}

/// The tags of post `number` from 0, by their numbers; every tag is on some post.
pub(crate) fn of_post(scale: &Scale, number: u32) -> BTreeSet<u32> {
    let end = |number: u32| u64::from(scale.tags) * u64::from(number) / u64::from(scale.posts);
    let mut tags: BTreeSet<u32> = (end(number)..end(number + 1))
        .map(|tag| tag as u32)
        .collect();
    let wanted = scale.part(scale.associations, number, true) as usize;
    let mut random = Random::new(2, u64::from(number));
    while tags.len() < wanted {
        tags.insert(common(scale, &mut random));
    }
    tags
}

/// What the tagger says of post `number`: its tags, others too faintly, and a rating.
pub(crate) fn result(scale: &Scale, number: u32) -> TagResult {
    let tags = of_post(scale, number);
    let mut random = Random::new(3, u64::from(number));
    let mut labels: Vec<u32> = tags.iter().copied().collect();
    let mut confidences = vec![0.9; labels.len()];
    let mut faint = BTreeSet::new();
    while faint.len() < FAINT {
        let tag = common(scale, &mut random);
        if !tags.contains(&tag) {
            faint.insert(tag);
        }
    }
    labels.extend(faint);
    confidences.resize(labels.len(), 0.2);
    labels.push(scale.tags + random.below(4) as u32);
    confidences.push(0.8);
    TagResult {
        labels,
        confidences,
        render_revision: 1,
    }
}

/// Zipf: about as likely as 1 in its number.
fn common(scale: &Scale, random: &mut Random) -> u32 {
    let all = f64::from(scale.tags);
    let tag = HEAD * ((all + HEAD) / HEAD).powf(random.unit()) - HEAD;
    (tag as u32).min(scale.tags - 1)
}
