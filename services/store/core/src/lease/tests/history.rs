//! Random histories: a small world of nodes that crash, freeze, repeat themselves and come late.
//!
//! One seed is one history. After every command the machine's reply, the rows that its effects
//! made and all that can be seen of its state are compared with the reference model.

use std::collections::{BTreeSet, VecDeque};

use super::model::{At, Model};
use super::table::Table;
use crate::lease::{
    Cause, Claim, Command, Completion, Holder, Leases, Limits, Millis, NodeId, QueueId, Renewal,
    Reply, Row, RowState, TaskId, Token, Verdict,
};

/// Small, so that windows overflow and brakes are felt in a history of twenty tasks.
pub(super) const LIMITS: Limits = Limits {
    window_low: 6,
    window_high: 8,
    grant: 6,
    held: 10,
    later: 7,
    blame: 4096,
};

/// What happened in a history, for counting.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    pub(super) commands: u64,
    pub(super) restart: bool,
    pub(super) restore: bool,
    pub(super) past_ttl: bool,
    pub(super) past_backoff: bool,
    pub(super) freeze: bool,
    pub(super) incarnation: bool,
    pub(super) stale: bool,
    pub(super) repeated: bool,
    pub(super) suspect: bool,
    pub(super) poison: bool,
    pub(super) unparked: bool,
    pub(super) stopped: bool,
    pub(super) refill: bool,
    pub(super) rollback: bool,
}

/// A small, fast, seeded generator (splitmix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())])
    }

    fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        let odds = 1 + self.below(3);
        from.iter()
            .copied()
            .filter(|_| !self.one_in(odds + 1))
            .collect()
    }
}

/// A node as the world sees it.
#[derive(Debug, Clone)]
struct Actor {
    holder: Holder,
    past: Vec<Holder>,
    /// What it believes to hold, whether or not it still does.
    claims: Vec<Claim>,
    frozen: bool,
    /// It fails whatever it is given.
    broken: bool,
}

/// A step of a history: a command, or something that happens to the world.
#[derive(Debug, Clone)]
enum Step {
    Apply(Command),
    Wait(Millis),
    Restart { restore: bool },
}

struct World {
    dice: Dice,
    machine: Leases,
    model: Model,
    table: Table,
    now: Millis,
    actors: Vec<Actor>,
    queues: Vec<QueueId>,
    /// Every grant ever, with its holder: what stale and repeated words are made of.
    grants: Vec<(Holder, Claim)>,
    next_task: TaskId,
    next_incarnation: u64,
    script: VecDeque<Step>,
    seen: Seen,
    log: Option<Vec<String>>,
    strict: bool,
}

/// Runs the history of `seed`; an error says where machine and model part.
pub(super) fn run(seed: u64, strict: bool) -> Result<Seen, String> {
    World::new(seed, strict, false)
        .run()
        .map_err(|(_, why)| why)
}

/// The history of `seed`, step by step, with what it fails with if it does.
pub(super) fn explain(seed: u64, strict: bool) -> String {
    match World::new(seed, strict, true).run() {
        Ok(_) => format!("seed {seed}: no difference"),
        Err((log, why)) => format!("seed {seed}: {why}\n{}", log.join("\n")),
    }
}

impl World {
    fn new(seed: u64, strict: bool, log: bool) -> Self {
        let mut dice = Dice::new(seed);
        let epoch = 1 + seed % 7;
        let queues: Vec<QueueId> = (1..=1 + dice.below(3) as QueueId).collect();
        let nodes = 3 + dice.below(2) as NodeId;
        let broken = dice.one_in(3);
        let actors = (1..=nodes)
            .map(|node| Actor {
                holder: Holder {
                    node,
                    incarnation: u64::from(node) * 1000,
                },
                past: Vec::new(),
                claims: Vec::new(),
                frozen: false,
                broken: broken && node == 1,
            })
            .collect();
        let mut world = Self {
            dice,
            machine: Leases::new(epoch, LIMITS),
            model: Model::new(epoch, LIMITS),
            table: Table::default(),
            now: 5_000,
            actors,
            queues,
            grants: Vec::new(),
            next_task: 1,
            next_incarnation: 100_000,
            script: VecDeque::new(),
            seen: Seen::default(),
            log: log.then(Vec::new),
            strict,
        };
        let first = 10 + world.dice.below(11);
        let offer = world.offer(first);
        world.script.push_back(Step::Apply(offer));
        for at in 0..world.actors.len() {
            let register = world.register(at);
            world.script.push_back(Step::Apply(register));
        }
        world
    }

