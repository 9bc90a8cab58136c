//! The reference: the rules of leasing said as plainly as possible, with vectors and linear scans.
//!
//! It knows nothing of windows, indexes, effects or undo, and shares no code with the machine but
//! the words of its interface.

mod ends;
mod nodes;

use crate::lease::{
    Claim, Command, Counts, Grant, Holder, Limits, Millis, NodeId, NodeRow, QueueId, Ran, Refusal,
    Renewal, Reply, Row, RowState, TaskId, Token, WatcherId,
};

#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) queue: QueueId,
    pub(super) priority: u8,
    pub(super) attempts: u8,
    pub(super) crashes: u8,
    pub(super) alone: bool,
    pub(super) at: At,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum At {
    Ready(Option<Ran>),
    BackedOff(Millis),
    Leased {
        holder: Holder,
        token: Token,
        deadline: Millis,
        running: bool,
    },
    Parked {
        holders: Vec<WatcherId>,
        look: Option<Millis>,
    },
    Failed(String),
    Done(Token),
    Cancelled,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) row: NodeRow,
    pub(super) failures: u32,
    failed_in: Vec<QueueId>,
    peer: bool,
    charges: Vec<(TaskId, u8)>,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) tasks: Vec<Task>,
    pub(super) nodes: Vec<Node>,
    pub(super) paused: Vec<QueueId>,
    pub(super) online: Vec<WatcherId>,
    pub(super) epoch: u64,
    pub(super) counter: u64,
    pub(super) stale: u64,
    pub(super) stops: u32,
    limits: Limits,
}

impl Model {
    pub(super) fn new(epoch: u64, limits: Limits) -> Self {
        Self {
            tasks: Vec::new(),
            nodes: Vec::new(),
            paused: Vec::new(),
            online: Vec::new(),
            epoch,
            counter: 0,
            stale: 0,
            stops: 0,
            limits,
        }
    }

    pub(super) fn apply(&mut self, command: &Command, now: Millis) -> Reply {
        match command {
            Command::Register { holder, queues } => self.register(*holder, queues),
            Command::Lease {
                holder,
                queues,
                max,
            } => self.lease(*holder, queues, *max, now),
            Command::MarkRunning { holder, claims } => self.mark_running(*holder, claims),
            Command::Renew { holder, claims } => self.on_claims(*holder, claims, |task| {
                if let At::Leased { deadline, .. } = &mut task.at {
                    *deadline = now + 60_000;
                }
            }),
            Command::Release { holder, claims } => self.on_claims(*holder, claims, |task| {
                task.attempts -= 1;
                task.at = At::Ready(None);
            }),
            Command::Complete {
                holder,
                claim,
                recorded,
            } => self.complete(*holder, *claim, *recorded),
            Command::Fail {
                holder,
                claim,
                cause,
            } => self.fail(*holder, *claim, cause, now),
            Command::CrashReport { holder, claims } => self.crash_report(*holder, claims),
            Command::Tick { limit } => self.tick(*limit, now),
            Command::SourceOnline { watcher } => self.online(*watcher, now),
            Command::SourceOffline { watcher } => {
                self.online.retain(|online| online != watcher);
                Reply::Done
            }
            Command::SourceFound { task } => {
                let task = self.find(*task);
                if matches!(task.at, At::Parked { .. }) {
                    task.at = At::Ready(None);
                }
                Reply::Done
            }
            Command::Offer { rows } => {
                for row in rows {
                    self.tasks.push(Task {
                        id: row.task,
                        queue: row.queue,
                        priority: row.priority,
                        attempts: 0,
                        crashes: 0,
                        alone: false,
                        at: At::Ready(None),
                    });
                }
                Reply::Done
            }
            Command::Refill { .. } => Reply::Done,
            Command::Retry { row } => {
                let task = self.find(row.task);
                if !matches!(task.at, At::Failed(_)) {
                    return Reply::Found(false);
                }
                task.at = At::Ready(None);
                task.attempts = 0;
                task.crashes = 0;
                self.uncharge(row.task, None);
                Reply::Found(true)
            }
            Command::Cancel { row } => {
                self.find(row.task).at = At::Cancelled;
                self.uncharge(row.task, None);
                Reply::Found(true)
            }
            Command::PauseQueue { queue, paused } => {
                self.paused.retain(|other| other != queue);
                if *paused {
                    self.paused.push(*queue);
                }
                Reply::Done
            }
            Command::PauseNode { node, paused } => {
                let Some(node) = self.nodes.iter_mut().find(|known| known.row.node == *node) else {
                    return Reply::Refused(Refusal::Unregistered);
                };
                node.row.paused = *paused;
                if !*paused && node.row.stopped {
                    node.row.stopped = false;
                    node.fresh_streak();
                }
                Reply::Done
            }
            Command::ForgetNode { node } => self.forget(*node),
        }
    }

