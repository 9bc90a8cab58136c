//! How a lease ends by word of its holder: done, or failed.

use super::command::{Cause, Claim, Completion, Reply, Verdict};
use super::effect::{Effect, Outcome};
use super::planted::{Bug, planted};
use super::row::{Holder, Millis, NodeId, TaskId, Token, WatcherId};
use super::state::{Place, State, Task};
use super::{ATTEMPTS, BACKOFF_FACTOR, BACKOFF_FIRST, BACKOFF_LAST, PARK};

impl State {
    pub(super) fn complete(
        &mut self,
        holder: Holder,
        claim: Claim,
        recorded: Option<Token>,
        out: &mut Outcome,
    ) -> Reply {
        // The token decides, not the node: a refused process may have finished in time.
        let _ = self.admit(holder, out);
        if let Some((task, _)) = self.claimed(holder, claim) {
            self.wake_full(holder.node, &task, out);
            self.put(claim.task, None);
            self.drop_blame(claim.task);
            out.effects.push(Effect::Done {
                task: claim.task,
                token: claim.token,
            });
            self.succeeded(holder.node, task.queue, out);
            return Reply::Completed(Completion::Accepted);
        }
        if recorded == Some(claim.token) && !planted(Bug::RepeatRejected) {
            return Reply::Completed(Completion::Repeated);
        }
        self.count_stale();
        Reply::Completed(Completion::Stale)
    }

    pub(super) fn fail(
        &mut self,
        holder: Holder,
        claim: Claim,
        cause: Cause,
        now: Millis,
        out: &mut Outcome,
    ) -> Reply {
        let _ = self.admit(holder, out);
        let Some((task, _)) = self.claimed(holder, claim) else {
            self.count_stale();
            return Reply::Failed(Verdict::Stale);
        };
        let (node, queue, id) = (holder.node, task.queue, claim.task);
        self.wake_full(node, &task, out);
        let verdict = match cause {
            Cause::SourceUnavailable { holders } => {
                self.park(id, task, holders, now, out);
                return Reply::Failed(Verdict::Parked);
            }
            Cause::Transient(reason) if task.attempts < ATTEMPTS => {
                self.charge(node, id);
                let at = now.saturating_add(backoff(task.attempts));
                self.enqueue(id, task, Place::Later { at }, Some(reason), out);
                Verdict::BackedOff
            }
            Cause::Transient(reason) | Cause::Permanent(reason) => {
                self.give_up(id, &task, reason, Some(node), out);
                Verdict::Failed
            }
        };
        let stopped = self.failed(node, queue, out);
        Reply::Failed(if stopped {
            Verdict::NodeStopped
        } else {
            verdict
        })
    }

    /// A node that could get nothing, for what it holds, may now: wakes its own waiting requests.
    fn wake_full(&self, node: NodeId, task: &Task, out: &mut Outcome) {
        let full = task.alone || self.held_by(node) >= self.limits.held;
        for &queue in self
            .node(node)
            .filter(|_| full)
            .iter()
            .flat_map(|node| &node.queues)
        {
            out.wake(queue);
        }
    }

    fn park(
        &mut self,
        id: TaskId,
        mut task: Task,
        mut holders: Vec<WatcherId>,
        now: Millis,
        out: &mut Outcome,
    ) {
        holders.sort_unstable();
        holders.dedup();
        task.attempts = task.attempts.saturating_sub(1);
        out.effects.push(Effect::Parked {
            task: id,
            attempts: task.attempts,
            holders: holders.clone(),
        });
        let at = self.reachable(&holders).then(|| now.saturating_add(PARK));
        task.place = Place::Parked {
            holders: holders.into(),
            at,
        };
        self.put(id, Some(task));
    }

    /// Whether looking again makes sense: a holder is believed online, or nobody knows one.
    pub(super) fn reachable(&self, holders: &[WatcherId]) -> bool {
        holders.is_empty() || holders.iter().any(|&watcher| self.is_online(watcher))
    }

    /// Fails a task for good, and remembers it while `by` may yet prove to be the broken one.
    pub(super) fn give_up(
        &mut self,
        id: TaskId,
        task: &Task,
        reason: String,
        by: Option<NodeId>,
        out: &mut Outcome,
    ) {
        out.effects.push(Effect::Failed {
            task: id,
            attempts: task.attempts,
            crashes: task.crashes,
            alone: task.alone,
            reason,
        });
        let remembered = by.filter(|&node| self.charge(node, id));
        self.blame_only(remembered, id);
        self.put(
            id,
            remembered.map(|by| Task {
                place: Place::Failed { by },
                ..task.clone()
            }),
        );
    }
}

/// How long to wait after the failure of this attempt, counted from 1.
pub(super) fn backoff(attempt: u8) -> Millis {
    // Beyond ten steps the longest is reached anyway, and the power still fits.
    let steps = u32::from(attempt.saturating_sub(1)).min(10);
    (BACKOFF_FIRST * BACKOFF_FACTOR.pow(steps)).min(BACKOFF_LAST)
}
