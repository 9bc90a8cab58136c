//! What happens next: a random command, or something that befalls the world.

use super::super::{Cause, Claim, Command, Holder, Millis, NodeId, Row, RowState};
use super::history::{Step, World};
use super::model::{At, Task};

impl World {
    pub(super) fn invent(&mut self) -> Step {
        let awake: Vec<usize> = (0..self.actors.len())
            .filter(|&at| !self.actors[at].frozen)
            .collect();
        let at = self.dice.pick(&awake).unwrap_or(0);
        Step::Apply(match self.dice.below(100) {
            0..22 => self.lease(at),
            22..30 => self.running(at),
            30..34 => self.renew(at),
            34..48 => self.finish(at),
            48..52 => self.fail(at),
            52..54 => self.release(at),
            54..57 => self.crash(at),
            57..59 => return self.reincarnate(at),
            59..60 if self.dice.one_in(2) => return self.deadly(at),
            59..60 => return self.breakdown(at),
            60..62 => self.register(at),
            62..66 => self.late_word(),
            66..70 => self.repeat(),
            70..74 => Command::Tick {
                limit: [1, 2, 1000][self.dice.below(3)],
            },
            74..81 => return self.wait(),
            81..83 => return self.freeze(at),
            83..85 => return self.restart(),
            85..87 => Command::SourceOnline {
                watcher: 1 + self.dice.below(3) as u32,
            },
            87..88 if self.dice.one_in(3) => self.source_found(),
            87..88 => Command::SourceOffline {
                watcher: 1 + self.dice.below(3) as u32,
            },
            88..91 => {
                let n = 1 + self.dice.below(4);
                self.offer(n)
            }
            91..93 => self.retry(),
            93..94 => self.cancel(),
            94..95 => self.pause(),
            95..96 => Command::ForgetNode {
                node: at as NodeId + 1,
            },
            96..99 => return self.spree(at),
            _ => return self.breakdown(at),
        })
    }

    pub(super) fn offer(&mut self, n: usize) -> Command {
        let mut rows = Vec::new();
        for _ in 0..n {
            rows.push(Row {
                task: self.next_task,
                queue: self.queues[self.dice.below(self.queues.len())],
                priority: self.dice.below(2) as u8,
                attempts: 0,
                crashes: 0,
                alone: false,
                state: RowState::Queued { ran: None },
            });
            self.next_task += 1;
        }
        // An id is never reused, however a rolled-back offer ends.
        Command::Offer { rows }
    }

    /// Mostly of a task that waits for another place, now and then of one that does not.
    fn source_found(&mut self) -> Command {
        let waits = |task: &&Task| matches!(task.at, At::Parked { .. });
        let parked: Vec<u64> = self
            .model
            .tasks
            .iter()
            .filter(waits)
            .map(|t| t.id)
            .collect();
        let all: Vec<u64> = self.model.tasks.iter().map(|task| task.id).collect();
        match self.dice.pick(&parked).or_else(|| self.dice.pick(&all)) {
            Some(task) => Command::SourceFound { task },
            None => Command::Tick { limit: 1 },
        }
    }

    pub(super) fn register(&mut self, at: usize) -> Command {
        let holder = self.actors[at].holder;
        let mut queues = self.dice.some(&self.queues.clone());
        if queues.is_empty() || self.dice.one_in(2) {
            queues = self.queues.clone();
        }
        Command::Register { holder, queues }
    }

    pub(super) fn lease(&mut self, at: usize) -> Command {
        let queues = if self.dice.one_in(3) {
            self.dice.some(&self.queues.clone())
        } else {
            self.queues.clone()
        };
        Command::Lease {
            holder: self.who(at),
            queues,
            max: 1 + self.dice.below(6),
        }
    }

    /// Nearly always the living process, now and then one that should be gone.
    pub(super) fn who(&mut self, at: usize) -> Holder {
        let past = self.actors[at].past.clone();
        match self.dice.one_in(12) {
            true => self.dice.pick(&past).unwrap_or(self.actors[at].holder),
            false => self.actors[at].holder,
        }
    }

    pub(super) fn running(&mut self, at: usize) -> Command {
        let claims = self.dice.some(&self.actors[at].claims.clone());
        Command::MarkRunning {
            holder: self.who(at),
            claims,
        }
    }

    pub(super) fn renew(&mut self, at: usize) -> Command {
        let claims = self.dice.some(&self.actors[at].claims.clone());
        Command::Renew {
            holder: self.who(at),
            claims,
        }
    }

    pub(super) fn release(&mut self, at: usize) -> Command {
        let claims = self.dice.some(&self.actors[at].claims.clone());
        Command::Release {
            holder: self.who(at),
            claims,
        }
    }

