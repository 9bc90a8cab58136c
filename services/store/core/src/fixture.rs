//! What the tests of several nouns share: a store in a directory of its own, and things to put
//! into it, each told apart by a number.

use std::ops::{Deref, DerefMut};

use rusqlite::types::Value;
use tempfile::TempDir;

use crate::effective::Thresholds;
use crate::embedding::EmbedResult;
use crate::lease::{Claim, Holder};
use crate::location::Found;
use crate::model::{Label, LabelCategory, Model, NewModel, Registration};
use crate::node::{NewNode, Subject};
use crate::post::{Content, NewPost, Registered, Sample};
use crate::prediction::TagResult;
use crate::query::Query;
use crate::root::{RootKind, RootState, WatchedRoot};
use crate::task::{Leased, Outcome};
use crate::watcher::NewWatcher;
use crate::{Category, DeviceClass, Error, ModelKind, Now, Options, PostId, RootId, Store, Write};

/// Some moment.
pub(crate) const NOW: Now = Now {
    unix_ms: 1_700_000_000_000,
    mono_ms: 1_000_000,
};

/// [`NOW`] and some milliseconds on both clocks.
pub(crate) fn later(ms: u64) -> Now {
    Now {
        unix_ms: NOW.unix_ms + ms.cast_signed(),
        mono_ms: NOW.mono_ms + ms,
    }
}

/// A store in a directory that goes with it, with a watcher and one root.
pub(crate) struct Scene {
    store: Option<Store>,
    dir: TempDir,
    pub(crate) root: RootId,
}

impl Deref for Scene {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store.as_ref().unwrap()
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &Options::default(), NOW).unwrap();
        let mut scene = Self {
            store: Some(store),
            dir,
            root: 0,
        };
        let roots =
            scene.run(|w| w.register_watcher(&watcher(1), &[folder(RootState::Online)], NOW));
        scene.root = roots[0].id;
        scene
    }

    /// Drops the store as a kill would, less the kernel's part, and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.store = None;
        let store = Store::open(self.dir.path(), &Options::default(), NOW).unwrap();
        self.store = Some(store);
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// One request in a group of its own, which must succeed.
    pub(crate) fn run<T>(&mut self, work: impl FnOnce(&mut Write<'_>) -> Result<T, Error>) -> T {
        self.write(work).unwrap().0
    }

    /// Registers pictures, none of which may be rejected.
    pub(crate) fn register(&mut self, numbers: impl IntoIterator<Item = u32>) -> Vec<Made> {
        let root = self.root;
        let posts: Vec<NewPost> = numbers.into_iter().map(|n| picture(root, n)).collect();
        let registered = self.run(|w| w.register_posts(&posts, NOW));
        registered.into_iter().map(made).collect()
    }

    /// Puts a post into the trash and ends it.
    pub(crate) fn purge(&mut self, post: PostId) {
        self.run(|w| w.trash_posts(&[post], NOW));
        self.run(|w| w.purge_posts(&[post], NOW));
    }

    /// An active tagger with labels `tag_0` … `tag_9` and the four ratings.
    pub(crate) fn tagger(&mut self, number: u8) -> Model {
        self.activated(model(number))
    }

    /// An active embedder of 8 dimensions.
    pub(crate) fn embedder(&mut self, number: u8) -> Model {
        self.activated(embedder(number))
    }

    fn activated(&mut self, new: NewModel) -> Model {
        let mut registration = Registration::new(new).unwrap();
        let model = loop {
            if let Some(model) = self.run(|w| registration.step(w, NOW)) {
                break model;
            }
        };
        self.run(|w| w.activate_model(model.id, NOW));
        self.model(model.id).unwrap()
    }

    pub(crate) fn node(&mut self, number: u32, incarnation: u64, models: &[u32]) -> Holder {
        let mut new = node(number, incarnation, models);
        new.kind = self.model(models[0]).unwrap().kind;
        self.run(|w| w.register_node(&new, &owner(), NOW));
        self.holder(&new.name, incarnation, &owner()).unwrap()
    }

    pub(crate) fn lease(&mut self, holder: Holder, model: u32, max: usize) -> Leased {
        self.run(|w| w.lease_tasks(holder, model, max, NOW))
    }

    /// Leases and completes everything there is for a model.
    pub(crate) fn tag_all(&mut self, holder: Holder, model: u32, result: &Outcome) -> usize {
        let mut done = 0;
        loop {
            let tasks = self.lease(holder, model, 64).tasks;
            if tasks.is_empty() {
                return done;
            }
            done += tasks.len();
            for task in tasks {
                let claim = claim(&task.grant);
                self.run(|w| w.complete_task(holder, claim, result, NOW));
            }
        }
    }

    /// Posts that a query finds, newest first.
    pub(crate) fn find(&self, query: &str) -> Vec<PostId> {
        let query: Query = query.parse().unwrap();
        let plan = query.plan(self.tags()).unwrap();
        self.index().search(&plan, None, 10_000, None).unwrap().ids
    }

    /// Every row of every table, and what memory says, as text.
    pub(crate) fn dump(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut tables = self
            .conn
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
            .unwrap();
        let names: Vec<String> = tables
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for name in names {
            let mut select = self.conn.prepare(&format!("SELECT * FROM {name}")).unwrap();
            let width = select.column_count();
            let mut rows = select.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values: Vec<Value> = (0..width).map(|i| row.get(i).unwrap()).collect();
                out.push(format!("{name} {values:?}"));
            }
        }
        for tag in self.tags().with_prefix("") {
            out.push(format!("{tag:?} on {}", self.index().tag_count(tag.id)));
        }
        for model in self.models().unwrap().iter() {
            let counts = self.leases.counts(model.id);
            out.push(format!(
                "{model:?}: {} leasable, {} leased, {} parked",
                counts.leasable + counts.backed_off,
                counts.leased,
                counts.parked
            ));
        }
        out.push(format!("found {:?} at {:?}", self.find(""), self.cursor()));
        out.push(format!("trash {:?}", self.find("status:trash")));
        for rating in ["g", "s", "q", "e", "unrated"] {
            out.push(format!(
                "{rating} {:?}",
                self.find(&format!("rating:{rating}"))
            ));
        }
        out
    }
}