    /// The process is gone and so is its memory; `epoch` changes at a restore.
    pub(super) fn restart(&mut self, epoch: u64, now: Millis) {
        self.epoch = epoch;
        self.stale = 0;
        self.online.clear();
        for node in &mut self.nodes {
            node.fresh_streak();
        }
        for task in &mut self.tasks {
            match &mut task.at {
                At::BackedOff(_) => task.at = At::Ready(None),
                At::Leased { deadline, .. } => *deadline = now + 60_000,
                At::Parked { holders, look } => {
                    *look = if holders.is_empty() {
                        Some(now + 60_000)
                    } else {
                        None
                    };
                }
                _ => {}
            }
        }
    }

    pub(super) fn find(&mut self, id: TaskId) -> &mut Task {
        self.tasks
            .iter_mut()
            .find(|task| task.id == id)
            .expect("histories name real tasks")
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.row.node == id)
    }

    pub(super) fn counts(&self, queue: QueueId) -> Counts {
        let mut counts = Counts::default();
        for task in self.tasks.iter().filter(|task| task.queue == queue) {
            match task.at {
                At::Ready(_) if !self.paused.contains(&queue) => counts.leasable += 1,
                At::BackedOff(_) => counts.backed_off += 1,
                At::Leased { .. } => counts.leased += 1,
                At::Parked { .. } => counts.parked += 1,
                _ => {}
            }
        }
        counts
    }

    pub(super) fn next_due(&self) -> Option<Millis> {
        self.tasks.iter().filter_map(Task::timer).min()
    }

    fn check(&self, holder: Holder) -> Result<(), Refusal> {
        let node = self.node(holder.node).ok_or(Refusal::Unregistered)?;
        if node.row.retired.contains(&holder.incarnation) {
            return Err(Refusal::StaleIncarnation);
        }
        if node.row.incarnation != holder.incarnation {
            return Err(Refusal::Unregistered);
        }
        Ok(())
    }

    /// Any word of a living process shows that silence was not a crash.
    fn hear(&mut self, holder: Holder) -> Result<(), Refusal> {
        self.check(holder)?;
        for task in &mut self.tasks {
            if let At::Ready(Some(ran)) = &task.at
                && ran.holder == holder
            {
                task.at = At::Ready(None);
            }
        }
        Ok(())
    }

    fn lease(&mut self, holder: Holder, queues: &[QueueId], max: usize, now: Millis) -> Reply {
        if let Err(refusal) = self.hear(holder) {
            return Reply::Refused(refusal);
        }
        let row = self
            .node(holder.node)
            .expect("it was just heard")
            .row
            .clone();
        if row.stopped {
            return Reply::Refused(Refusal::Stopped);
        }
        if row.paused {
            return Reply::Refused(Refusal::Paused);
        }
        let mut grants = Vec::new();
        loop {
            let mine =
                |task: &&Task| matches!(&task.at, At::Leased { holder: by, .. } if *by == holder);
            let held = self.tasks.iter().filter(mine).count();
            let busy = self.tasks.iter().filter(mine).any(|task| task.alone);
            if busy || held >= self.limits.held || grants.len() >= max.min(self.limits.grant) {
                break;
            }
            let best = self
                .tasks
                .iter()
                .filter(|task| {
                    matches!(task.at, At::Ready(_))
                        && queues.contains(&task.queue)
                        && row.queues.contains(&task.queue)
                        && !self.paused.contains(&task.queue)
                        && self.counts(task.queue).backed_off < self.limits.later as u64
                })
                .min_by_key(|task| (task.priority, task.id))
                .map(|task| task.id);
            let Some(id) = best else { break };
            if self.find(id).alone && !grants.is_empty() {
                break;
            }
            self.counter += 1;
            let token = Token {
                epoch: self.epoch,
                counter: self.counter,
            };
            let task = self.find(id);
            task.attempts += 1;
            task.at = At::Leased {
                holder,
                token,
                deadline: now + 60_000,
                running: false,
            };
            grants.push(Grant {
                task: id,
                queue: task.queue,
                token,
                attempt: task.attempts,
                alone: task.alone,
            });
        }
        Reply::Leased(grants)
    }

    fn holds(&mut self, holder: Holder, claim: Claim) -> bool {
        matches!(&self.find(claim.task).at,
            At::Leased { holder: by, token, .. } if *by == holder && *token == claim.token)
    }

    fn on_claims(&mut self, holder: Holder, claims: &[Claim], act: impl Fn(&mut Task)) -> Reply {
        if let Err(refusal) = self.hear(holder) {
            return Reply::Refused(refusal);
        }
        let mut answers = Vec::new();
        for claim in claims {
            if self.holds(holder, *claim) {
                act(self.find(claim.task));
                answers.push(Renewal::Extended);
            } else {
                answers.push(Renewal::Lost);
            }
        }
        Reply::Claims(answers)
    }

    fn mark_running(&mut self, holder: Holder, claims: &[Claim]) -> Reply {
        if self.check(holder).is_ok() {
            for task in &mut self.tasks {
                if let At::Leased {
                    holder: by,
                    running,
                    ..
                } = &mut task.at
                    && *by == holder
                {
                    *running = false;
                }
            }
        }
        self.on_claims(holder, claims, |task| {
            if let At::Leased { running, .. } = &mut task.at {
                *running = true;
            }
        })
    }

    /// Strikes a task from every streak but that of `keep`.
    fn uncharge(&mut self, id: TaskId, keep: Option<NodeId>) {
        for node in &mut self.nodes {
            if Some(node.row.node) != keep {
                node.charges.retain(|(task, _)| *task != id);
            }
        }
    }
}

