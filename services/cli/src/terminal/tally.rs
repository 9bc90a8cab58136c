//! How far a long command is: a bar on a terminal, a line every few seconds elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::Terminal;
use crate::amount;

/// How often a plain line is written at most, and when the first one is.
const PLAIN: Duration = Duration::from_secs(5);

/// Things done, of all.
#[derive(Debug)]
pub(crate) struct Tally {
    bar: Option<ProgressBar>,
    noun: &'static str,
    done: u64,
    total: u64,
    said_at: Instant,
}

impl Tally {
    /// Nothing of `total` is done. `noun` is singular.
    pub(crate) fn new(total: u64, noun: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos} of {len}, about {eta} left");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style)
        });
        Self {
            bar,
            noun,
            done: 0,
            total,
            said_at: Instant::now(),
        }
    }

    /// So many more are done.
    pub(crate) fn add(&mut self, more: u64, terminal: &Terminal) {
        self.done += more;
        if let Some(bar) = &self.bar {
            bar.inc(more);
        } else if self.done < self.total && self.said_at.elapsed() >= PLAIN {
            self.said_at = Instant::now();
            let (done, total) = (amount::count(self.done), amount::of(self.total, self.noun));
            terminal.say(&format!("{done} of {total}"));
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