    pub(super) fn crash(&mut self, at: usize) -> Command {
        let claims = if self.dice.one_in(3) {
            let known: Vec<Claim> = self.grants.iter().map(|&(_, claim)| claim).collect();
            self.dice.pick(&known).into_iter().collect()
        } else {
            self.dice.some(&self.actors[at].claims.clone())
        };
        Command::CrashReport {
            holder: self.who(at),
            claims,
        }
    }

    pub(super) fn finish(&mut self, at: usize) -> Command {
        let claims = self.actors[at].claims.clone();
        let Some(claim) = self.dice.pick(&claims) else {
            return self.lease(at);
        };
        if self.actors[at].broken {
            return self.fail(at);
        }
        self.completion(self.actors[at].holder, claim)
    }

    pub(super) fn completion(&self, holder: Holder, claim: Claim) -> Command {
        let recorded = self.table.results.get(&claim.task).copied();
        Command::Complete {
            holder,
            claim,
            recorded,
        }
    }

    pub(super) fn fail(&mut self, at: usize) -> Command {
        let claims = self.actors[at].claims.clone();
        let Some(claim) = self.dice.pick(&claims) else {
            return self.lease(at);
        };
        Command::Fail {
            holder: self.actors[at].holder,
            claim,
            cause: self.cause(at),
        }
    }

    pub(super) fn cause(&mut self, at: usize) -> Cause {
        let source = if self.actors[at].broken { 9 } else { 3 };
        match self.dice.below(source) {
            0 => Cause::SourceUnavailable {
                holders: self.dice.some(&[3, 1, 2, 2]),
            },
            1 => Cause::Permanent("DECODE_FAILED".to_owned()),
            _ => Cause::Transient("DEADLINE".to_owned()),
        }
    }

    /// A word about a grant of any time, by its holder or by somebody else.
    pub(super) fn late_word(&mut self) -> Command {
        let grants = self.grants.clone();
        let Some((mut holder, mut claim)) = self.dice.pick(&grants) else {
            return self.lease(0);
        };
        if self.dice.one_in(4) {
            holder = self.actors[self.dice.below(self.actors.len())].holder;
        }
        if self.dice.one_in(4) {
            claim.token.counter = claim.token.counter.saturating_sub(1);
        }
        match self.dice.below(4) {
            0 => Command::Renew {
                holder,
                claims: vec![claim],
            },
            1 => Command::Fail {
                holder,
                claim,
                cause: Cause::Permanent("DECODE_FAILED".to_owned()),
            },
            _ => self.completion(holder, claim),
        }
    }

    /// The answer to a completion was lost, so the node says it again.
    pub(super) fn repeat(&mut self) -> Command {
        let done: Vec<(Holder, Claim)> = self
            .grants
            .iter()
            .copied()
            .filter(|(_, claim)| self.table.results.get(&claim.task) == Some(&claim.token))
            .collect();
        match self.dice.pick(&done) {
            Some((holder, claim)) => self.completion(holder, claim),
            None => self.finish(0),
        }
    }

    /// The process ends and another comes, at once or after the lease has run out.
    pub(super) fn reincarnate(&mut self, at: usize) -> Step {
        let (holder, claims) = (self.actors[at].holder, self.actors[at].claims.clone());
        self.next_incarnation += 1;
        let actor = &mut self.actors[at];
        actor.past.push(actor.holder);
        actor.holder.incarnation = self.next_incarnation;
        actor.claims.clear();
        let register = self.register(at);
        self.script.push_front(Step::Apply(register));
        if self.dice.one_in(3) {
            self.script
                .push_front(Step::Apply(Command::Tick { limit: 1000 }));
            self.script.push_front(Step::Wait(61_000));
        }
        if self.dice.one_in(3) {
            self.script
                .push_front(Step::Apply(Command::MarkRunning { holder, claims }));
        }
        self.script.pop_front().unwrap_or(Step::Wait(1))
    }

    /// A node dies twice on what it runs.
    pub(super) fn deadly(&mut self, at: usize) -> Step {
        for _ in 0..2 {
            self.script
                .push_back(Step::Soon(|world, at| Step::Apply(world.lease_all(at)), at));
            self.script
                .push_back(Step::Soon(|world, at| Step::Apply(world.run_all(at)), at));
            self.script.push_back(Step::Soon(Self::reincarnate, at));
        }
        Step::Apply(self.register(at))
    }

    /// A node fails all it gets, while another does its work.
    pub(super) fn breakdown(&mut self, at: usize) -> Step {
        let other = (at + 1) % self.actors.len();
        let mut soon = |decide, at| self.script.push_back(Step::Soon(decide, at));
        for _ in 0..3 {
            soon(|world, at| Step::Apply(world.lease_all(at)), at);
            soon(|world, at| Step::Apply(world.lease(at)), other);
            for _ in 0..4 {
                soon(|world, at| Step::Apply(world.fail(at)), at);
            }
            soon(|world, at| Step::Apply(world.finish(at)), other);
        }
        let n = 4 + self.dice.below(8);
        Step::Apply(self.offer(n))
    }