/// A picture that became a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) id: PostId,
    pub(crate) created: bool,
}

/// What became of a picture that is not rejected.
pub(crate) fn made(registered: Registered) -> Made {
    match registered {
        Registered::Post { id, created } => Made { id, created },
        Registered::Rejected => panic!("the content is rejected"),
    }
}

/// The claim of a grant.
pub(crate) fn claim(grant: &crate::lease::Grant) -> Claim {
    Claim {
        task: grant.task,
        token: grant.token,
    }
}

pub(crate) fn folder(state: RootState) -> WatchedRoot {
    WatchedRoot {
        path: b"/pictures".to_vec(),
        kind: RootKind::Library,
        state,
        notice: String::new(),
    }
}

pub(crate) fn watcher(incarnation: u64) -> NewWatcher {
    NewWatcher {
        name: "den".to_owned(),
        incarnation,
        address: "http://127.0.0.1:7802".to_owned(),
        sample_dir: b"/data/samples".to_vec(),
        version: "0.1.0".to_owned(),
    }
}

/// The local owner.
pub(crate) fn owner() -> Subject {
    Subject {
        name: "owner".to_owned(),
        admin: true,
    }
}

pub(crate) fn node(number: u32, incarnation: u64, models: &[u32]) -> NewNode {
    NewNode {
        name: format!("node-{number}"),
        incarnation,
        kind: ModelKind::Tag,
        models: models.to_vec(),
        device_class: DeviceClass::Cpu,
        device_proof: "CPUExecutionProvider".to_owned(),
        address: String::new(),
        version: "0.1.0".to_owned(),
    }
}

pub(crate) fn model(number: u8) -> NewModel {
    let tag = |n: u32| Label {
        name: format!("tag_{n}"),
        category: LabelCategory::Tag(Category::General),
    };
    let rating = |name: &str| Label {
        name: name.to_owned(),
        category: LabelCategory::Rating,
    };
    NewModel {
        kind: ModelKind::Tag,
        name: format!("palette-{number}"),
        revision: [number; 32],
        labels: (0..10)
            .map(tag)
            .chain(["general", "sensitive", "questionable", "explicit"].map(rating))
            .collect(),
        dimensions: 0,
        thresholds: Thresholds::default(),
        activate_if_first: false,
    }
}

pub(crate) fn embedder(number: u8) -> NewModel {
    NewModel {
        kind: ModelKind::Embed,
        name: format!("layout-{number}"),
        revision: [0x80 | number; 32],
        labels: Vec::new(),
        dimensions: 8,
        ..model(number)
    }
}

/// A vector of 8 numbers and of length 1 that points along `axis`.
pub(crate) fn along(axis: usize) -> Outcome {
    vector(&std::array::from_fn::<f32, 8, _>(|at| {
        f32::from(u8::from(at == axis))
    }))
}

/// A vector of these numbers.
pub(crate) fn vector(numbers: &[f32]) -> Outcome {
    let half = |number: &f32| half::f16::from_f32(*number).to_le_bytes();
    Outcome::Embedding(EmbedResult {
        vector: numbers.iter().flat_map(half).collect(),
        render_revision: 1,
    })
}

/// A result with `tag_N` for each label given, and a rating by its place from `10`.
pub(crate) fn result(labels: &[(u32, f32)]) -> Outcome {
    Outcome::Tags(TagResult {
        labels: labels.iter().map(|l| l.0).collect(),
        confidences: labels.iter().map(|l| l.1).collect(),
        render_revision: 1,
    })
}

pub(crate) fn sha256(number: u32) -> [u8; 32] {
    let mut hash = [7; 32];
    hash[..4].copy_from_slice(&number.to_le_bytes());
    hash
}

pub(crate) fn at(root: RootId, path: &str) -> Found {
    Found {
        root,
        path: path.as_bytes().to_vec(),
        byte_size: 1_000,
        mtime_ns: 5,
        ctime_ns: 6,
        dev: 1,
        ino: 2,
    }
}

pub(crate) fn picture(root: RootId, number: u32) -> NewPost {
    NewPost {
        content: Content {
            sha256: sha256(number),
            md5: [number as u8; 16],
            media_type: "image/png".to_owned(),
            byte_size: 1_000 + u64::from(number),
            width: 640,
            height: 480,
            frames: 1,
            has_alpha: false,
            partial: false,
            perceptual_hash: [3; 32],
            colours: "LEHV6n".to_owned(),
            sample: Sample {
                render_revision: 1,
                byte_size: 900,
                sha256: [number as u8; 32],
                width: 640,
                height: 480,
            },
            detail: 4_000,
        },
        location: at(root, &format!("a/{number}.png")),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
    }
}
