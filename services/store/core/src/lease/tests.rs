//! The machine against the reference model, over random histories.

mod dice;
mod history;
mod invent;
mod model;
mod rules;
mod table;

use super::planted::{Bug, plant};
use super::state::{Place, State};
use history::{Seen, explain, run};
use model::At;

impl State {
    /// Whether this state says of a task what the model says.
    fn compare(&self, right: &model::Task) -> Result<(), String> {
        let Some(task) = self.task(right.id) else {
            // Unknown is right for what lies behind the frontier or needs no lease any more.
            let behind = self
                .queue(right.queue)
                .frontier
                .is_some_and(|frontier| (right.priority, right.id) >= frontier);
            return match &right.at {
                At::Failed(_) | At::Done(_) | At::Cancelled => Ok(()),
                At::Ready(None) if behind => Ok(()),
                at => Err(format!("is unknown where {at:?} is right")),
            };
        };
        let same = match (&task.place, &right.at) {
            (Place::Ready { ran }, At::Ready(other)) => ran == other,
            (Place::Later { at }, At::BackedOff(other)) => at == other,
            (
                Place::Leased(lease),
                At::Leased {
                    holder,
                    token,
                    deadline,
                    running,
                },
            ) => {
                lease.holder == *holder
                    && lease.token == *token
                    && lease.deadline == *deadline
                    && lease.running == *running
            }
            (
                Place::Parked { holders, at },
                At::Parked {
                    holders: others,
                    look,
                },
            ) => **holders == **others && at == look,
            (Place::Failed { .. }, At::Failed(_)) => true,
            _ => false,
        };
        let known = (
            task.queue,
            task.priority,
            task.attempts,
            task.crashes,
            task.alone,
        );
        let told = (
            right.queue,
            right.priority,
            right.attempts,
            right.crashes,
            right.alone,
        );
        if same && known == told {
            return Ok(());
        }
        Err(format!("{task:?} where {right:?} is right"))
    }
}

/// Each shard is a test of its own, so that they run side by side.
const SHARD: u64 = 25_000;

fn shard(n: u64) {
    let mut total = Seen::default();
    let mut tally = [0_u64; 14];
    for seed in n * SHARD..(n + 1) * SHARD {
        let seen = run(seed, false).unwrap_or_else(|_| panic!("{}", explain(seed, false)));
        total.commands += seen.commands;
        let flags = flags(seen);
        for (count, (_, flag)) in tally.iter_mut().zip(flags) {
            *count += u64::from(flag);
        }
    }
    println!("{SHARD} histories, {} commands", total.commands);
    for (count, (name, _)) in tally.iter().zip(flags(total)) {
        println!(
            "{name:>14} in {count} ({:.1} %)",
            *count as f64 * 100.0 / SHARD as f64
        );
        assert!(
            count * 20 >= SHARD,
            "{name} occurs in only {count} of {SHARD} histories"
        );
    }
}

fn flags(seen: Seen) -> [(&'static str, bool); 14] {
    [
        ("restart", seen.restart),
        ("restore", seen.restore),
        ("past TTL", seen.past_ttl),
        ("past back-off", seen.past_backoff),
        ("freeze", seen.freeze),
        ("incarnation", seen.incarnation),
        ("stale token", seen.stale),
        ("repeated token", seen.repeated),
        ("suspect", seen.suspect),
        ("poison", seen.poison),
        ("unparked", seen.unparked),
        ("node stopped", seen.stopped),
        ("refill", seen.refill),
        ("rollback", seen.rollback),
    ]
}

#[test]
fn histories_agree_with_the_model_first_quarter() {
    shard(0);
}

#[test]
fn histories_agree_with_the_model_second_quarter() {
    shard(1);
}

#[test]
fn histories_agree_with_the_model_third_quarter() {
    shard(2);
}

#[test]
fn histories_agree_with_the_model_last_quarter() {
    shard(3);
}

#[test]
fn a_rollback_restores_every_bit_of_the_state() {
    for seed in 1_000_000..1_000_800 {
        run(seed, true).unwrap_or_else(|_| panic!("{}", explain(seed, true)));
    }
}

#[test]
fn every_planted_bug_is_caught() {
    const BUGS: [Bug; 14] = [
        Bug::NoFencing,
        Bug::RefundForgotten,
        Bug::ShortTtlAfterRestart,
        Bug::SuspectInBatch,
        Bug::RepeatRejected,
        Bug::RunningNotDurable,
        Bug::ParkedForever,
        Bug::SilenceIsCrash,
        Bug::OldIncarnationServed,
        Bug::CounterNotDurable,
        Bug::StreakNotRedriven,
        Bug::RanNotCleared,
        Bug::UndoForgotten,
        Bug::WakeForgotten,
    ];
    for bug in BUGS {
        plant(Some(bug));
        let caught = (0..5_000).find_map(|seed| run(seed, false).err().map(|why| (seed, why)));
        plant(None);
        let (seed, why) = caught.unwrap_or_else(|| panic!("{bug:?} was never noticed"));
        let why: String = why.chars().take(110).collect();
        println!("{bug:?} caught by history {}: {why}", seed + 1);
    }
}
