//! What `kumo up` shows while it works: one line that changes on a terminal, a line every few
//! seconds elsewhere.

use std::{
    collections::VecDeque,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{idle::View, supervise::Kind};
use crate::{
    amount,
    terminal::{Terminal, escape},
};

/// How often a plain line is written at most.
const PLAIN: Duration = Duration::from_secs(5);
/// The past that a rate is taken from.
const WINDOW: Duration = Duration::from_secs(20);

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    shown: String,
    shown_at: Option<Instant>,
    files: Rate,
    results: Rate,
}

impl Progress {
    pub(super) fn new() -> Self {
        let plain = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bar = (std::io::stderr().is_terminal() && !plain).then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        Self {
            bar,
            shown: String::new(),
            shown_at: None,
            files: Rate::default(),
            results: Rate::default(),
        }
    }

    /// Shows how far it is. `trouble`: what stands in the way.
    pub(super) fn show(
        &mut self,
        view: &View,
        trouble: Option<&str>,
        now: Instant,
        out: &Terminal,
    ) {
        self.files.add(now, view.registered());
        let results = Kind::ALL.into_iter().map(|kind| view.done(kind));
        self.results.add(now, results.sum());
        let text = line(
            view,
            self.files.per_second(),
            self.results.per_second(),
            trouble,
        );
        if let Some(bar) = &self.bar {
            bar.set_message(escape(&text));
            bar.tick();
            return;
        }
        let due = self
            .shown_at
            .is_none_or(|at| now.duration_since(at) >= PLAIN);
        if text != self.shown && due {
            out.say(&text);
            self.shown = text;
            self.shown_at = Some(now);
        }
    }

    /// Writes a line that stays.
    pub(super) fn note(&self, text: &str, out: &Terminal) {
        match &self.bar {
            Some(bar) => bar.suspend(|| out.say(text)),
            None => out.say(text),
        }
    }

    /// Removes the line that changes.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(view: &View, files_rate: f64, results_rate: f64, trouble: Option<&str>) -> String {
    let mut parts = Vec::new();
    match view.files() {
        None => parts.push("waiting for the watcher".to_owned()),
        Some(files) if files.scanning || files.pending > 0 || !files.first_scan_done => {
            parts.push(format!(
                "{}: {} seen, {} registered ({}), {} to go",
                if files.scanning {
                    "scanning"
                } else {
                    "cataloguing"
                },
                amount::of(files.scanned, "file"),
                amount::count(view.registered()),
                amount::rate(files_rate),
                amount::count(files.pending),
            ));
            if !files.waiting_for.is_empty() {
                parts.push(format!("the watcher waits: {}", files.waiting_for));
            }
        }
        Some(_) => parts.push("all files catalogued".to_owned()),
    }
    if let Some(stats) = view.stats() {
        let mut done = format!(
            "{} of {} tagged, {} embedded",
            amount::count(view.done(Kind::Tag)),
            amount::of(stats.posts, "post"),
            amount::count(view.done(Kind::Embed)),
        );
        if view.wanted() > 0 {
            done.push_str(&format!(" ({}", amount::rate(results_rate)));
            if let Some(left) = amount::time_left(view.wanted(), results_rate) {
                done.push_str(&format!(", about {} left", amount::duration(left)));
            }
            done.push(')');
        }
        parts.push(done);
        if view.failed() > 0 {
            parts.push(format!("{} failed", amount::count(view.failed())));
        }
        if stats.tasks_parked > 0 {
            let parked = amount::count(stats.tasks_parked);
            parts.push(format!("{parked} wait for a machine that has the picture"));
        }
    }
    parts.extend(trouble.map(str::to_owned));
    parts.join(" · ")
}

/// How fast a figure grows, by the last twenty seconds.
#[derive(Debug, Default)]
struct Rate {
    seen: VecDeque<(Instant, u64)>,
}

impl Rate {
    fn add(&mut self, now: Instant, figure: u64) {
        // A service that was started again counts from zero.
        if self.seen.back().is_some_and(|(_, last)| *last > figure) {
            self.seen.clear();
        }
        self.seen.push_back((now, figure));
        while self.seen.len() > 2
            && self
                .seen
                .front()
                .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.seen.pop_front();
        }
    }

    fn per_second(&self) -> f64 {
        let (Some((from, low)), Some((to, high))) = (self.seen.front(), self.seen.back()) else {
            return 0.0;
        };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds > 0.0 {
            (high - low) as f64 / seconds
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        media::v1::WatchProgressResponse,
        store::v1::{GetStatsResponse, Model, ModelKind},
    };

    use super::*;
    use crate::up::idle::Figures;

    #[test]
    fn the_line_says_what_is_done_and_how_long_the_rest_takes() {
        let now = Instant::now();
        let mut view = View::default();
        assert_eq!(line(&view, 0.0, 0.0, None), "waiting for the watcher");
        let files = WatchProgressResponse {
            scanning: true,
            scanned: 1200,
            registered: 830,
            pending: 370,
            waiting_for: "STORE_UNREACHABLE".to_owned(),
            ..WatchProgressResponse::default()
        };
        view.saw_files(files, now);
        let stats = GetStatsResponse {
            posts: 830,
            tasks_queued: 530,
            ingest_failures: 1,
            ..GetStatsResponse::default()
        };
        let model = |kind: ModelKind, done| Model {
            kind: kind.into(),
            active: true,
            done,
            ..Model::default()
        };
        let models = vec![model(ModelKind::Tag, 600), model(ModelKind::Embed, 530)];
        view.saw_figures(Figures { stats, models }, now);
        assert_eq!(
            line(&view, 95.0, 50.0, Some("no runtime")),
            "scanning: 1,200 files seen, 830 registered (95/s), 370 to go · the watcher waits: \
             STORE_UNREACHABLE · 600 of 830 posts tagged, 530 embedded (50/s, about 11 s left) \
             · 1 failed · no runtime"
        );
    }

    #[test]
    fn a_rate_forgets_the_distant_past_and_survives_a_restart() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        assert!(rate.per_second() < 0.01);
        for second in 0..60 {
            rate.add(at(second), if second < 30 { 0 } else { (second - 30) * 10 });
        }
        assert!((rate.per_second() - 10.0).abs() < 0.01);
        rate.add(at(61), 0);
        assert!(rate.per_second() < 0.01);
        rate.add(at(62), 7);
        assert!((rate.per_second() - 7.0).abs() < 0.01);
    }
}
