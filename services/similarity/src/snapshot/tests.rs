//! Snapshots that were damaged in every way.

use std::{fs, path::Path, sync::OnceLock};

use half::f16;
use proptest::prelude::*;
use renderer::PerceptualHash;

use super::{Error, FORMAT, Position, Section, header::Header};
use crate::{
    colours::Colours,
    column::ROWS,
    index::{Entry, Index, Model, Search},
};

const POSITION: Position = Position { epoch: 7, seq: 99 };

fn entry_of(post: u32, dimensions: usize) -> (Vec<u8>, PerceptualHash) {
    let values: Vec<f32> = (0..dimensions)
        .map(|at| ((post as usize * 31 + at * 17) % 23) as f32 - 11.0)
        .collect();
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt().max(1.0);
    let vector = values
        .iter()
        .flat_map(|value| f16::from_f32(value / length).to_le_bytes())
        .collect();
    let mut bits = [post as u8; 32];
    bits[..4].copy_from_slice(&post.wrapping_mul(0x9e37_79b1).to_le_bytes());
    let detail = if post.is_multiple_of(9) { 100 } else { 900 };
    (vector, PerceptualHash { bits, detail })
}

/// With free rows, posts without vectors, and nearly blank ones.
fn filled(posts: u32) -> Index {
    let mut index = Index::new(Some(Model {
        revision: [3; 32],
        dimensions: 70,
    }));
    for post in 1..=posts {
        let (vector, hash) = entry_of(post, 70);
        let entry = Entry {
            vector: (post % 5 != 0).then_some(&vector),
            hash: (post % 7 != 0).then_some(hash),
            colours: Colours::parse("L~TI:j|^j[fQ|^j[fQj[|^j[fQj["),
        };
        index.put(post, &entry).expect("it is fit");
    }
    for post in (1..=posts).step_by(11) {
        index.remove(post);
    }
    index
}

fn saved(index: &Index, path: &Path) -> Vec<u8> {
    let bytes = index.save(path, POSITION).expect("the disk has room");
    let read = fs::read(path).expect("it was written");
    assert_eq!(bytes, read.len() as u64);
    read
}

/// The snapshot of forty posts, written once.
fn small() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        saved(&filled(40), &folder.path().join("snapshot.bin"))
    })
}

fn load(path: &Path, bytes: &[u8]) -> Result<(Index, Position), Error> {
    fs::write(path, bytes).expect("the disk has room");
    Index::load(path)
}

fn answers(index: &Index) -> Vec<crate::blend::Hit> {
    let search = Search {
        weights: crate::blend::Weights::default(),
        within: None,
        k: 50,
        min_score: 0.0,
    };
    let posts: Vec<u32> = index.iter().step_by(97).take(12).collect();
    posts
        .into_iter()
        .filter_map(|post| index.subject(post))
        .flat_map(|subject| {
            let candidates = index.candidates(&subject, &search);
            index.blend(&subject, &search, &candidates, None)
        })
        .collect()
}

#[test]
fn what_was_saved_is_loaded() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join("snapshot.bin");
    for posts in [0, 1, 1500, 6000] {
        let index = filled(posts);
        saved(&index, &path);
        let (mut loaded, position) = Index::load(&path).expect("it is whole");
        assert_eq!(position, POSITION);
        assert_eq!(loaded.model(), index.model());
        assert_eq!(
            (loaded.posts(), loaded.vectors()),
            (index.posts(), index.vectors())
        );
        assert!(loaded.iter().eq(index.iter()));
        assert_eq!(answers(&loaded), answers(&index));
        // Free rows are used again.
        let before = loaded.memory();
        let (vector, _) = entry_of(70_000, 70);
        let entry = Entry {
            vector: Some(&vector),
            ..Entry::default()
        };
        loaded.put(2, &entry).expect("it is fit");
        if posts > 0 {
            assert_eq!(loaded.memory()[0], before[0]);
        }
        let left = fs::read_dir(folder.path()).expect("it is there").count();
        assert_eq!(left, 1, "nothing else is left behind");
    }
}

