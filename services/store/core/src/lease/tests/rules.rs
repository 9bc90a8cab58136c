//! The rules one by one, as short stories: what the histories prove at large, said for a reader.

use crate::lease::state::Task;
use crate::lease::{
    Cause, Claim, Command, Effect, Grant, Holder, Leases, Limits, Notice, POISON, Reply, Row,
    RowState, TTL, Verdict,
};

const A: Holder = Holder {
    node: 1,
    incarnation: 11,
};
const B: Holder = Holder {
    node: 2,
    incarnation: 22,
};

fn row(task: u64) -> Row {
    let state = RowState::Queued { ran: None };
    Row {
        task,
        queue: 1,
        priority: 0,
        attempts: 0,
        crashes: 0,
        alone: false,
        state,
    }
}

fn machine(limits: Limits, tasks: u64) -> Leases {
    let mut machine = Leases::new(7, limits);
    for holder in [A, B] {
        machine.apply(
            Command::Register {
                holder,
                queues: vec![1],
            },
            0,
        );
    }
    machine.apply(
        Command::Offer {
            rows: (1..=tasks).map(row).collect(),
        },
        0,
    );
    machine
}

fn lease(machine: &mut Leases, holder: Holder, max: usize, now: u64) -> Vec<Grant> {
    match machine
        .apply(
            Command::Lease {
                holder,
                queues: vec![1],
                max,
            },
            now,
        )
        .reply
    {
        Reply::Leased(grants) => grants,
        other => panic!("leasing was answered by {other:?}"),
    }
}

fn claim(grant: &Grant) -> Claim {
    Claim {
        task: grant.task,
        token: grant.token,
    }
}

fn fail(machine: &mut Leases, holder: Holder, grant: &Grant) -> (Reply, Vec<Effect>, Vec<Notice>) {
    let cause = Cause::Permanent("DECODE_FAILED".to_owned());
    let outcome = machine.apply(
        Command::Fail {
            holder,
            claim: claim(grant),
            cause,
        },
        0,
    );
    (outcome.reply, outcome.effects, outcome.notices)
}

#[test]
fn a_known_task_takes_sixty_four_bytes() {
    assert!(
        size_of::<Task>() <= 64,
        "a task takes {} bytes",
        size_of::<Task>()
    );
}

#[test]
fn a_machine_that_sleeps_costs_its_tasks_nothing() {
    let mut machine = machine(Limits::default(), 2);
    let grants = lease(&mut machine, A, 2, 0);
    let claims: Vec<Claim> = grants.iter().map(claim).collect();
    machine.apply(
        Command::MarkRunning {
            holder: A,
            claims: claims.clone(),
        },
        0,
    );
    machine.apply(Command::Tick { limit: 10 }, TTL - 1);
    assert_eq!(machine.counts(1).leased, 2);
    machine.apply(Command::Tick { limit: 10 }, TTL);
    assert_eq!(machine.counts(1).leasable, 2);
    machine.apply(Command::Renew { holder: A, claims }, TTL + 5);
    let again = lease(&mut machine, B, 2, TTL + 10);
    assert!(
        again.iter().all(|grant| grant.attempt == 1 && !grant.alone),
        "{again:?}"
    );
}

#[test]
fn a_picture_that_kills_its_node_twice_is_poison_and_its_neighbours_are_not() {
    let mut machine = machine(Limits::default(), 3);
    let mut holder = A;
    let mut failed = Vec::new();
    for incarnation in [12, 13] {
        let grants = lease(&mut machine, holder, 3, 0);
        let killer = grants
            .iter()
            .find(|grant| grant.task == 1)
            .expect("it is the oldest");
        let claims = vec![claim(killer)];
        machine.apply(Command::MarkRunning { holder, claims }, 0);
        holder.incarnation = incarnation;
        let outcome = machine.apply(
            Command::Register {
                holder,
                queues: vec![1],
            },
            0,
        );
        failed.extend(
            outcome
                .effects
                .into_iter()
                .filter_map(|effect| match effect {
                    Effect::Failed { task, reason, .. } => Some((task, reason)),
                    _ => None,
                }),
        );
    }
    assert_eq!(failed, [(1, POISON.to_owned())]);
    let rest = lease(&mut machine, holder, 3, 0);
    assert_eq!(
        rest.iter()
            .map(|grant| (grant.task, grant.attempt))
            .collect::<Vec<_>>(),
        [(2, 1), (3, 1)]
    );
}