    pub(super) fn lease_all(&mut self, at: usize) -> Command {
        Command::Lease {
            holder: self.actors[at].holder,
            queues: self.queues.clone(),
            max: 6,
        }
    }

    pub(super) fn run_all(&mut self, at: usize) -> Command {
        let actor = &self.actors[at];
        Command::MarkRunning {
            holder: actor.holder,
            claims: actor.claims.clone(),
        }
    }

    pub(super) fn wait(&mut self) -> Step {
        let some = self.dice.below(5_000) as Millis;
        let millis = [some / 5, some, 20_000, 61_000, 520_000][self.dice.below(5)];
        self.script
            .push_back(Step::Apply(Command::Tick { limit: 1000 }));
        Step::Wait(millis)
    }

    /// A node falls silent until its leases have run out, then goes on as if nothing had happened.
    pub(super) fn freeze(&mut self, at: usize) -> Step {
        let (holder, claims) = (self.actors[at].holder, self.actors[at].claims.clone());
        let mark = Command::MarkRunning {
            holder,
            claims: self.dice.some(&claims),
        };
        self.script
            .push_back(Step::Wait(61_000 + self.dice.below(60_000) as Millis));
        self.script
            .push_back(Step::Apply(Command::Tick { limit: 1000 }));
        self.silent.extend(&claims);
        self.actors[at].frozen = true;
        for _ in 0..self.dice.below(4) {
            let step = self.others();
            self.script.push_back(step);
        }
        self.actors[at].frozen = false;
        if self.dice.one_in(2) {
            self.script.push_back(Step::Apply(Command::Renew {
                holder,
                claims: claims.clone(),
            }));
        }
        for claim in claims {
            let word = self.completion(holder, claim);
            self.script.push_back(Step::Apply(word));
        }
        Step::Apply(mark)
    }

    /// Something that an awake node may do meanwhile.
    pub(super) fn others(&mut self) -> Step {
        let awake: Vec<usize> = (0..self.actors.len())
            .filter(|&at| !self.actors[at].frozen)
            .collect();
        let at = self.dice.pick(&awake).unwrap_or(0);
        Step::Apply(if self.dice.one_in(2) {
            self.lease(at)
        } else {
            self.finish(at)
        })
    }

    pub(super) fn restart(&mut self) -> Step {
        if self.dice.one_in(3) {
            self.script
                .push_back(Step::Apply(Command::Tick { limit: 1000 }));
        }
        Step::Restart {
            restore: self.dice.one_in(3),
        }
    }

    pub(super) fn retry(&mut self) -> Command {
        let rows: Vec<&Row> = self.table.rows.values().collect();
        let failed: Vec<&Row> = rows
            .iter()
            .copied()
            .filter(|row| row.state == RowState::Failed)
            .collect();
        let from = if self.dice.one_in(4) { &rows } else { &failed };
        match self.dice.pick(from) {
            Some(row) => Command::Retry { row: row.clone() },
            None => Command::Tick { limit: 3 },
        }
    }

    pub(super) fn cancel(&mut self) -> Command {
        let rows: Vec<&Row> = self.table.rows.values().collect();
        match self.dice.pick(&rows) {
            Some(row) => Command::Cancel { row: row.clone() },
            None => Command::Tick { limit: 3 },
        }
    }

    pub(super) fn pause(&mut self) -> Command {
        let paused = self.dice.one_in(3);
        if self.dice.one_in(2) {
            let queue = self.queues[self.dice.below(self.queues.len())];
            return Command::PauseQueue { queue, paused };
        }
        let node = 1 + self.dice.below(self.actors.len()) as NodeId;
        Command::PauseNode { node, paused }
    }

    /// Much at once: a node leases and fails or finishes all it gets, twice over.
    pub(super) fn spree(&mut self, at: usize) -> Step {
        let holder = self.actors[at].holder;
        let lease = self.lease_all(at);
        let claims = self.actors[at].claims.clone();
        let fails = self.actors[at].broken || self.dice.one_in(4);
        for claim in claims {
            let word = if fails {
                Command::Fail {
                    holder,
                    claim,
                    cause: self.cause(at),
                }
            } else {
                self.completion(holder, claim)
            };
            self.script.push_back(Step::Apply(word));
        }
        self.script.push_back(Step::Apply(lease.clone()));
        self.script.pop_front().unwrap_or(Step::Apply(lease))
    }
}