    fn run(mut self) -> Result<Seen, (Vec<String>, String)> {
        // Most histories are short, some long: 20 to 200 steps.
        let (a, b) = (self.dice.below(181), self.dice.below(181));
        let steps = 20 + a * b / 180;
        for _ in 0..steps {
            let step = match self.script.pop_front() {
                Some(step) => step,
                None => self.invent(),
            };
            if let Some(log) = &mut self.log {
                log.push(format!("{:>8} {step:?}", self.now));
            }
            if let Err(why) = self.step(step) {
                return Err((self.log.unwrap_or_default(), why));
            }
        }
        self.seen.stopped = self.model.stops > 0;
        Ok(self.seen)
    }

    fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Apply(command) => self.command(command)?,
            Step::Wait(millis) => {
                let live = |at: &At| matches!(at, At::Leased { .. });
                self.seen.past_ttl |=
                    millis > 60_000 && self.model.tasks.iter().any(|task| live(&task.at));
                self.now += millis;
                self.seen.past_backoff |= self
                    .model
                    .tasks
                    .iter()
                    .any(|task| matches!(task.at, At::BackedOff(at) if at <= self.now));
            }
            Step::Restart { restore } => {
                self.seen.restart = true;
                self.seen.restore |= restore;
                self.now += 1 + self.dice.below(500) as Millis;
                let epoch = self.model.epoch + u64::from(restore);
                self.machine = Leases::load(self.table.saved(epoch), LIMITS, self.now);
                self.model.restart(epoch, self.now);
            }
        }
        self.compare()
    }

    fn command(&mut self, command: Command) -> Result<(), String> {
        self.seen.commands += 1;
        if let Command::Offer { rows } = &command {
            for row in rows {
                self.table.rows.insert(row.task, row.clone());
            }
        }
        if let Command::Lease { queues, .. } = &command {
            self.fill(queues)?;
        }
        if self.strict || self.dice.one_in(16) {
            self.seen.rollback = true;
            let before = self.strict.then(|| self.machine.state.snapshot());
            let mark = self.machine.mark();
            let trial = if self.dice.one_in(2) {
                command.clone()
            } else {
                self.idle()
            };
            let _ = self.machine.apply(trial, self.now + 70_000);
            self.machine.rollback_to(mark);
            if before.is_some_and(|before| before != self.machine.state.snapshot()) {
                return Err("a rollback left something behind".to_owned());
            }
        }
        let outcome = self.machine.apply(command.clone(), self.now);
        for effect in outcome.effects {
            self.table.apply(effect)?;
        }
        let expected = self.model.apply(&command, self.now);
        if outcome.reply != expected {
            return Err(format!(
                "replied {:?} where {expected:?} is right",
                outcome.reply
            ));
        }
        self.learn(&command, &outcome.reply);
        if self.dice.one_in(3) {
            self.machine.settle();
        }
        Ok(())
    }

    /// Refills as `task.rs` does before it leases.
    fn fill(&mut self, queues: &[QueueId]) -> Result<(), String> {
        for &queue in queues {
            for _ in 0..100 {
                let Some(wanted) = self.machine.wants(queue) else {
                    break;
                };
                self.seen.refill = true;
                let (rows, exhausted) = self.table.read(queue, wanted);
                let refill = Command::Refill {
                    queue,
                    rows,
                    exhausted,
                };
                let outcome = self.machine.apply(refill, self.now);
                if !outcome.effects.is_empty() {
                    return Err("a refill changed rows".to_owned());
                }
            }
            if self.machine.wants(queue).is_some() {
                return Err(format!("queue {queue} wants a refill for ever"));
            }
        }
        Ok(())
    }

    /// A harmless command to be taken back.
    fn idle(&mut self) -> Command {
        match self.invent() {
            Step::Apply(command) => command,
            _ => Command::Tick { limit: 100 },
        }
    }

    fn compare(&self) -> Result<(), String> {
        let mut live: BTreeSet<Token> = BTreeSet::new();
        let mut rows = 0;
        for task in &self.model.tasks {
            let id = task.id;
            match (task.row(), self.table.rows.get(&id)) {
                (None, None) => {}
                (Some((right, why)), Some(row)) => {
                    rows += 1;
                    if right != *row {
                        return Err(format!("row {row:?} where {right:?} is right"));
                    }
                    if why != self.table.reasons.get(&id).map(String::as_str) && why.is_some() {
                        return Err(format!("task {id} does not keep its reason {why:?}"));
                    }
                }
                (right, row) => return Err(format!("row {row:?} where {right:?} is right")),
            }
            if let At::Leased { token, .. } = task.at
                && !live.insert(token)
            {
                return Err(format!("two leases share {token:?}"));
            }
            if let At::Done(token) = task.at
                && self.table.results.get(&id) != Some(&token)
            {
                return Err(format!("task {id} is done without its result"));
            }
            self.machine
                .state
                .compare(task)
                .map_err(|why| format!("task {id}: {why}"))?;
        }
        if rows != self.table.rows.len() {
            return Err("rows appeared from nowhere".to_owned());
        }
        self.compare_rest()
    }

    fn compare_rest(&self) -> Result<(), String> {
        for &queue in &self.queues {
            let (mut counts, right) = (self.machine.counts(queue), self.model.counts(queue));
            counts.window = 0;
            if counts != right {
                return Err(format!(
                    "queue {queue} counts {counts:?} where {right:?} is right"
                ));
            }
        }
        for node in &self.model.nodes {
            let id = node.row.node;
            if self.machine.node(id).as_ref() != Some(&node.row) {
                return Err(format!(
                    "node {:?} where {:?} is right",
                    self.machine.node(id),
                    node
                ));
            }
            if self.table.nodes.get(&id) != Some(&node.row) {
                return Err(format!(
                    "node row {:?} where {node:?} is right",
                    self.table.nodes
                ));
            }
        }
        if self.table.nodes.len() != self.model.nodes.len() {
            return Err("a node was not forgotten".to_owned());
        }
        if self.machine.next_due() != self.model.next_due() {
            return Err(format!(
                "next due at {:?} where {:?} is right",
                self.machine.next_due(),
                self.model.next_due()
            ));
        }
        if self.machine.stale() != self.model.stale {
            return Err("stale words are miscounted".to_owned());
        }
        Ok(())
    }

    /// What the actors know from the reply, and what the history has now seen.
    fn learn(&mut self, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Lease { holder, .. }, Reply::Leased(grants)) => {
                for grant in grants {
                    let claim = Claim {
                        task: grant.task,
                        token: grant.token,
                    };
                    self.grants.push((*holder, claim));
                    self.seen.suspect |= grant.alone;
                    let actor = &mut self.actors[holder.node as usize - 1];
                    if actor.holder == *holder {
                        actor.claims.push(claim);
                    }
                }
            }
            (Command::Complete { holder, claim, .. } | Command::Fail { holder, claim, .. }, _) => {
                self.actors[holder.node as usize - 1]
                    .claims
                    .retain(|held| held != claim);
                let stale = [
                    Reply::Completed(Completion::Stale),
                    Reply::Failed(Verdict::Stale),
                ];
                self.seen.stale |= stale.contains(reply);
                self.seen.repeated |= *reply == Reply::Completed(Completion::Repeated);
            }
            (Command::Release { holder, claims }, Reply::Claims(_)) => {
                let actor = &mut self.actors[holder.node as usize - 1];
                actor.claims.retain(|held| !claims.contains(held));
            }
            (Command::Renew { .. }, Reply::Claims(answers)) => {
                self.seen.freeze |= answers.contains(&Renewal::Lost) && self.thawed(command);
            }
            (Command::Register { holder, .. }, Reply::Done) => {
                self.seen.incarnation |= self.actors[holder.node as usize - 1].past.len() > 0;
            }
            (Command::Tick { .. }, _) => {
                self.seen.unparked |= !self.model.online.is_empty();
            }
            _ => {}
        }
        self.seen.poison |= self.model.tasks.iter().any(|task| task.crashes == 2);
    }

    fn thawed(&self, command: &Command) -> bool {
        let Command::Renew { holder, .. } = command else {
            return false;
        };
        self.actors[holder.node as usize - 1].holder == *holder
    }
}

