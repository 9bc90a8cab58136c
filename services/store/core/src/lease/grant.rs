//! Giving leases out, keeping them alive, taking them back undone.

use std::collections::BTreeSet;

use super::TTL;
use super::command::{Claim, Grant, Refusal, Renewal, Reply};
use super::effect::{Effect, Outcome};
use super::planted::{Bug, planted};
use super::row::{Holder, Millis, QueueId, Ran, TaskId};
use super::state::{Key, Lease, Place, State, Task};

impl State {
    pub(super) fn lease(
        &mut self,
        holder: Holder,
        queues: &[QueueId],
        max: usize,
        now: Millis,
        out: &mut Outcome,
    ) -> Reply {
        if let Err(refusal) = self.admit(holder, out) {
            return Reply::Refused(refusal);
        }
        let served = match self.node(holder.node) {
            Some(node) if node.stopped => return Reply::Refused(Refusal::Stopped),
            Some(node) if node.paused => return Reply::Refused(Refusal::Paused),
            Some(node) => &node.queues,
            None => return Reply::Refused(Refusal::Unregistered),
        };
        let asked: Vec<QueueId> = queues
            .iter()
            .copied()
            .filter(|queue| served.contains(queue))
            .collect();
        let room = self.limits.held.saturating_sub(self.held_by(holder.node));
        let max = max.min(self.limits.grant).min(room);
        let mut grants: Vec<Grant> = Vec::new();
        if self.holds_alone(holder.node) {
            return Reply::Leased(grants);
        }
        while grants.len() < max {
            let Some((queue, (_, id))) = self.next_ready(&asked) else {
                break;
            };
            let Some(task) = self.task(id).cloned() else {
                break;
            };
            let alone = task.alone;
            if alone && !grants.is_empty() && !planted(Bug::SuspectInBatch) {
                break;
            }
            grants.push(self.grant(id, task, queue, holder, now, out));
            if alone && !planted(Bug::SuspectInBatch) {
                break;
            }
        }
        if !grants.is_empty() && !planted(Bug::CounterNotDurable) {
            out.effects.push(Effect::Counter(self.counter()));
        }
        Reply::Leased(grants)
    }

    /// The first task in (priority, age) order over all the queues that give out now.
    fn next_ready(&self, queues: &[QueueId]) -> Option<(QueueId, Key)> {
        let open = queues.iter().filter(|&&queue| {
            let brake = u64::try_from(self.limits.later).unwrap_or(u64::MAX);
            !self.queue(queue).paused && self.counts(queue).backed_off < brake
        });
        open.filter_map(|&queue| self.ready(queue).next().map(|key| (queue, key)))
            .min_by_key(|&(_, key)| key)
    }

    fn grant(
        &mut self,
        id: TaskId,
        mut task: Task,
        queue: QueueId,
        holder: Holder,
        now: Millis,
        out: &mut Outcome,
    ) -> Grant {
        let token = self.next_token();
        task.attempts = task.attempts.saturating_add(1);
        task.place = Place::Leased(Lease {
            token,
            holder,
            deadline: now.saturating_add(TTL),
            running: false,
        });
        let (attempts, alone) = (task.attempts, task.alone);
        self.put(id, Some(task));
        out.effects.push(Effect::Granted {
            task: id,
            token,
            holder,
            attempts,
            alone,
        });
        Grant {
            task: id,
            queue,
            token,
            attempt: attempts,
            alone,
        }
    }

    pub(super) fn renew(
        &mut self,
        holder: Holder,
        claims: &[Claim],
        now: Millis,
        out: &mut Outcome,
    ) -> Reply {
        self.each(holder, claims, out, |state, id, mut task, mut lease, _| {
            lease.deadline = now.saturating_add(TTL);
            task.place = Place::Leased(lease);
            state.put(id, Some(task));
        })
    }

    pub(super) fn mark_running(
        &mut self,
        holder: Holder,
        claims: &[Claim],
        out: &mut Outcome,
    ) -> Reply {
        let good = |claim: &&Claim| self.claimed(holder, **claim).is_some();
        let listed: BTreeSet<TaskId> = claims.iter().filter(good).map(|claim| claim.task).collect();
        let reply = self.each(holder, claims, out, |state, id, task, lease, out| {
            state.set_running(id, task, lease, true, out);
        });
        if matches!(reply, Reply::Refused(_)) {
            return reply;
        }
        for id in self.leases_of(holder.node) {
            if listed.contains(&id) {
                continue;
            }
            if let Some((task, lease)) = self.leased(id) {
                self.set_running(id, task, lease, false, out);
            }
        }
        reply
    }

    fn set_running(
        &mut self,
        id: TaskId,
        mut task: Task,
        mut lease: Lease,
        running: bool,
        out: &mut Outcome,
    ) {
        if lease.running == running {
            return;
        }
        lease.running = running;
        task.place = Place::Leased(lease);
        self.put(id, Some(task));
        if !planted(Bug::RunningNotDurable) {
            out.effects.push(Effect::Running { task: id, running });
        }
    }

    pub(super) fn release(&mut self, holder: Holder, claims: &[Claim], out: &mut Outcome) -> Reply {
        self.each(holder, claims, out, |state, id, mut task, _, out| {
            if !planted(Bug::RefundForgotten) {
                task.attempts = task.attempts.saturating_sub(1);
            }
            state.enqueue(id, task, Place::Ready { ran: None }, None, out);
        })
    }

    /// Acts on each claim that is good; says which were.
    fn each(
        &mut self,
        holder: Holder,
        claims: &[Claim],
        out: &mut Outcome,
        act: impl Fn(&mut Self, TaskId, Task, Lease, &mut Outcome),
    ) -> Reply {
        if let Err(refusal) = self.admit(holder, out) {
            return Reply::Refused(refusal);
        }
        let mut renewals = Vec::with_capacity(claims.len());
        for &claim in claims {
            renewals.push(match self.claimed(holder, claim) {
                Some((task, lease)) => {
                    act(self, claim.task, task, lease, out);
                    Renewal::Extended
                }
                None => Renewal::Lost,
            });
        }
        Reply::Claims(renewals)
    }

    pub(super) fn leased(&self, id: TaskId) -> Option<(Task, Lease)> {
        let task = self.task(id)?;
        match &task.place {
            Place::Leased(lease) => Some((task.clone(), lease.clone())),
            _ => None,
        }
    }

    /// Takes a lease away through nobody's fault: refunds it, and remembers who was running it.
    pub(super) fn interrupt(&mut self, id: TaskId, out: &mut Outcome) {
        let Some((mut task, lease)) = self.leased(id) else {
            return;
        };
        if lease.running && planted(Bug::SilenceIsCrash) {
            return self.suspect(id, task, out);
        }
        task.attempts = task.attempts.saturating_sub(1);
        let ran = lease.running.then_some(Ran {
            holder: lease.holder,
            token: lease.token,
        });
        self.enqueue(id, task, Place::Ready { ran }, None, out);
    }

    /// Puts a task back to the queued ones, on disk too.
    pub(super) fn enqueue(
        &mut self,
        id: TaskId,
        mut task: Task,
        place: Place,
        reason: Option<String>,
        out: &mut Outcome,
    ) {
        let ran = match place {
            Place::Ready { ran } => {
                out.wake(task.queue);
                ran
            }
            _ => None,
        };
        out.effects.push(Effect::Queued {
            task: id,
            attempts: task.attempts,
            crashes: task.crashes,
            alone: task.alone,
            ran,
            reason,
        });
        task.place = place;
        self.put(id, Some(task));
    }
}
