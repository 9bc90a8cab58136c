//! The known table keeps what it was told, and survives not being there.

mod device;

use super::*;
use crate::{
    place::{Place, RootId},
    stamp::Stamp,
};

fn stamp(ino: u64) -> Stamp {
    Stamp {
        dev: 5,
        ino,
        size: 100,
        mtime_ns: 10,
        ctime_ns: 20,
    }
}

fn open(folder: &Path) -> (Known, Found) {
    Known::open(folder).expect("opens")
}

fn hold(known: &mut Known, root: RootId, path: &str, ino: u64, content: u8) {
    let place = Place::new(root, path.as_bytes());
    known
        .record(&[Record::Held(place, stamp(ino), [content; 32])])
        .expect("records");
}

#[test]
fn what_was_recorded_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, found) = open(folder.path());
    assert_eq!(found, Found::Absent);
    let root = known.root(b"/pictures").expect("adds").id;
    hold(&mut known, root, "a/b.jpg", 7, 1);
    drop(known);
    let (mut known, found) = open(folder.path());
    assert_eq!(found, Found::Kept);
    assert_eq!(known.root(b"/pictures").expect("finds").id, root);
    let place = Place::new(root, b"a/b.jpg".as_slice());
    let compared = known.compare_place(&place, &stamp(7)).expect("compares");
    let row = compared.row.expect("is known");
    assert_eq!(
        (row.state, row.stamp, row.sha256),
        (State::Held, stamp(7), Some([1; 32]))
    );
    assert_eq!(known.count_held(root).expect("counts"), 1);
}

#[test]
fn a_file_seen_under_another_name_with_the_same_marks_is_a_twin() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    hold(&mut known, root, "a/b.jpg", 7, 1);
    let moved = Place::new(root, b"c/b.jpg".as_slice());
    let compared = known.compare_place(&moved, &stamp(7)).expect("compares");
    assert_eq!(
        compared,
        Compared {
            row: None,
            twin: Some([1; 32])
        }
    );
    let touched = Stamp {
        ctime_ns: 21,
        ..stamp(7)
    };
    assert_eq!(
        known
            .compare_place(&moved, &touched)
            .expect("compares")
            .twin,
        None
    );
}

#[test]
fn a_directory_that_is_gone_takes_its_files_along_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    for (ino, path) in (1..).zip(["a/1", "a/b/2", "ab/3", "a.x/4", "a0/5"]) {
        hold(&mut known, root, path, ino, 1);
    }
    let gone = Place::new(root, b"a".as_slice());
    assert_eq!(known.mark_absent_at(&gone).expect("marks"), 2);
    let mut absent: Vec<String> = known
        .absent(root, 10)
        .expect("lists")
        .into_iter()
        .map(|(place, _)| place.display())
        .collect();
    absent.sort();
    assert_eq!(absent, ["a/1", "a/b/2"]);
    let back = Place::new(root, b"a/1".as_slice());
    known
        .unmark_absent(std::slice::from_ref(&back))
        .expect("takes back");
    let compared = known.compare_place(&back, &stamp(1)).expect("compares");
    assert_eq!(compared.row.map(|row| row.state), Some(State::Held));
    assert_eq!(known.absent(root, 10).expect("lists").len(), 1);
    known
        .record(&[Record::Missing(Place::new(root, b"a/1".as_slice()))])
        .expect("records");
    assert_eq!(known.absent(root, 10).expect("lists").len(), 1);
    assert_eq!(known.count_held(root).expect("counts"), 4);
}

#[test]
fn only_the_same_inode_with_the_same_content_has_moved() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    let at = |path: &str| Place::new(root, path.as_bytes());
    for (path, ino, content) in [
        ("moved", 1, 1),
        ("copied", 2, 2),
        ("reused", 3, 3),
        ("told", 4, 4),
        ("b/moved", 1, 1),
        ("b/copied", 12, 2),
        ("b/reused", 3, 13),
    ] {
        hold(&mut known, root, path, ino, content);
    }
    let gone = ["moved", "copied", "reused", "told", "unknown"].map(at);
    let held = [(at("b/told"), stamp(4), [4; 32])];
    let moves = known.moves(&gone, &held).expect("asks");
    assert_eq!(moves.moved, [true, false, false, true, false]);
    assert_eq!(moves.late, []);
    // Gone at both places: neither stands for the other.
    known.mark_absent_at(&at("b/moved")).expect("marks");
    let moves = known.moves(&gone[..1], &[]).expect("asks");
    assert_eq!(moves.moved, [false]);
}

#[test]
fn a_missing_place_is_left_behind_when_its_file_is_told_of_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    let at = |path: &str| Place::new(root, path.as_bytes());
    for (path, ino) in [("missing", 1), ("there", 1), ("other", 2)] {
        hold(&mut known, root, path, ino, 1);
    }
    known
        .record(&[Record::Missing(at("missing")), Record::Missing(at("other"))])
        .expect("records");
    let told = |path: &str| (at(path), stamp(1), [1; 32]);
    let late = |known: &mut Known, held: &[(Place, Stamp, Sha256)]| {
        known.moves(&[], held).expect("asks").late
    };
    let left = [(at("missing"), stamp(1))];
    assert_eq!(late(&mut known, &[told("new")]), left);
    assert_eq!(late(&mut known, &[told("new"), told("newer")]), left);
    // It is back itself, or told of already.
    assert_eq!(late(&mut known, &[told("new"), told("missing")]), []);
    let gone = [at("missing")];
    let moves = known.moves(&gone, &[told("new")]).expect("asks");
    assert_eq!((moves.moved, moves.late), (vec![true], vec![]));
    known
        .record(&[Record::Moved(at("missing"))])
        .expect("records");
    assert_eq!(late(&mut known, &[told("new")]), []);
}

