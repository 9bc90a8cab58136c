//! How far it is, what stands in the way, and whether waiting makes sense.

use std::{sync::atomic::Ordering, time::Instant};

use super::{Cluster, Verdict, awaited::Awaited};
use crate::{
    amount,
    error::Error,
    up::supervise::{Kind, Role},
};

/// A service that gave up so often in a row will not come by itself.
const HOPELESS: u32 = 3;

impl Cluster<'_> {
    /// Why a child does not run, in its own words, and where to read more.
    pub(super) fn why(&self, role: Role) -> String {
        let ending = self.endings.get(&role);
        let text = ending.map_or_else(|| "it ended".to_owned(), ToString::to_string);
        let log = self.session.global.data.join("logs").join(role.name());
        let mut text = format!(
            "the {} cannot run: {text}; its log is {}.log",
            role.name(),
            log.display()
        );
        if matches!(role, Role::Node(_) | Role::Registrar(_)) && text.contains("RUNTIME") {
            text.push_str(
                ". `make runtime` in the source folder fetches ONNX Runtime; --runtime PATH names \
                 one that is there",
            );
        }
        text
    }

    /// What stands in the way of the work, in plain words.
    fn trouble(&self) -> Option<String> {
        let role = self.hindered(1)?;
        let work = match role {
            Role::Registrar(kind) | Role::Node(kind) => kind.work(),
            Role::Store | Role::Watcher | Role::Similarity => "looking for look-alikes",
        };
        let again = self.supervisor.starts_again(role);
        let again = again.map(|at| at.saturating_duration_since(Instant::now()).as_secs() + 1);
        let again = again.map_or_else(String::new, |s| format!(" (next try in {s} s)"));
        Some(format!("no {work}: {}{again}", self.why(role)))
    }

    /// Who of those that the work on catalogued files needs gave up so often in a row.
    fn hindered(&self, times: u32) -> Option<Role> {
        let roles = Kind::ALL.into_iter().flat_map(roles);
        let mut roles = roles.chain([Role::Similarity]);
        roles.find(|role| self.supervisor.refusals(*role) >= times)
    }

    /// Whether there is work of this kind, and somebody to do it.
    fn goes_on(&self, kind: Kind) -> bool {
        let mut roles = roles(kind).into_iter();
        let hopeless = roles.any(|role| self.supervisor.refusals(role) >= HOPELESS);
        !hopeless && (self.supervisor.is_needed(kind) || self.view.backfill_left(kind) > 0)
    }

    /// Draws the progress, and finds out whether it is time to go.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        let mark = self.view.mark();
        if mark != self.moved.0 {
            self.moved = (mark, now);
        }
        let awaited = Awaited::first(&self.view, &self.supervisor);
        let idle = awaited.is_none();
        if let Some(followers) = &self.followers {
            // With --until-idle every moment counts; otherwise a quiet cluster is left alone.
            let busy = !idle || self.flags.until_idle;
            followers.busy.store(busy, Ordering::Relaxed);
        }
        if self.supervisor.is_stopping() {
            return;
        }
        let shown = || awaited.as_ref().and_then(Awaited::shown);
        let trouble = self.trouble().or_else(shown);
        let out = &self.session.terminal;
        self.progress.show(&self.view, trouble.as_deref(), now, out);
        if !self.flags.until_idle {
            return;
        }
        let Some(awaited) = awaited else {
            self.done_after = self.started.elapsed();
            self.end(Verdict::Done);
            return;
        };
        if let Some(error) = self.impossible(&awaited, now) {
            self.end(Verdict::Failed(error));
        }
    }

    /// Why waiting for idleness would never end.
    fn impossible(&self, awaited: &Awaited, now: Instant) -> Option<Error> {
        // What is left is left to somebody who does not come.
        if let Some(role) = self.hindered(HOPELESS)
            && self.view.is_catalogued()
            && !Kind::ALL.into_iter().any(|kind| self.goes_on(kind))
        {
            let posts = self.view.stats().map_or(0, |stats| stats.posts);
            return Some(Error::Failed(format!(
                "all files are catalogued ({}), but not all is done: {}",
                amount::of(posts, "post"),
                self.why(role)
            )));
        }
        if now.duration_since(self.moved.1) < self.flags.stall {
            return None;
        }
        Some(Error::Failed(format!(
            "nothing has moved for {}: {}",
            amount::duration(self.flags.stall),
            awaited.missing(&self.launcher.roots)
        )))
    }
}

/// Who has to run for work of a kind to be done.
fn roles(kind: Kind) -> [Role; 2] {
    [Role::Registrar(kind), Role::Node(kind)]
}
