//! The reference's rules about how leases and waiting end.

use super::{At, Model};
use crate::lease::{
    Cause, Claim, Completion, Holder, Millis, Reply, TaskId, Token, Verdict, WatcherId,
};

impl Model {
    pub(super) fn complete(
        &mut self,
        holder: Holder,
        claim: Claim,
        recorded: Option<Token>,
    ) -> Reply {
        let _ = self.hear(holder);
        if !self.holds(holder, claim) {
            if recorded == Some(claim.token) {
                return Reply::Completed(Completion::Repeated);
            }
            self.stale += 1;
            return Reply::Completed(Completion::Stale);
        }
        let task = self.find(claim.task);
        task.at = At::Done(claim.token);
        let queue = task.queue;
        self.uncharge(claim.task, None);
        for at in 0..self.nodes.len() {
            if self.nodes[at].row.node == holder.node {
                self.nodes[at].fresh_streak();
            } else if self.nodes[at].failed_in.contains(&queue) {
                self.nodes[at].peer = true;
                self.maybe_stop(at);
            }
        }
        Reply::Completed(Completion::Accepted)
    }

    pub(super) fn fail(
        &mut self,
        holder: Holder,
        claim: Claim,
        cause: &Cause,
        now: Millis,
    ) -> Reply {
        let _ = self.hear(holder);
        if !self.holds(holder, claim) {
            self.stale += 1;
            return Reply::Failed(Verdict::Stale);
        }
        let online = self.online.clone();
        let task = self.find(claim.task);
        let queue = task.queue;
        let verdict = match cause {
            Cause::SourceUnavailable { holders } => {
                let mut holders = holders.clone();
                holders.sort_unstable();
                holders.dedup();
                let some = holders.is_empty() || holders.iter().any(|one| online.contains(one));
                task.attempts -= 1;
                task.at = At::Parked {
                    holders,
                    look: some.then_some(now + 60_000),
                };
                return Reply::Failed(Verdict::Parked);
            }
            Cause::Transient(_) if task.attempts < 5 => {
                let wait = [1_000, 8_000, 64_000, 512_000][usize::from(task.attempts) - 1];
                task.at = At::BackedOff(now + wait);
                Verdict::BackedOff
            }
            Cause::Transient(reason) | Cause::Permanent(reason) => {
                task.at = At::Failed(reason.clone());
                self.uncharge(claim.task, Some(holder.node));
                Verdict::Failed
            }
        };
        let at = self
            .nodes
            .iter()
            .position(|node| node.row.node == holder.node)
            .expect("holders are registered");
        let node = &mut self.nodes[at];
        node.failures += 1;
        node.failed_in.push(queue);
        match node.charges.iter_mut().find(|(id, _)| *id == claim.task) {
            Some((_, charged)) => *charged += 1,
            None => node.charges.push((claim.task, 1)),
        }
        Reply::Failed(if self.maybe_stop(at) {
            Verdict::NodeStopped
        } else {
            verdict
        })
    }

    pub(super) fn tick(&mut self, limit: usize, now: Millis) -> Reply {
        let mut due: Vec<(Millis, TaskId)> = self
            .tasks
            .iter()
            .filter_map(|task| task.timer().map(|at| (at, task.id)))
            .filter(|&(at, _)| at <= now)
            .collect();
        due.sort_unstable();
        let more = due.len() > limit;
        for (_, id) in due.into_iter().take(limit) {
            let online = self.online.clone();
            let task = self.find(id);
            match &mut task.at {
                At::Leased { .. } => task.interrupt(),
                At::BackedOff(_) => task.at = At::Ready(None),
                At::Parked { holders, look } => {
                    if holders.is_empty() || holders.iter().any(|one| online.contains(one)) {
                        task.at = At::Ready(None);
                    } else {
                        *look = None;
                    }
                }
                _ => {}
            }
        }
        Reply::Ticked { more }
    }

    pub(super) fn online(&mut self, watcher: WatcherId, now: Millis) -> Reply {
        if self.online.contains(&watcher) {
            return Reply::Done;
        }
        self.online.push(watcher);
        for task in &mut self.tasks {
            if let At::Parked { holders, look } = &mut task.at
                && holders.contains(&watcher)
            {
                *look = Some(now);
            }
        }
        Reply::Done
    }
}