#[test]
fn damage_and_other_versions_are_replaced_and_said() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(open(folder.path()));
    fs::write(
        folder.path().join("known.db"),
        b"this is no database at all, not at all",
    )
    .expect("writes");
    let (known, found) = open(folder.path());
    assert!(matches!(found, Found::Replaced(_)), "{found:?}");
    known
        .db
        .execute_batch("PRAGMA user_version = 99")
        .expect("writes");
    drop(known);
    let (_known, found) = open(folder.path());
    assert!(
        matches!(&found, Found::Replaced(why) if why.contains("99")),
        "{found:?}"
    );
}

#[test]
fn damage_met_in_use_is_repaired_by_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    for ino in 0..2000 {
        hold(&mut known, root, &format!("a/{ino:050}"), ino, 1);
    }
    known
        .db
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .expect("checkpoints");
    drop(known);
    let path = folder.path().join("known.db");
    let mut bytes = fs::read(&path).expect("reads");
    let middle = 8192..bytes.len();
    bytes[middle].fill(0x5a);
    fs::write(&path, bytes).expect("writes");
    let (mut known, _) = open(folder.path());
    assert!(matches!(known.count_held(root), Err(Error::Sqlite { .. })));
    drop(known);
    let (_known, found) = open(folder.path());
    assert!(matches!(found, Found::Replaced(_)), "{found:?}");
}

#[test]
fn two_watchers_cannot_share_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = open(folder.path());
    assert!(matches!(Known::open(folder.path()), Err(Error::InUse(_))));
}

#[test]
fn the_frontier_of_a_scan_empties_and_tells_what_was_not_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    hold(&mut known, root, "old/1", 1, 1);
    known.begin_scan(root, b"").expect("begins");
    let mut listed = Vec::new();
    while let Some(dir) = known.next_dir(root).expect("gives") {
        if dir.path.is_empty() {
            known
                .add_dirs(root, b"", &[b"x".to_vec(), b"y".to_vec()])
                .expect("adds");
        }
        known.finish_dir(dir.id, Some(1)).expect("finishes");
        listed.push(dir.path);
    }
    assert_eq!(listed, [b"".to_vec(), b"y".to_vec(), b"x".to_vec()]);
    let unlisted = known.unlisted(root, 1, b"", 10).expect("lists");
    assert_eq!(unlisted, [b"old".to_vec()]);
}

#[test]
fn records_and_what_was_rendered_are_remembered_together_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    let place = Place::new(root, b"a".as_slice());
    let records = [Record::Held(place.clone(), stamp(7), [1; 32])];
    let rendered = |bytes| Checks {
        media_type: "image/png".to_owned(),
        revision: 1,
        sample: Some(RenditionCheck {
            bytes,
            sha256: [9; 32],
        }),
        preview: None,
    };
    let checks = [([1; 32], rendered(30)), ([2; 32], rendered(40))];
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON content WHEN new.sample_bytes = 40
                  BEGIN SELECT RAISE(ABORT, 'in the middle'); END";
    known.db.execute_batch(refuse).expect("prepares");
    assert!(known.record_all(&records, &checks).is_err());
    let compared = known.compare_place(&place, &stamp(7)).expect("compares");
    assert_eq!(compared.row, None);
    assert_eq!(known.sample_bytes().expect("sums"), 0);
    known.db.execute_batch("DROP TRIGGER refuse").expect("ends");
    let added = known.record_all(&records, &checks).expect("records");
    assert_eq!(added, 70, "nothing of it was counted before");
    assert_eq!(known.count_held(root).expect("counts"), 1);
}

#[test]
fn a_forgotten_root_has_no_name_until_all_of_it_is_learned_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut known, _) = open(folder.path());
    let root = known.root(b"/pictures").expect("adds").id;
    known.name_root(root, "roots/1").expect("names");
    known.forget_root(root).expect("forgets");
    assert_eq!(known.root(b"/pictures").expect("finds").store_name, "");
}

#[test]
fn a_disk_without_room_is_no_damage() {
    let refused = |code, extended_code| Error::Sqlite {
        path: "known.db".into(),
        source: rusqlite::Error::SqliteFailure(
            ffi::Error {
                code,
                extended_code,
            },
            None,
        ),
    };
    let full = rusqlite::ErrorCode::DiskFull;
    let failed = rusqlite::ErrorCode::SystemIoFailure;
    assert!(refused(full, ffi::SQLITE_FULL).is_disk_full());
    assert!(refused(failed, ffi::SQLITE_IOERR_SHMSIZE).is_disk_full());
    assert!(!refused(failed, ffi::SQLITE_IOERR_READ).is_disk_full());
}
