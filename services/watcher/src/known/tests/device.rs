//! Which disk a file lies on is known nowhere else, and is not forgotten.

use std::collections::BTreeSet;

use super::{hold, open, stamp};
use crate::{
    known::{Known, Record, Row, State},
    place::{Place, RootId, readable},
    stamp::Stamp,
};

fn on(known: &mut Known, root: RootId, dev: u64) -> Vec<String> {
    let files = known.on_device(root, dev).expect("lists");
    files.iter().map(|(path, _)| readable(path)).collect()
}

fn row(known: &mut Known, root: RootId, path: &str) -> Option<Row> {
    let place = Place::new(root, path.as_bytes());
    let compared = known.compare_place(&place, &Stamp::default());
    compared.expect("compares").row
}

fn dev(known: &mut Known, root: RootId, path: &str) -> u64 {
    row(known, root, path).expect("is known").stamp.dev
}

#[test]
fn a_renumbered_device_takes_its_files_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    known.identify(root, (5, 2)).expect("identifies");
    hold(&mut known, root, "a", 7, 1);
    known.identify(root, (6, 2)).expect("identifies");
    let seen = Stamp { dev: 6, ..stamp(7) };
    let row = row(&mut known, root, "a");
    assert_eq!(row.map(|row| row.stamp), Some(seen));
}

#[test]
fn a_number_that_becomes_the_roots_own_was_another_disks() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    known.identify(root, (4, 2)).expect("identifies");
    hold(&mut known, root, "disk/a", 7, 1);
    known.identify(root, (5, 2)).expect("identifies");
    assert_eq!(on(&mut known, root, 5), [""; 0]);
    let row = row(&mut known, root, "disk/a");
    assert!(row.is_some_and(|row| row.stamp.on_another_device(&stamp(7)).is_some()));
}

#[test]
fn a_disk_with_another_number_takes_all_that_lay_on_it_along_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    let other = known.root(b"/others").expect("adds").id;
    for (root, path, dev) in [
        (root, "one/a", 5),
        (root, "one/b", 5),
        (root, "two/c", 6),
        (other, "d", 5),
    ] {
        let place = Place::new(root, path.as_bytes());
        let there = Stamp { dev, ..stamp(7) };
        let record = Record::Held(place, there, [1; 32]);
        known.record(&[record]).expect("records");
    }
    // They change their numbers with one another, and the second disk turns up later.
    assert_eq!(known.displace(root, 6).expect("displaces"), 1);
    known.renumber(root, 5, 6).expect("renumbers");
    assert_eq!(on(&mut known, root, 6), ["one/a", "one/b"]);
    assert_eq!(on(&mut known, other, 5), ["d"]);
    let away = dev(&mut known, root, "two/c");
    assert!(away > u64::from(u32::MAX), "no device has such a number");
    known.renumber(root, away, 5).expect("renumbers");
    assert_eq!(on(&mut known, root, 5), ["two/c"]);
    assert_eq!(on(&mut known, root, 6), ["one/a", "one/b"]);
}

#[test]
fn two_disks_that_are_away_never_have_one_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    for (path, ino) in [("first/a", 7), ("second/b", 8)] {
        hold(&mut known, root, path, ino, 1);
        assert_eq!(known.displace(root, 5).expect("displaces"), 1);
    }
    assert_eq!(known.displace(root, 5).expect("displaces"), 0);
    let first = dev(&mut known, root, "first/a");
    let second = dev(&mut known, root, "second/b");
    assert!(first.min(second) > u64::from(u32::MAX));
    assert_ne!(first, second);
}

#[test]
fn files_to_recognise_a_disk_by_come_from_all_over_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    let other = known.root(b"/others").expect("adds").id;
    let hold_all = |known: &mut Known, root, paths: Vec<String>| {
        let held = paths
            .into_iter()
            .map(|path| Record::Held(Place::new(root, path.into_bytes()), stamp(7), [1; 32]));
        let records: Vec<Record> = held.collect();
        known.record(&records).expect("records");
    };
    // A hundred folders, and one.
    let paths = (0..1000).map(|number| format!("{:02}/{number:03}", number / 10));
    hold_all(&mut known, root, paths.collect());
    let paths = (0..100).map(|number| format!("all/{number:02}"));
    hold_all(&mut known, other, paths.collect());
    let first = Place::new(root, b"00/000".as_slice());
    known.record(&[Record::Missing(first)]).expect("records");

    let found = on(&mut known, root, 5);
    let different: BTreeSet<&String> = found.iter().collect();
    assert_eq!(different.len(), 64);
    assert_eq!(
        found[0], "00/001",
        "what is told to be missing is no witness"
    );
    assert!(found[63].as_str() > "86", "{found:?}");
    assert_eq!(on(&mut known, other, 5).len(), 64);
}

#[test]
fn a_file_that_cannot_be_looked_at_lies_on_the_disk_where_it_was_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    hold(&mut known, root, "disk/a", 7, 1);
    let place = Place::new(root, b"disk/a".as_slice());
    known
        .record(&[Record::Failed(place, Stamp::default())])
        .expect("records");
    assert_eq!(dev(&mut known, root, "disk/a"), 5);
}

#[test]
fn a_file_that_is_not_gone_after_all_lies_on_the_disk_where_it_was_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    let place = Place::new(root, b"disk/a".as_slice());
    known
        .record(&[Record::Failed(place.clone(), stamp(7))])
        .expect("records");
    assert_eq!(known.mark_absent_at(&place).expect("marks"), 1);
    known.unmark_absent(&[place]).expect("takes back");
    let row = row(&mut known, root, "disk/a").expect("is known");
    assert_eq!(
        (row.state, row.stamp.dev, row.sha256),
        (State::Held, 5, None)
    );
}

#[test]
fn a_root_that_is_learned_again_keeps_the_disk_of_each_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    let at = |path: &str| Place::new(root, path.as_bytes());
    hold(&mut known, root, "disk/listed", 7, 1);
    hold(&mut known, root, "disk/unlisted", 8, 2);
    known.forget_root(root).expect("forgets");
    assert_eq!(known.count_held(root).expect("counts"), 0);
    let listed = |path| Record::Held(at(path), Stamp::remembered(100, 10), [1; 32]);
    known
        .record(&[listed("disk/listed"), listed("disk/new")])
        .expect("learns");
    let lies = |known: &mut Known, path| {
        row(known, root, path).map(|row| (row.state, row.stamp.dev, row.sha256))
    };
    let expected = Some((State::Held, 5, Some([1; 32])));
    assert_eq!(lies(&mut known, "disk/listed"), expected);
    let expected = Some((State::Held, 0, Some([1; 32])));
    assert_eq!(lies(&mut known, "disk/new"), expected);
    // The store does not know of it, so it is read when it is seen, and leaves no trace if not.
    let expected = Some((State::Held, 5, None));
    assert_eq!(lies(&mut known, "disk/unlisted"), expected);
    known
        .record(&[Record::Missing(at("disk/unlisted"))])
        .expect("records");
    assert_eq!(lies(&mut known, "disk/unlisted"), None);
}
