//! What is still to come before all is done, so that waiting for it has a name.

use std::path::PathBuf;

use crate::{
    amount,
    up::{
        idle::View,
        supervise::{Kind, Supervisor},
    },
};

/// The first thing that is missing: what comes after it cannot come before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A word of the watcher.
    Watcher,
    /// What the watcher itself waits for.
    Told(String),
    /// That all files are catalogued, of which some are known to be left.
    Files(u64),
    /// Figures of the store that are younger than the last file and model.
    Figures,
    /// That the store knows the model of a kind.
    Model(Kind),
    /// Tasks and posts that want a model.
    Work(u64),
    /// That look-alike search knows all posts.
    Index,
}

impl Awaited {
    /// What is missing; nothing if all is done.
    pub(super) fn first(view: &View, supervisor: &Supervisor) -> Option<Self> {
        let missing = Self::missed(view, supervisor)?;
        let told = view.files().map(|files| &files.waiting_for);
        let told = told.filter(|reason| !reason.is_empty());
        Some(told.map_or(missing, |reason| Self::Told(reason.clone())))
    }

    /// The same, whatever the watcher says of it.
    fn missed(view: &View, supervisor: &Supervisor) -> Option<Self> {
        let Some(files) = view.files() else {
            return Some(Self::Watcher);
        };
        if !files.first_scan_done || files.scanning || files.pending > 0 {
            return Some(Self::Files(files.pending));
        }
        let mut kinds = Kind::ALL.into_iter();
        if let Some(kind) = kinds.find(|kind| !supervisor.is_registered(*kind)) {
            return Some(Self::Model(kind));
        }
        if view.is_idle() {
            return (!view.is_indexed()).then_some(Self::Index);
        }
        Some(match view.is_catalogued() {
            true => Self::Work(view.wanted()),
            false => Self::Figures,
        })
    }

    /// For the line of progress, where it would not be seen from the figures.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::Model(kind) => Some(format!("waiting for the model for {}", kind.work())),
            Self::Index => Some("waiting for look-alike search to follow".to_owned()),
            Self::Watcher | Self::Told(_) | Self::Files(_) | Self::Figures | Self::Work(_) => None,
        }
    }

    /// Why nothing goes on, and where to look.
    pub(super) fn missing(&self, roots: &[PathBuf]) -> String {
        match self {
            Self::Watcher => "the watcher says nothing (logs/watcher.log)".to_owned(),
            Self::Told(reason) => format!("the watcher waits: {reason}"),
            Self::Files(left) => {
                let left = match left {
                    0 => String::new(),
                    left => format!(", {} to go", amount::of(*left, "file")),
                };
                let roots: Vec<_> = roots
                    .iter()
                    .map(|root| root.display().to_string())
                    .collect();
                let roots = roots.join(", ");
                format!("not all of {roots} is catalogued{left} (logs/watcher.log)")
            }
            Self::Figures => "the store gives no figures (logs/store.log)".to_owned(),
            Self::Model(kind) => format!(
                "the store does not know the model for {} yet (logs/{}-registrar.log)",
                kind.work(),
                kind.node()
            ),
            Self::Work(wanted) => format!(
                "{} tasks and posts wait; is the queue paused (`kumo resume`), or a node stuck \
                 (logs/tagger.log, logs/embedder.log)?",
                amount::count(*wanted)
            ),
            Self::Index => {
                "the similarity service does not follow (logs/similarity.log)".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proto::{
        media::v1::WatchProgressResponse,
        similarity::v1::GetIndexResponse,
        store::v1::{Cursor, GetStatsResponse},
    };

    use super::*;
    use crate::up::{
        idle::Figures,
        supervise::{Exit, Input, Role},
    };

    fn figures(tasks_queued: u64) -> Figures {
        Figures {
            stats: GetStatsResponse {
                tasks_queued,
                epoch: 1,
                seq: 5,
                ..GetStatsResponse::default()
            },
            ..Figures::default()
        }
    }

    #[test]
    fn whatever_is_missing_has_a_name() {
        let now = Instant::now();
        let mut view = View::default();
        let mut supervisor = Supervisor::new(Duration::from_secs(60));
        supervisor.step(Input::Tick, now);
        supervisor.step(Input::Listens(Role::Store, 1), now);
        let roots = [PathBuf::from("/pictures"), PathBuf::from("/scans")];
        let mut told = Vec::new();
        let mut look = |view: &View, supervisor: &Supervisor| {
            let awaited = Awaited::first(view, supervisor);
            told.extend(awaited.iter().map(|awaited| awaited.missing(&roots)));
            awaited
        };

        assert_eq!(look(&view, &supervisor), Some(Awaited::Watcher));
        let mut files = WatchProgressResponse {
            waiting_for: "STORE_UNREACHABLE".to_owned(),
            ..WatchProgressResponse::default()
        };
        view.saw_files(files.clone(), now);
        let reason = files.waiting_for.clone();
        assert_eq!(look(&view, &supervisor), Some(Awaited::Told(reason)));
        files.waiting_for.clear();
        view.saw_files(files.clone(), now);
        assert_eq!(look(&view, &supervisor), Some(Awaited::Files(0)));
        files.first_scan_done = true;
        files.pending = 2;
        view.saw_files(files.clone(), now);
        assert_eq!(look(&view, &supervisor), Some(Awaited::Files(2)));
        files.pending = 0;
        view.saw_files(files.clone(), now);
        for kind in Kind::ALL {
            assert_eq!(look(&view, &supervisor), Some(Awaited::Model(kind)));
            supervisor.step(Input::Ended(Role::Registrar(kind), Exit::Clean), now);
        }
        assert_eq!(look(&view, &supervisor), Some(Awaited::Figures));
        view.saw_figures(figures(7), now);
        assert_eq!(look(&view, &supervisor), Some(Awaited::Work(7)));
        view.saw_figures(figures(0), now);
        assert_eq!(look(&view, &supervisor), Some(Awaited::Index));
        view.saw_index(GetIndexResponse {
            cursor: Some(Cursor { epoch: 1, seq: 5 }),
            ..GetIndexResponse::default()
        });
        assert_eq!(look(&view, &supervisor), None);
        files.waiting_for = "STORE_REFUSES".to_owned();
        view.saw_files(files, now);
        assert_eq!(
            look(&view, &supervisor),
            None,
            "it lacks nothing that we wait for"
        );

        assert_eq!(
            told[2],
            "not all of /pictures, /scans is catalogued (logs/watcher.log)"
        );
        assert!(told[3].contains("2 files to go"), "{told:?}");
        assert!(told[4].contains("tagging") && told[4].contains("tagger-registrar.log"));
    }

    #[test]
    fn the_line_names_what_its_figures_do_not_show() {
        let model = Awaited::Model(Kind::Embed).shown();
        assert_eq!(
            model.as_deref(),
            Some("waiting for the model for embedding")
        );
        assert!(Awaited::Index.shown().is_some());
        assert_eq!(Awaited::Files(3).shown().or(Awaited::Work(3).shown()), None);
    }
}