impl Task {
    fn timer(&self) -> Option<Millis> {
        match &self.at {
            At::BackedOff(at) => Some(*at),
            At::Leased { deadline, .. } => Some(*deadline),
            At::Parked { look, .. } => *look,
            _ => None,
        }
    }

    fn interrupt(&mut self) {
        if let At::Leased {
            holder,
            token,
            running,
            ..
        } = self.at
        {
            self.attempts -= 1;
            self.at = At::Ready(running.then_some(Ran { holder, token }));
        }
    }

    /// The row that the database should hold, with the reason of a failed one.
    pub(super) fn row(&self) -> Option<(Row, Option<&str>)> {
        let mut why = None;
        let state = match &self.at {
            At::Ready(ran) => RowState::Queued { ran: *ran },
            At::BackedOff(_) => RowState::Queued { ran: None },
            At::Leased {
                holder,
                token,
                running,
                ..
            } => RowState::Leased {
                holder: *holder,
                token: *token,
                running: *running,
            },
            At::Parked { holders, .. } => RowState::Parked {
                holders: holders.clone(),
            },
            At::Failed(reason) => {
                why = Some(reason.as_str());
                RowState::Failed
            }
            At::Done(_) | At::Cancelled => return None,
        };
        let row = Row {
            task: self.id,
            queue: self.queue,
            priority: self.priority,
            attempts: self.attempts,
            crashes: self.crashes,
            alone: self.alone,
            state,
        };
        Some((row, why))
    }
}
