//! What to do about a file, from what was seen and what is known: pure.
//!
//! A file whose marks are all as they were is not opened. A file seen under another name with
//! exactly the same marks, change time included, is the same file (a moved directory, or a scan
//! that comes by twice) and is not opened either: nobody can set a change time. If only the change
//! time differs, as after a plain rename, a `chmod` or a new hard link, the file is read and
//! hashed, but not rendered again: inode numbers are reused and modification times can be set by
//! anyone, so they prove nothing alone.

use crate::{
    known::{Compared, Row, Sha256, State},
    stamp::Stamp,
};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it is as it was.
    Nothing,
    /// Remember its marks; the store knows the rest.
    Remember(Sha256),
    /// Tell the store that this content lies here.
    Tell(Sha256),
    /// Read it.
    Read,
}

/// What to do with a file after it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterReading {
    /// Its content is what it was, and the store knows where it lies: remember its marks.
    Remember,
    /// The store knows the content: tell it that it lies here.
    Tell,
    /// The content is new: render it.
    Render,
}

/// What to do about a file that was seen with these marks.
#[must_use]
pub fn decide(compared: &Compared, seen: &Stamp) -> Action {
    if let Some(row) = &compared.row {
        let same = row.stamp == *seen;
        // The store remembers neither inode nor change time. Size and modification time must do,
        // or a lost table would mean reading the whole library.
        let remembered = row.stamp.is_remembered() && row.stamp.agrees_with(seen);
        match (row.state, row.sha256) {
            (State::Failed | State::Ignored, _) | (State::Held, Some(_)) if same => {
                return Action::Nothing;
            }
            (State::Held | State::Absent, Some(sha256)) if same || remembered => {
                return Action::Remember(sha256);
            }
            (State::Missing, Some(sha256)) if same || remembered => return Action::Tell(sha256),
            _ => {}
        }
    }
    compared.twin.map_or(Action::Read, Action::Tell)
}

/// What to do with a file that was read. `held`: whether some known file has this content.
#[must_use]
pub fn after_reading(row: Option<&Row>, seen: &Stamp, sha256: &Sha256, held: bool) -> AfterReading {
    let unchanged = row.is_some_and(|row| {
        matches!(row.state, State::Held | State::Absent)
            && row.sha256.as_ref() == Some(sha256)
            && row.stamp.agrees_with(seen)
    });
    match (unchanged, held) {
        (true, _) => AfterReading::Remember,
        (false, true) => AfterReading::Tell,
        (false, false) => AfterReading::Render,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: Sha256 = [1; 32];
    const OTHER: Sha256 = [2; 32];

    fn stamp() -> Stamp {
        Stamp {
            dev: 1,
            ino: 2,
            size: 3,
            mtime_ns: 4,
            ctime_ns: 5,
        }
    }

    fn known(state: State, stamp: Stamp, sha256: Option<Sha256>) -> Compared {
        let row = Some(Row {
            state,
            stamp,
            sha256,
        });
        Compared { row, twin: None }
    }

    #[test]
    fn a_file_that_is_as_it_was_is_not_opened() {
        let cases = [
            (State::Held, Some(CONTENT), Action::Nothing),
            (State::Held, None, Action::Read),
            (State::Failed, None, Action::Nothing),
            (State::Ignored, None, Action::Nothing),
            (State::Absent, Some(CONTENT), Action::Remember(CONTENT)),
            (State::Absent, None, Action::Read),
            (State::Missing, Some(CONTENT), Action::Tell(CONTENT)),
        ];
        for (state, sha256, action) in cases {
            assert_eq!(
                decide(&known(state, stamp(), sha256), &stamp()),
                action,
                "{state:?}"
            );
        }
    }

    #[test]
    fn any_mark_that_differs_means_reading() {
        let changes: [fn(&mut Stamp); 5] = [
            |s| s.dev += 1,
            |s| s.ino += 1,
            |s| s.size += 1,
            |s| s.mtime_ns += 1,
            |s| s.ctime_ns += 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut seen = stamp();
            change(&mut seen);
            for state in [State::Held, State::Failed, State::Ignored, State::Missing] {
                let action = decide(&known(state, stamp(), Some(CONTENT)), &seen);
                assert_eq!(action, Action::Read, "mark {number}, {state:?}");
            }
        }
    }

    #[test]
    fn new_files_are_read_and_twins_are_not() {
        let nothing = Compared {
            row: None,
            twin: None,
        };
        assert_eq!(decide(&nothing, &stamp()), Action::Read);
        let moved = Compared {
            row: None,
            twin: Some(CONTENT),
        };
        assert_eq!(decide(&moved, &stamp()), Action::Tell(CONTENT));
    }

    #[test]
    fn a_table_rebuilt_from_the_store_trusts_size_and_modification_time() {
        let memory = Stamp::remembered(3, 4);
        let held = known(State::Held, memory, Some(CONTENT));
        assert_eq!(decide(&held, &stamp()), Action::Remember(CONTENT));
        let missing = known(State::Missing, memory, Some(CONTENT));
        assert_eq!(decide(&missing, &stamp()), Action::Tell(CONTENT));
        let grown = known(State::Held, Stamp::remembered(4, 4), Some(CONTENT));
        assert_eq!(decide(&grown, &stamp()), Action::Read);
    }

    #[test]
    fn only_new_content_is_rendered() {
        let row = |sha256| Row {
            state: State::Held,
            stamp: Stamp {
                ctime_ns: 0,
                ..stamp()
            },
            sha256: Some(sha256),
        };
        let after = |row: Option<&Row>, held| after_reading(row, &stamp(), &CONTENT, held);
        assert_eq!(after(Some(&row(CONTENT)), true), AfterReading::Remember);
        assert_eq!(after(Some(&row(OTHER)), true), AfterReading::Tell);
        assert_eq!(after(None, true), AfterReading::Tell);
        assert_eq!(after(Some(&row(OTHER)), false), AfterReading::Render);
        let mut touched = row(CONTENT);
        touched.stamp.mtime_ns -= 1;
        assert_eq!(after(Some(&touched), true), AfterReading::Tell);
    }
}