#[test]
fn an_index_without_a_model_is_kept_too() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join("snapshot.bin");
    let mut index = Index::new(None);
    let (_, hash) = entry_of(5, 1);
    let entry = Entry {
        hash: Some(hash),
        ..Entry::default()
    };
    index.put(5, &entry).expect("it is fit");
    saved(&index, &path);
    let (loaded, _) = Index::load(&path).expect("it is whole");
    assert_eq!(loaded.subject(5), index.subject(5));
    assert_eq!(loaded.model(), None);
}

#[test]
fn reasons_say_what_is_wrong() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join("snapshot.bin");
    let reason =
        |result: Result<(Index, Position), Error>| result.expect_err("it is not whole").reason();
    assert_eq!(reason(Index::load(&path)), "ABSENT");
    assert_eq!(reason(Index::load(folder.path())), "DAMAGED");
    assert_eq!(reason(load(&path, b"")), "DAMAGED");
    let mut bytes = saved(&filled(3), &path);
    bytes.push(0);
    assert_eq!(reason(load(&path, &bytes)), "DAMAGED");
    bytes.pop();
    bytes[8..12].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    assert_eq!(reason(load(&path, &bytes)), "STALE");
    let nowhere = folder.path().join("no/where.bin");
    let error = filled(1).save(&nowhere, POSITION).expect_err("no folder");
    assert_eq!(error.reason(), "UNREADABLE");
}

/// Makes all checksums right again.
fn reseal(bytes: &mut [u8], index: &Index) {
    let seal = |bytes: &mut [u8], from: usize, to: usize| {
        let sum = crc32fast::hash(&bytes[from..to]);
        bytes[to..to + 4].copy_from_slice(&sum.to_le_bytes());
    };
    seal(bytes, 0, Header::BYTES - 4);
    let mut from = Header::BYTES;
    for (_, column) in index.columns() {
        let to = from + 4 + column.len() * column.width() * ROWS;
        seal(bytes, from, to);
        from = to + 4;
    }
    let to = bytes.len() - 4;
    seal(bytes, from, to);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed(
        at in any::<prop::sample::Index>(),
        header in 0_usize..Header::BYTES,
        bit in 0_u8..8,
        cut in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let path = folder.path().join("snapshot.bin");
        let bytes = small().to_vec();
        for at in [at.index(bytes.len()), header] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            prop_assert!(load(&path, &flipped).is_err(), "byte {at}");
        }
        prop_assert!(load(&path, &bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn lies_with_right_checksums_neither_panic_nor_reserve_absurdly(
        lies in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        header in prop::collection::vec((8_usize..Header::BYTES, any::<u8>()), 0..3),
        kinds in prop::collection::vec((0_usize..ROWS, any::<u8>()), 0..3),
    ) {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let path = folder.path().join("snapshot.bin");
        let index = filled(40);
        let mut bytes = small().to_vec();
        for (at, value) in lies {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for (at, value) in header {
            bytes[at] = value;
        }
        let rows = Header::BYTES + 8 + 4 * ROWS + 4;
        for (at, value) in kinds {
            bytes[rows + at] = value;
        }
        reseal(&mut bytes, &index);
        if let Ok((loaded, _)) = load(&path, &bytes) {
            let _ = answers(&loaded);
            let _ = loaded.duplicates(&crate::duplicates::Options::default(), &|| false);
            prop_assert_eq!(loaded.iter().count() as u64, loaded.posts());
        }
    }
}

#[test]
fn a_resealed_snapshot_is_taken_so_that_the_lies_above_are_lies() {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let path = folder.path().join("snapshot.bin");
    let index = filled(40);
    let mut bytes = saved(&index, &path);
    let whole = bytes.clone();
    reseal(&mut bytes, &index);
    assert_eq!(bytes, whole);
    // The same post twice.
    let posts = Header::BYTES + 4;
    bytes.copy_within(posts + 8..posts + 12, posts + 12);
    reseal(&mut bytes, &index);
    assert!(matches!(load(&path, &bytes), Err(Error::Damaged(_))));
    assert_eq!(Section::Posts as u32, 1);
}
