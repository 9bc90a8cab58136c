//! Whether anything is left to do, from what watcher and store say.

use std::time::Instant;

use proto::{
    media::v1::WatchProgressResponse,
    similarity::v1::GetIndexResponse,
    store::v1::{GetStatsResponse, Model, ModelKind},
};

use super::supervise::Kind;

/// What the store says of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) stats: GetStatsResponse,
    pub(super) models: Vec<Model>,
}

/// What was last seen.
#[derive(Debug, Default)]
pub(super) struct View {
    files: Option<(Instant, WatchProgressResponse)>,
    figures: Option<(Instant, Figures)>,
    index: Option<GetIndexResponse>,
    /// When the last model became known: then posts that were done before want results.
    known_at: Option<Instant>,
    /// Files registered by watchers that have ended since.
    registered_before: u64,
}

/// Figures that change while anything moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark([u64; 12]);

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
    pub(super) fn saw_figures(&mut self, figures: Figures, asked: Instant) {
        self.figures = Some((asked, figures));
    }

    /// The similarity service said how far it is.
    pub(super) fn saw_index(&mut self, index: GetIndexResponse) {
        self.index = Some(index);
    }

    /// The similarity service is gone; what it said is void.
    pub(super) fn lost_index(&mut self) {
        self.index = None;
    }

    /// The store knows a model now; figures asked for before are too old to prove anything.
    pub(super) fn model_known(&mut self, now: Instant) {
        self.known_at = Some(now);
    }

    /// What the watcher is doing.
    pub(super) fn files(&self) -> Option<&WatchProgressResponse> {
        self.files.as_ref().map(|(_, files)| files)
    }

    /// The store's figures.
    pub(super) fn stats(&self) -> Option<&GetStatsResponse> {
        self.figures.as_ref().map(|(_, figures)| &figures.stats)
    }

    /// Posts that look-alike search knows.
    pub(super) fn indexed(&self) -> u64 {
        self.index.as_ref().map_or(0, |index| index.posts)
    }

    /// Whether every file is catalogued, and the store's figures are younger than that. (A file is
    /// pending until its post and tasks are committed, so no task can be missed in between.)
    pub(super) fn is_catalogued(&self) -> bool {
        match (&self.files, &self.figures) {
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

    /// Whether nothing is left to do once the models are known.
    pub(super) fn is_idle(&self) -> bool {
        self.is_catalogued() && self.wanted() == 0
    }

    /// Whether look-alike search knows all that the store told last. (A feed is of one epoch, and
    /// positions only grow.)
    pub(super) fn is_indexed(&self) -> bool {
        let reached = self.index.as_ref().and_then(|index| index.cursor);
        match (reached, self.stats()) {
            (Some(reached), Some(stats)) => {
                reached.epoch == stats.epoch && reached.seq >= stats.seq
            }
            _ => false,
        }
    }

    /// Posts that have the result of every active model of a kind; 0 without one. (Results of posts
    /// in the trash are kept, but such posts are not counted.)
    pub(super) fn done(&self, kind: Kind) -> u64 {
        let done = self.active(kind).map(|model| model.done).min();
        let done = done.unwrap_or(0);
        done.min(self.stats().map_or(0, |stats| stats.posts))
    }

    /// Posts that have no task yet for an active model of a kind.
    pub(super) fn backfill_left(&self, kind: Kind) -> u64 {
        self.active(kind).map(|model| model.backfill_left).sum()
    }

    fn active(&self, kind: Kind) -> impl Iterator<Item = &Model> {
        let kind = match kind {
            Kind::Tag => ModelKind::Tag,
            Kind::Embed => ModelKind::Embed,
        };
        let models = self.figures.iter().flat_map(|(_, figures)| &figures.models);
        models.filter(move |model| model.active && model.kind() == kind)
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
            stats.embeddings,
            self.index
                .as_ref()
                .map_or(0, |index| index.cursor.unwrap_or_default().seq),
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

    use proto::store::v1::Cursor;

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
        view.saw_figures(figures(stats), now);
        view
    }

    fn figures(stats: GetStatsResponse) -> Figures {
        Figures {
            stats,
            models: Vec::new(),
        }
    }

    #[test]
    fn figures_older_than_the_scan_prove_nothing() {
        let now = Instant::now();
        let mut view = View::default();
        assert!(!view.is_idle());
        view.saw_figures(Figures::default(), now);
        view.saw_files(scanned(), now + Duration::from_millis(1));
        assert!(!view.is_idle());
        view.saw_figures(Figures::default(), now + Duration::from_millis(2));
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
        view.saw_figures(figures(stats), known);
        assert!(!view.is_idle());
        view.saw_figures(Figures::default(), known);
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
    fn a_post_is_tagged_once_every_active_model_of_that_kind_has_seen_it() {
        let model = |kind: ModelKind, active, done| Model {
            kind: kind.into(),
            active,
            done,
            ..Model::default()
        };
        let stats = GetStatsResponse {
            posts: 5,
            posts_done: 5,
            ..GetStatsResponse::default()
        };
        let mut view = view(scanned(), stats);
        assert_eq!((view.done(Kind::Tag), view.done(Kind::Embed)), (0, 0));
        let models = vec![
            model(ModelKind::Tag, true, 4),
            model(ModelKind::Tag, true, 3),
            model(ModelKind::Tag, false, 1),
            model(ModelKind::Embed, true, 7),
        ];
        view.saw_figures(Figures { stats, models }, Instant::now());
        assert_eq!(view.done(Kind::Tag), 3);
        assert_eq!(view.done(Kind::Embed), 5, "two of them are in the trash");
    }

    #[test]
    fn the_index_is_there_when_it_has_followed_to_the_last_change_of_this_epoch() {
        let stats = GetStatsResponse {
            epoch: 9,
            seq: 40,
            ..GetStatsResponse::default()
        };
        let mut view = view(scanned(), stats);
        assert!(!view.is_indexed(), "it has not said anything");
        for (epoch, seq, there) in [(9, 39, false), (8, 90, false), (9, 40, true)] {
            view.saw_index(GetIndexResponse {
                cursor: Some(Cursor { epoch, seq }),
                ..GetIndexResponse::default()
            });
            assert_eq!(view.is_indexed(), there, "{epoch} {seq}");
        }
        view.lost_index();
        assert!(!view.is_indexed());
    }
}
