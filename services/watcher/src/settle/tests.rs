//! The settle rule, tick by tick.

use super::*;
use crate::place::RootId;

fn place(name: &str) -> Place {
    Place::new(RootId(1), name.as_bytes())
}

fn stamp(size: u64) -> Stamp {
    Stamp {
        dev: 1,
        ino: 7,
        size,
        mtime_ns: 10,
        ctime_ns: 10,
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_finished_file_is_read_after_a_pause_of_fifty_milliseconds() {
    let start = Instant::now();
    let mut settle = Settle::new(8);
    let file = place("a.jpg");
    settle
        .note(&file, Hint::Touched, LOCAL_QUIET, start)
        .expect("fits");
    settle
        .note(&file, Hint::Finished, LOCAL_QUIET, start + ms(5))
        .expect("fits");
    assert_eq!(settle.due(start + ms(54)), None);
    assert_eq!(settle.due(start + ms(55)), Some(file.clone()));
    let (verdict, _) = settle.judge(&file, Look::There(stamp(1)), start + ms(55));
    assert_eq!(verdict, Verdict::Settled);
    assert!(settle.is_empty());
}

#[test]
fn an_event_after_the_close_makes_it_wait_for_standing_still() {
    let start = Instant::now();
    let mut settle = Settle::new(8);
    let file = place("a.jpg");
    settle
        .note(&file, Hint::Finished, LOCAL_QUIET, start)
        .expect("fits");
    settle
        .note(&file, Hint::Touched, LOCAL_QUIET, start + ms(20))
        .expect("fits");
    let now = start + ms(70);
    assert_eq!(settle.due(now), Some(file.clone()));
    assert_eq!(
        settle.judge(&file, Look::There(stamp(1)), now).0,
        Verdict::Wait
    );
    assert_eq!(settle.due(now + ms(1999)), None);
    assert_eq!(
        settle.judge(&file, Look::There(stamp(1)), now + ms(2000)).0,
        Verdict::Settled
    );
}

#[test]
fn a_file_that_grows_waits_from_its_last_growth() {
    let start = Instant::now();
    let mut settle = Settle::new(8);
    let file = place("a.jpg");
    settle
        .watch(&file, stamp(1), 0, LOCAL_QUIET, start)
        .expect("fits");
    assert_eq!(settle.due(start + ms(1999)), None);
    let grown = start + ms(2000);
    assert_eq!(
        settle.judge(&file, Look::There(stamp(2)), grown).0,
        Verdict::Wait
    );
    assert_eq!(settle.next_due(), Some(grown + LOCAL_QUIET));
    let (verdict, _) = settle.judge(&file, Look::There(stamp(2)), grown + LOCAL_QUIET);
    assert_eq!(verdict, Verdict::Settled);
}

#[test]
fn a_change_of_ctime_alone_is_a_change() {
    let start = Instant::now();
    let mut settle = Settle::new(8);
    let file = place("a.jpg");
    settle
        .watch(&file, stamp(1), 0, LOCAL_QUIET, start)
        .expect("fits");
    let touched = Stamp {
        ctime_ns: 11,
        ..stamp(1)
    };
    let (verdict, _) = settle.judge(&file, Look::There(touched), start + LOCAL_QUIET);
    assert_eq!(verdict, Verdict::Wait);
}

#[test]
fn what_is_gone_is_believed_gone_only_after_the_quiet_time() {
    let start = Instant::now();
    let mut settle = Settle::new(8);
    let file = place("a.jpg");
    settle
        .note(&file, Hint::Finished, LOCAL_QUIET, start)
        .expect("fits");
    let now = start + ms(50);
    assert_eq!(settle.judge(&file, Look::Gone, now).0, Verdict::Wait);
    // It comes back: not gone, and finished as the event said.
    let (verdict, _) = settle.judge(&file, Look::There(stamp(1)), now + ms(10));
    assert_eq!(verdict, Verdict::Settled);

    settle
        .note(&file, Hint::Touched, LOCAL_QUIET, start)
        .expect("fits");
    assert_eq!(settle.judge(&file, Look::Gone, now).0, Verdict::Wait);
    assert_eq!(
        settle.judge(&file, Look::Gone, now + LOCAL_QUIET).0,
        Verdict::Settled
    );
}

#[test]
fn a_full_set_refuses_new_places_and_keeps_known_ones() {
    let now = Instant::now();
    let mut settle = Settle::new(1);
    settle
        .note(&place("a"), Hint::Touched, LOCAL_QUIET, now)
        .expect("fits");
    assert_eq!(
        settle.note(&place("b"), Hint::Touched, LOCAL_QUIET, now),
        Err(Full)
    );
    assert_eq!(
        settle.note(&place("a"), Hint::Finished, LOCAL_QUIET, now),
        Ok(())
    );
    assert_eq!(settle.len(), 1);
}

#[test]
fn network_files_wait_longer_and_their_clocks_are_not_trusted() {
    let second = 1_000_000_000;
    let file = Stamp {
        mtime_ns: 0,
        ctime_ns: 0,
        ..stamp(1)
    };
    assert!(stood_still(&file, 2 * second, LOCAL_QUIET));
    assert!(!stood_still(&file, 2 * second - 1, LOCAL_QUIET));
    assert!(!stood_still(&file, 60 * second, NETWORK_QUIET));
    assert!(stood_still(&file, 600 * second, NETWORK_QUIET));
    let future = Stamp {
        ctime_ns: 100 * second,
        ..file
    };
    assert!(!stood_still(&future, 50 * second, LOCAL_QUIET));
}

#[test]
fn ten_thousand_random_histories_never_settle_a_moving_file() {
    // A small generator, so that a failure can be replayed by its number.
    for seed in 0..10_000_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let start = Instant::now();
        let (mut now, mut changed, mut size) = (start, start, 1);
        let mut settle = Settle::new(4);
        let file = place("a.jpg");
        settle
            .watch(&file, stamp(size), 0, LOCAL_QUIET, now)
            .expect("fits");
        for _ in 0..20 {
            now += ms(random(1500));
            if random(3) == 0 {
                (size, changed) = (size + 1, now);
            }
            if settle.due(now).is_some() {
                let (verdict, _) = settle.judge(&file, Look::There(stamp(size)), now);
                if verdict == Verdict::Settled {
                    assert!(now - changed >= LOCAL_QUIET, "seed {seed}");
                    break;
                }
            }
        }
    }
}