#[test]
fn a_node_that_fails_everything_beside_one_that_works_is_stopped_and_undone() {
    let mut machine = machine(Limits::default(), 20);
    let mine = lease(&mut machine, A, 10, 0);
    let other = lease(&mut machine, B, 1, 0);
    for grant in &mine[..7] {
        assert_eq!(
            fail(&mut machine, A, grant).0,
            Reply::Failed(Verdict::Failed)
        );
    }
    let done = Command::Complete {
        holder: B,
        claim: claim(&other[0]),
        recorded: None,
    };
    machine.apply(done, 0);
    let (reply, effects, notices) = fail(&mut machine, A, &mine[7]);
    assert_eq!(reply, Reply::Failed(Verdict::NodeStopped));
    assert!(notices.contains(&Notice::NodeStopped {
        node: 1,
        failures: 8
    }));
    let queued = |effect: &&Effect| matches!(effect, Effect::Queued { attempts: 0, .. });
    assert_eq!(
        effects.iter().filter(queued).count(),
        10,
        "8 failed and 2 held come back"
    );
    assert_eq!(machine.counts(1).leasable, 19);
}

#[test]
fn a_node_that_is_alone_is_never_stopped() {
    let mut machine = machine(Limits::default(), 50);
    for grant in lease(&mut machine, A, 50, 0) {
        assert_eq!(
            fail(&mut machine, A, &grant).0,
            Reply::Failed(Verdict::Failed)
        );
    }
    assert!(!machine.node(1).expect("it is registered").stopped);
}

#[test]
fn a_streak_remembers_no_more_than_its_bound() {
    let limits = Limits {
        blame: 5,
        ..Limits::default()
    };
    let mut machine = machine(limits, 20);
    let mine = lease(&mut machine, A, 10, 0);
    let other = lease(&mut machine, B, 1, 0);
    for grant in &mine {
        fail(&mut machine, A, grant);
    }
    let done = Command::Complete {
        holder: B,
        claim: claim(&other[0]),
        recorded: None,
    };
    let outcome = machine.apply(done, 0);
    let queued = |effect: &&Effect| matches!(effect, Effect::Queued { .. });
    assert_eq!(outcome.effects.iter().filter(queued).count(), 5);
    assert!(machine.node(1).expect("it is registered").stopped);
}

#[test]
fn a_long_backlog_stays_on_disk_and_is_leased_in_order() {
    let limits = Limits::default();
    let mut machine = machine(limits, 10_000);
    assert_eq!(machine.counts(1).leasable, 10_000);
    let mut next = 1;
    while next <= 10_000 {
        if let Some(wanted) = machine.wants(1) {
            let end = (wanted.from.1 + wanted.limit as u64).min(10_001);
            let rows = (wanted.from.1..end).map(row).collect();
            machine.apply(
                Command::Refill {
                    queue: 1,
                    rows,
                    exhausted: end == 10_001,
                },
                0,
            );
        }
        assert!(machine.counts(1).window <= limits.window_high as u64);
        for grant in lease(&mut machine, A, 256, 0) {
            assert_eq!(grant.task, next);
            next += 1;
            let done = Command::Complete {
                holder: A,
                claim: claim(&grant),
                recorded: None,
            };
            machine.apply(done, 0);
        }
    }
    assert_eq!(machine.counts(1).leasable, 0);
}
