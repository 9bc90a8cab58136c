//! Groups against a naive model.

use half::f16;
use proptest::prelude::*;
use renderer::PerceptualHash;

use super::{Duplicates, Group, Options};
use crate::index::{Entry, Index, Model, PostId};

/// A picture: which drawing, bits flipped, whether nearly blank, and the angle of its vector.
type Picture = (usize, Vec<usize>, bool, Option<u16>);

fn hash(picture: &Picture) -> PerceptualHash {
    let mut bits = [[0x5a; 32], [0x0f; 32], [0x5a; 32]][picture.0];
    if picture.0 == 2 {
        // Close to the first drawing: between them there are chains.
        bits[..2].fill(0xff);
    }
    for bit in &picture.1 {
        bits[bit / 8] ^= 1 << (bit % 8);
    }
    PerceptualHash {
        bits,
        detail: if picture.2 { 199 } else { 200 },
    }
}

fn vector(degrees: u16) -> Vec<u8> {
    let angle = f32::from(degrees).to_radians();
    [angle.cos(), angle.sin()]
        .iter()
        .flat_map(|value| f16::from_f32(*value).to_le_bytes())
        .collect()
}

fn filled(pictures: &[(PostId, Picture)]) -> Index {
    let mut index = Index::new(Some(Model {
        revision: [1; 32],
        dimensions: 2,
    }));
    for (post, picture) in pictures {
        let vector = picture.3.map(vector);
        let entry = Entry {
            vector: vector.as_deref(),
            hash: Some(hash(picture)),
            colours: None,
        };
        index.put(*post, &entry).expect("it is fit");
    }
    index
}

/// Stars by comparing all with all.
fn naive(pictures: &[(PostId, Picture)], options: &Options) -> Duplicates {
    let mut sorted = pictures.to_vec();
    sorted.sort_by_key(|(post, _)| *post);
    let near_blank = sorted.iter().filter(|(_, picture)| picture.2);
    let near_blank = near_blank.map(|(post, _)| *post).collect();
    sorted.retain(|(_, picture)| !picture.2);
    let pair = |a: &Picture, b: &Picture| {
        let alike = match (a.3, b.3) {
            (Some(a), Some(b)) => {
                let degrees = f32::from(a.abs_diff(b));
                degrees.to_radians().cos() >= options.min_cosine
            }
            (_, None) | (None, _) => true,
        };
        alike && hash(a).distance(&hash(b)) <= options.max_distance
    };
    let mut groups = Vec::new();
    while !sorted.is_empty() {
        let leader = sorted.remove(0);
        let mut posts = vec![leader.0];
        sorted.retain(|(post, picture)| {
            let joins = pair(&leader.1, picture);
            if joins {
                posts.push(*post);
            }
            !joins
        });
        if posts.len() > 1 {
            groups.push(Group { posts });
        }
    }
    Duplicates { groups, near_blank }
}

fn picture() -> impl Strategy<Value = Picture> {
    (
        0_usize..3,
        prop::collection::vec(0_usize..256, 0..8),
        prop::bool::weighted(0.1),
        // Steps of 7 degrees keep cosines away from the limits that are asked for.
        prop::option::of((0_u16..10).prop_map(|step| 7 * step)),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn groups_are_those_of_comparing_all_with_all(
        pictures in prop::collection::btree_map(1_u32..500, picture(), 0..60),
        max_distance in 0_u32..33,
        min_cosine in prop::sample::select(vec![0.0_f32, 0.8, 0.95]),
    ) {
        let pictures: Vec<(PostId, Picture)> = pictures.into_iter().collect();
        let options = Options { max_distance, min_cosine };
        let found = filled(&pictures).duplicates(&options, &|| false);
        prop_assert_eq!(found, Some(naive(&pictures, &options)));
    }
}

#[test]
fn a_chain_does_not_swallow_what_only_hangs_on_it() {
    let step = |post: u32| (post, (0, (0..8 * post as usize).collect(), false, None));
    let chain: Vec<(PostId, Picture)> = (1..=20).map(step).collect();
    let index = filled(&chain);
    let found = index
        .duplicates(&Options::default(), &|| false)
        .expect("nobody stops it");
    let pairs: Vec<Vec<u32>> = (0..10).map(|at| vec![2 * at + 1, 2 * at + 2]).collect();
    let groups: Vec<Vec<u32>> = found.groups.into_iter().map(|group| group.posts).collect();
    assert_eq!(groups, pairs);
}

#[test]
fn a_search_that_is_stopped_says_so() {
    let index = filled(&[(1, (0, vec![], false, None)), (2, (0, vec![], false, None))]);
    assert_eq!(index.duplicates(&Options::default(), &|| true), None);
}

#[test]
fn members_are_seen_from_the_keeper() {
    let index = filled(&[
        (1, (0, vec![], false, Some(0))),
        (2, (0, vec![1, 2, 3], false, Some(7))),
        (3, (0, vec![1], false, None)),
        (4, (0, vec![1, 2], false, Some(14))),
    ]);
    let options = Options::default();
    let found = index
        .duplicates(&options, &|| false)
        .expect("nobody stops it");
    assert_eq!(found.groups.len(), 1);
    let members = index.members(&found.groups[0], 2, options.min_cosine);
    let seen: Vec<(u32, u32, bool)> = members
        .iter()
        .map(|member| (member.post, member.distance, member.verified))
        .collect();
    assert_eq!(
        seen,
        [(2, 0, true), (4, 1, true), (3, 2, false), (1, 3, true)]
    );
    assert_eq!(members[2].cosine, None);
    let cosine = members[1].cosine.expect("both have a vector");
    assert!(
        (cosine - 7.0_f32.to_radians().cos()).abs() < 1e-3,
        "{cosine}"
    );
    assert_eq!(index.members(&found.groups[0], 9, 0.9), []);
}
