//! Whether anything is left to do, from what watcher and store say.

use std::time::Instant;

use proto::{media::v1::WatchProgressResponse, store::v1::GetStatsResponse};

/// What was last seen.
#[derive(Debug, Default)]
pub(super) struct View {
    files: Option<(Instant, WatchProgressResponse)>,
    stats: Option<(Instant, GetStatsResponse)>,
    /// When the model became known: then posts that were done before want results.
    known_at: Option<Instant>,
    /// Files registered by watchers that have ended since.
    registered_before: u64,
}

/// Figures that change while anything moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark([u64; 10]);

impl View {
    /// The watcher said how it is.
    pub(super) fn saw_files(&mut self, files: WatchProgressResponse, now: Instant) {
        self.files = Some((now, files));
    }

    /// The watcher is gone; what it said is void.
    pub(super) fn lost_files(&mut self) {
        self.registered_before = self.registered();
        self.files = None;
    }

    /// Files registered since `kumo up` started.
    pub(super) fn registered(&self) -> u64 {
        self.registered_before + self.files().map_or(0, |files| files.registered)
    }

    /// The store gave its figures; it was asked at `asked`.
    pub(super) fn saw_stats(&mut self, stats: GetStatsResponse, asked: Instant) {
        self.stats = Some((asked, stats));
    }

    /// The store knows the model now; figures asked for before are too old to prove anything.
    pub(super) fn model_known(&mut self, now: Instant) {
        self.known_at = Some(now);
    }

    /// What the watcher is doing.
    pub(super) fn files(&self) -> Option<&WatchProgressResponse> {
        self.files.as_ref().map(|(_, files)| files)
    }

    /// The store's figures.
    pub(super) fn stats(&self) -> Option<&GetStatsResponse> {
        self.stats.as_ref().map(|(_, stats)| stats)
    }

    /// Whether every file is catalogued, and the store's figures are younger than that. (A file is
    /// pending until its post and tasks are committed, so no task can be missed in between.)
    pub(super) fn is_catalogued(&self) -> bool {
        match (&self.files, &self.stats) {
            (Some((seen, files)), Some((asked, _))) => {
                let done = files.first_scan_done && !files.scanning && files.pending == 0;
                done && asked >= seen && self.known_at.is_none_or(|at| *asked >= at)
            }
            _ => false,
        }
    }

    /// Tasks and posts that still want a model, parked ones left out: they wait for a machine.
    pub(super) fn wanted(&self) -> u64 {
        self.stats().map_or(0, |stats| {
            stats.tasks_queued + stats.tasks_leased + stats.backfill_left
        })
    }

    /// Whether nothing is left to do once the model is known.
    pub(super) fn is_idle(&self) -> bool {
        self.is_catalogued() && self.wanted() == 0
    }

    /// Posts that have all their results. Without any result, posts of a library without a model
    /// count as done for the store; a person would not call them tagged.
    pub(super) fn tagged(&self) -> u64 {
        match self.stats() {
            Some(stats) if stats.predictions > 0 => stats.posts_done,
            _ => 0,
        }
    }

    /// Tasks and files that failed.
    pub(super) fn failed(&self) -> u64 {
        self.stats()
            .map_or(0, |stats| stats.tasks_failed + stats.ingest_failures)
    }

    /// Figures that change while anything moves.
    pub(super) fn mark(&self) -> Mark {
        let files = self.files().cloned().unwrap_or_default();
        let stats = self.stats().copied().unwrap_or_default();
        Mark([
            files.scanned,
            files.pending,
            files.registered,
            files.failed,
            stats.seq,
            stats.predictions,
            stats.tasks_queued,
            stats.tasks_parked,
            stats.tasks_failed,
            stats.backfill_left,
        ])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn scanned() -> WatchProgressResponse {
        WatchProgressResponse {
            first_scan_done: true,
            registered: 3,
            ..WatchProgressResponse::default()
        }
    }

    fn view(files: WatchProgressResponse, stats: GetStatsResponse) -> View {
        let now = Instant::now();
        let mut view = View::default();
        view.saw_files(files, now);
        view.saw_stats(stats, now);
        view
    }

    #[test]
    fn figures_older_than_the_scan_prove_nothing() {
        let now = Instant::now();
        let mut view = View::default();
        assert!(!view.is_idle());
        view.saw_stats(GetStatsResponse::default(), now);
        view.saw_files(scanned(), now + Duration::from_millis(1));
        assert!(!view.is_idle());
        view.saw_stats(GetStatsResponse::default(), now + Duration::from_millis(2));
        assert!(view.is_idle());
        view.lost_files();
        assert!(!view.is_idle());
        assert_eq!(view.registered(), 3, "what was done stays done");
    }

    #[test]
    fn figures_older_than_the_model_prove_nothing() {
        let now = Instant::now();
        let mut view = view(scanned(), GetStatsResponse::default());
        assert!(view.is_idle());
        let known = now + Duration::from_millis(1);
        view.model_known(known);
        assert!(!view.is_idle(), "posts without a model count as done");
        let backfill_left = 3;
        let stats = GetStatsResponse {
            backfill_left,
            ..GetStatsResponse::default()
        };
        view.saw_stats(stats, known);
        assert!(!view.is_idle());
        view.saw_stats(GetStatsResponse::default(), known);
        assert!(view.is_idle());
    }

    #[test]
    fn work_of_any_kind_is_work_and_what_failed_or_is_parked_is_not() {
        let stats = GetStatsResponse::default();
        let busy = [
            (
                WatchProgressResponse {
                    pending: 1,
                    ..scanned()
                },
                stats,
            ),
            (
                WatchProgressResponse {
                    scanning: true,
                    ..scanned()
                },
                stats,
            ),
            (
                WatchProgressResponse {
                    first_scan_done: false,
                    ..scanned()
                },
                stats,
            ),
            (
                scanned(),
                GetStatsResponse {
                    tasks_queued: 1,
                    ..stats
                },
            ),
            (
                scanned(),
                GetStatsResponse {
                    tasks_leased: 1,
                    ..stats
                },
            ),
            (
                scanned(),
                GetStatsResponse {
                    backfill_left: 1,
                    ..stats
                },
            ),
        ];
        for (files, stats) in busy {
            let text = format!("{files:?} {stats:?}");
            assert!(!view(files, stats).is_idle(), "{text}");
        }
        let rest = GetStatsResponse {
            tasks_failed: 1,
            tasks_parked: 2,
            ingest_failures: 3,
            ..stats
        };
        let view = view(scanned(), rest);
        assert!(view.is_idle());
        assert_eq!(view.failed(), 4);
    }

    #[test]
    fn posts_of_a_library_without_results_are_not_tagged() {
        let stats = GetStatsResponse {
            posts: 5,
            posts_done: 5,
            ..GetStatsResponse::default()
        };
        assert_eq!(view(scanned(), stats).tagged(), 0);
        let stats = GetStatsResponse {
            predictions: 5,
            ..stats
        };
        assert_eq!(view(scanned(), stats).tagged(), 5);
    }
}
