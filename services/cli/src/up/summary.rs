//! What was done, at the end of `kumo up --until-idle`, and what memory it took.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{idle::View, supervise::Kind};
use crate::{
    amount,
    error::Error,
    proc::{self, Resident},
    terminal::Terminal,
};

/// Memory of each process: as last seen, and the most that was seen.
#[derive(Debug, Default)]
pub(super) struct Memory {
    by_role: BTreeMap<&'static str, Resident>,
}

impl Memory {
    /// Looks at this process, at children by role, and at their renderers together.
    pub(super) fn sample(&mut self, children: impl Iterator<Item = (&'static str, u32)>) {
        self.saw("kumo", Resident::read(std::process::id()));
        let mut renderers = None::<Resident>;
        for (role, pid) in children {
            self.saw(role, Resident::read(pid));
            for child in proc::children(pid) {
                if let Some(resident) = Resident::read(child.pid)
                    && child.name.starts_with("kumo-renderer")
                {
                    renderers = Some(renderers.unwrap_or_default().plus(resident));
                }
            }
        }
        self.saw("renderers", renderers);
    }

    fn saw(&mut self, role: &'static str, resident: Option<Resident>) {
        if let Some(resident) = resident {
            let last = self.by_role.entry(role).or_default();
            let peak = last.max(resident).peak_rss_bytes;
            *last = Resident {
                peak_rss_bytes: peak,
                ..resident
            };
        }
    }

    fn as_json(&self) -> Value {
        json!(self.by_role)
    }
}

/// Writes the summary.
pub(super) fn write(
    view: &View,
    memory: &Memory,
    took: Duration,
    out: &Terminal,
) -> Result<(), Error> {
    let stats = view.stats().copied().unwrap_or_default();
    let registered = view.registered();
    let seconds = took.as_secs_f64();
    let per_second = registered as f64 / seconds.max(0.001);
    if out.json() {
        return out.object(&json!({
            "posts": stats.posts,
            "tagged": view.done(Kind::Tag),
            "embedded": view.done(Kind::Embed),
            "indexed": view.indexed(),
            "failed": view.failed(),
            "ingest_failures": stats.ingest_failures,
            "parked": stats.tasks_parked,
            "missing": stats.locations_missing,
            "registered": registered,
            "seconds": (seconds * 1000.0).round() / 1000.0,
            "files_per_second": (per_second * 100.0).round() / 100.0,
            "rss": memory.as_json(),
        }));
    }
    out.line(&format!(
        "{}, {} tagged, {} embedded, {} failed, {} parked; {} registered in {} ({})",
        amount::of(stats.posts, "post"),
        amount::count(view.done(Kind::Tag)),
        amount::count(view.done(Kind::Embed)),
        amount::count(view.failed()),
        amount::count(stats.tasks_parked),
        amount::of(registered, "file"),
        amount::duration(took),
        amount::rate(per_second),
    ))?;
    if view.failed() > 0 {
        out.hint("`kumo up` and then `kumo tasks --failed` say what failed and why");
    }
    Ok(())
}