// --- inventing what happens next ---
impl World {
    fn invent(&mut self) -> Step {
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
            57..60 => return self.reincarnate(at),
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
            _ => return self.spree(at),
        })
    }

    fn offer(&mut self, n: usize) -> Command {
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

    fn register(&mut self, at: usize) -> Command {
        let holder = self.actors[at].holder;
        let mut queues = self.dice.some(&self.queues.clone());
        if queues.is_empty() || self.dice.one_in(2) {
            queues = self.queues.clone();
        }
        Command::Register { holder, queues }
    }

    fn lease(&mut self, at: usize) -> Command {
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
    fn who(&mut self, at: usize) -> Holder {
        let past = self.actors[at].past.clone();
        match self.dice.one_in(12) {
            true => self.dice.pick(&past).unwrap_or(self.actors[at].holder),
            false => self.actors[at].holder,
        }
    }

    fn running(&mut self, at: usize) -> Command {
        let claims = self.dice.some(&self.actors[at].claims.clone());
        Command::MarkRunning {
            holder: self.who(at),
            claims,
        }
    }

    fn renew(&mut self, at: usize) -> Command {
        let claims = self.dice.some(&self.actors[at].claims.clone());
        Command::Renew {
            holder: self.who(at),
            claims,
        }
    }

    fn release(&mut self, at: usize) -> Command {
        let claims = self.dice.some(&self.actors[at].claims.clone());
        Command::Release {
            holder: self.who(at),
            claims,
        }
    }

    fn crash(&mut self, at: usize) -> Command {
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

    fn finish(&mut self, at: usize) -> Command {
        let claims = self.actors[at].claims.clone();
        let Some(claim) = self.dice.pick(&claims) else {
            return self.lease(at);
        };
        if self.actors[at].broken {
            return self.fail(at);
        }
        self.completion(self.actors[at].holder, claim)
    }

    fn completion(&self, holder: Holder, claim: Claim) -> Command {
        let recorded = self.table.results.get(&claim.task).copied();
        Command::Complete {
            holder,
            claim,
            recorded,
        }
    }

    fn fail(&mut self, at: usize) -> Command {
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

    fn cause(&mut self, at: usize) -> Cause {
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
    fn late_word(&mut self) -> Command {
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
    fn repeat(&mut self) -> Command {
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
    fn reincarnate(&mut self, at: usize) -> Step {
        if self.dice.one_in(3) {
            let claims = self.actors[at].claims.clone();
            let holder = self.actors[at].holder;
            self.script
                .push_back(Step::Apply(Command::MarkRunning { holder, claims }));
        }
        if self.dice.one_in(3) {
            self.script.push_back(Step::Wait(61_000));
            self.script
                .push_back(Step::Apply(Command::Tick { limit: 1000 }));
        }
        self.next_incarnation += 1;
        let actor = &mut self.actors[at];
        actor.past.push(actor.holder);
        actor.holder.incarnation = self.next_incarnation;
        actor.claims.clear();
        let register = self.register(at);
        self.script.push_back(Step::Apply(register));
        self.script
            .pop_front()
            .expect("a registration was just pushed")
    }

    fn wait(&mut self) -> Step {
        let some = self.dice.below(5_000) as Millis;
        let millis = [some / 5, some, 20_000, 61_000][self.dice.below(4)];
        self.script
            .push_back(Step::Apply(Command::Tick { limit: 1000 }));
        Step::Wait(millis)
    }

    /// A node falls silent until its leases have run out, then goes on as if nothing had happened.
    fn freeze(&mut self, at: usize) -> Step {
        let (holder, claims) = (self.actors[at].holder, self.actors[at].claims.clone());
        let mark = Command::MarkRunning {
            holder,
            claims: self.dice.some(&claims),
        };
        self.script
            .push_back(Step::Wait(61_000 + self.dice.below(60_000) as Millis));
        self.script
            .push_back(Step::Apply(Command::Tick { limit: 1000 }));
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
    fn others(&mut self) -> Step {
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

    fn restart(&mut self) -> Step {
        if self.dice.one_in(3) {
            self.script
                .push_back(Step::Apply(Command::Tick { limit: 1000 }));
        }
        Step::Restart {
            restore: self.dice.one_in(3),
        }
    }

    fn retry(&mut self) -> Command {
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

    fn cancel(&mut self) -> Command {
        let rows: Vec<&Row> = self.table.rows.values().collect();
        match self.dice.pick(&rows) {
            Some(row) => Command::Cancel { row: row.clone() },
            None => Command::Tick { limit: 3 },
        }
    }

    fn pause(&mut self) -> Command {
        let paused = self.dice.one_in(3);
        if self.dice.one_in(2) {
            let queue = self.queues[self.dice.below(self.queues.len())];
            return Command::PauseQueue { queue, paused };
        }
        let node = 1 + self.dice.below(self.actors.len()) as NodeId;
        Command::PauseNode { node, paused }
    }

    /// Much at once: a node leases and fails or finishes all it gets, twice over.
    fn spree(&mut self, at: usize) -> Step {
        let holder = self.actors[at].holder;
        let lease = Command::Lease {
            holder,
            queues: self.queues.clone(),
            max: 6,
        };
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
