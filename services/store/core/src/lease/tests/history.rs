//! Random histories: a small world of nodes that crash, freeze, repeat themselves and come late.
//!
//! One seed is one history. After every command the machine's reply, the rows that its effects
//! made and all that can be seen of its state are compared with the reference model.

use std::collections::{BTreeSet, VecDeque};

use super::dice::Dice;
use super::model::{At, Model};
use super::table::Table;
use crate::lease::{
    Claim, Command, Completion, Holder, Leases, Limits, Millis, NodeId, Notice, QueueId, Renewal,
    Reply, TaskId, Token, Verdict,
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

/// A node as the world sees it.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    pub(super) holder: Holder,
    pub(super) past: Vec<Holder>,
    /// What it believes to hold, whether or not it still does.
    pub(super) claims: Vec<Claim>,
    pub(super) frozen: bool,
    /// It fails whatever it is given.
    pub(super) broken: bool,
}

/// A step of a history: a command, or something that happens to the world.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Apply(Command),
    Wait(Millis),
    Restart {
        restore: bool,
    },
    /// Decided when its turn comes, for the given actor.
    Soon(fn(&mut World, usize) -> Step, usize),
}

pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) machine: Leases,
    pub(super) model: Model,
    pub(super) table: Table,
    pub(super) now: Millis,
    pub(super) actors: Vec<Actor>,
    pub(super) queues: Vec<QueueId>,
    /// Every grant ever, with its holder: what stale and repeated words are made of.
    pub(super) grants: Vec<(Holder, Claim)>,
    pub(super) next_task: TaskId,
    pub(super) next_incarnation: u64,
    pub(super) script: VecDeque<Step>,
    /// What frozen nodes held when they fell silent.
    pub(super) silent: Vec<Claim>,
    pub(super) seen: Seen,
    pub(super) log: Option<Vec<String>>,
    pub(super) strict: bool,
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
            silent: Vec::new(),
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
        // Most histories are short, some long: 20 to 200 commands.
        let (a, b) = (self.dice.below(181), self.dice.below(181));
        let length = 20 + a * b / 180;
        while self.seen.commands < length as u64 {
            let step = match self.script.pop_front() {
                Some(Step::Soon(decide, at)) => decide(&mut self, at),
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
            Step::Apply(command) => self.command(&command)?,
            Step::Soon(decide, at) => {
                let step = decide(self, at);
                self.script.push_front(step);
            }
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

    fn command(&mut self, command: &Command) -> Result<(), String> {
        self.seen.commands += 1;
        if let Command::Offer { rows } = command {
            for row in rows {
                self.table.rows.insert(row.task, row.clone());
            }
        }
        if let Command::Lease { queues, .. } = command {
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
        let (parked, ready) = (self.parked(), self.ready());
        let expected = self.model.apply(command, self.now);
        self.seen.unparked |= matches!(command, Command::Tick { .. }) && self.parked() < parked;
        if outcome.reply != expected {
            return Err(format!(
                "replied {:?} where {expected:?} is right",
                outcome.reply
            ));
        }
        for (queue, task) in self.ready().difference(&ready) {
            if !outcome.notices.contains(&Notice::Wake(*queue)) {
                return Err(format!(
                    "nobody hears that task {task} of queue {queue} is ready"
                ));
            }
        }
        self.learn(command, &outcome.reply);
        if self.dice.one_in(3) {
            self.machine.settle();
        }
        Ok(())
    }

    /// What could be leased, were there a node.
    fn ready(&self) -> BTreeSet<(QueueId, TaskId)> {
        let tasks = self.model.tasks.iter();
        tasks
            .filter(|task| {
                matches!(task.at, At::Ready(_)) && !self.model.paused.contains(&task.queue)
            })
            .map(|task| (task.queue, task.id))
            .collect()
    }

    fn parked(&self) -> usize {
        self.model
            .tasks
            .iter()
            .filter(|task| matches!(task.at, At::Parked { .. }))
            .count()
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
                let stale = *reply == Reply::Completed(Completion::Stale)
                    || *reply == Reply::Failed(Verdict::Stale);
                self.seen.stale |= stale;
                self.seen.freeze |= stale && self.silent.contains(claim);
                self.seen.repeated |= *reply == Reply::Completed(Completion::Repeated);
            }
            (Command::Release { holder, claims }, Reply::Claims(_)) => {
                let actor = &mut self.actors[holder.node as usize - 1];
                actor.claims.retain(|held| !claims.contains(held));
            }
            (Command::Renew { claims, .. }, Reply::Claims(answers)) => {
                self.seen.freeze |= claims
                    .iter()
                    .zip(answers)
                    .any(|(claim, answer)| *answer == Renewal::Lost && self.silent.contains(claim));
            }
            (Command::Register { holder, .. }, Reply::Done) => {
                self.seen.incarnation |= !self.actors[holder.node as usize - 1].past.is_empty();
            }
            _ => {}
        }
        self.seen.poison |= self.model.tasks.iter().any(|task| task.crashes == 2);
    }
}
