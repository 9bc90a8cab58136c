//! Makes a library of a stated size through the calls of the store, always the same one, and says
//! what it costs:
//!
//! ```text
//! cargo run --release -p kumo-store-core --example fill_library -- SCALE DIR [--vectors on|off]
//! ```
//!
//! SCALE is `L1`, `L2` or a number of posts. DIR becomes the data folder of a store; what is in it
//! must not be a library. Vectors have 512 numbers; a million take 1.4 GB. Each post has a place, a
//! perceptual hash, a colour layout and how much there was to hash; its tags come from a tagger
//! and, but in L2, in half from the source record of a booru.

mod ask;
mod picture;
mod random;
mod record;
mod scale;
mod tags;

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kumo_store_core::effective::Thresholds;
use kumo_store_core::embedding::EmbedResult;
use kumo_store_core::lease::Claim;
use kumo_store_core::model::{NewModel, Registration};
use kumo_store_core::node::{NewNode, Subject};
use kumo_store_core::post::NewPost;
use kumo_store_core::root::{RootKind, RootState, WatchedRoot};
use kumo_store_core::task::Outcome;
use kumo_store_core::watcher::NewWatcher;
use kumo_store_core::{DeviceClass, ModelId, ModelKind, Now, Options, PostId, Store};

use scale::Scale;

/// Posts in one request, and requests in one group.
const SLICE: u32 = 100;
const GROUP: usize = 5;
/// Tasks in one lease, all completed in one group.
const LEASED: usize = 256;

type Result<T> = std::result::Result<T, Box<dyn StdError>>;

/// What is to be made.
struct Order {
    scale: Scale,
    dir: PathBuf,
    vectors: bool,
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}

pub(crate) fn now() -> Now {
    Now {
        unix_ms: 1_700_000_000_000,
        mono_ms: 0,
    }
}

fn main() -> Result<()> {
    let order = order()?;
    let started = Instant::now();
    fill(&order)?;
    say(&format!("filled in {:.1?}", started.elapsed()));
    ask::ask(&order.dir, order.scale.posts)
}

fn order() -> Result<Order> {
    const USAGE: &str = "usage: fill_library L1|L2|POSTS DIR [--vectors on|off]";
    let mut args = std::env::args().skip(1);
    let (Some(scale), Some(dir)) = (args.next(), args.next()) else {
        return Err(USAGE.into());
    };
    let vectors = match (args.next().as_deref(), args.next().as_deref()) {
        (None, None) | (Some("--vectors"), Some("on")) => true,
        (Some("--vectors"), Some("off")) => false,
        _ => return Err(USAGE.into()),
    };
    Ok(Order {
        scale: Scale::read(&scale).ok_or(USAGE)?,
        dir: dir.into(),
        vectors,
    })
}

fn fill(order: &Order) -> Result<()> {
    let scale = &order.scale;
    std::fs::create_dir_all(&order.dir)?;
    let mut store = Store::open(&order.dir, &Options::default(), now())?;
    if store.last_post()? > 0 {
        return Err(format!("{} holds a library already", order.dir.display()).into());
    }
    let roots = store
        .write(|w| w.register_watcher(&watcher(), &[folder()], now()))?
        .0;
    let tagger = register(&mut store, tagger(scale))?;
    let embedder = match order.vectors {
        true => Some(register(&mut store, embedder())?),
        false => None,
    };
    posts(&mut store, scale, roots[0].id)?;
    records(&mut store, scale)?;
    let said = |post: PostId| Outcome::Tags(tags::result(scale, post - 1));
    complete(&mut store, ModelKind::Tag, tagger, scale.posts, said)?;
    if let Some(embedder) = embedder {
        let seen = |post: PostId| {
            Outcome::Embedding(EmbedResult {
                vector: picture::vector(post - 1),
                render_revision: 1,
            })
        };
        complete(&mut store, ModelKind::Embed, embedder, scale.posts, seen)?;
    }
    while store.write(|w| w.upkeep(now()))?.0 {}
    Ok(())
}

fn posts(store: &mut Store, scale: &Scale, root: u32) -> Result<()> {
    let mut progress = Progress::new("posts registered", scale.posts);
    let slices: Vec<u32> = (0..scale.posts).step_by(SLICE as usize).collect();
    for group in slices.chunks(GROUP) {
        store.begin()?;
        for &first in group {
            let last = scale.posts.min(first + SLICE);
            let batch: Vec<NewPost> = (first..last).map(|n| picture::picture(root, n)).collect();
            store.request(|w| w.register_posts(&batch, now()))?;
            progress.more(last - first);
        }
        store.commit()?;
    }
    Ok(())
}

fn records(store: &mut Store, scale: &Scale) -> Result<()> {
    if scale.record_bytes == 0 {
        return Ok(());
    }
    let mut progress = Progress::new("source records kept", scale.posts);
    for first in (0..scale.posts).step_by(SLICE as usize) {
        let last = scale.posts.min(first + SLICE);
        let batch = (first..last)
            .map(|number| Ok((number + 1, record::record(scale, number)?)))
            .collect::<Result<Vec<_>>>()?;
        store.write(|w| w.put_source_records(&batch, now()))?;
        progress.more(last - first);
    }
    Ok(())
}

/// Leases and completes all tasks of a model, as a node does.
fn complete(
    store: &mut Store,
    kind: ModelKind,
    model: ModelId,
    posts: u32,
    outcome: impl Fn(PostId) -> Outcome,
) -> Result<()> {
    let node = node(kind, model);
    let subject = Subject {
        name: "filler".to_owned(),
        admin: true,
    };
    let registered = store.write(|w| {
        w.register_node(&node, &subject, now())?;
        w.holder(&node.name, node.incarnation, &subject)
    });
    let holder = registered?.0;
    let mut progress = Progress::new("tasks completed", posts);
    loop {
        let leased = store
            .write(|w| w.lease_tasks(holder, model, LEASED, now()))?
            .0;
        if leased.tasks.is_empty() {
            return Ok(());
        }
        store.begin()?;
        for task in &leased.tasks {
            let claim = Claim {
                task: task.grant.task,
                token: task.grant.token,
            };
            let found = outcome(task.post);
            store.request(|w| w.complete_task(holder, claim, &found, now()))?;
        }
        store.commit()?;
        progress.more(leased.tasks.len() as u32);
    }
}

fn register(store: &mut Store, new: NewModel) -> Result<ModelId> {
    let mut registration = Registration::new(new)?;
    loop {
        if let (Some(model), _) = store.write(|w| registration.step(w, now()))? {
            return Ok(model.id);
        }
    }
}

/// Says how far it is at every tenth, and how fast it went.
struct Progress {
    what: &'static str,
    all: u32,
    done: u32,
    started: Instant,
}

impl Progress {
    fn new(what: &'static str, all: u32) -> Self {
        Self {
            what,
            all,
            done: 0,
            started: Instant::now(),
        }
    }

    fn more(&mut self, count: u32) {
        let tenth = |done: u32| u64::from(done) * 10 / u64::from(self.all);
        let before = tenth(self.done);
        self.done += count;
        if tenth(self.done) > before {
            let rate = f64::from(self.done) / self.started.elapsed().as_secs_f64();
            say(&format!("{} {}, {rate:.0}/s", self.done, self.what));
        }
    }
}

fn watcher() -> NewWatcher {
    NewWatcher {
        name: "den".to_owned(),
        incarnation: 1,
        address: "http://127.0.0.1:7802".to_owned(),
        sample_dir: b"/data/samples".to_vec(),
        version: "0.1.0".to_owned(),
    }
}

fn folder() -> WatchedRoot {
    WatchedRoot {
        path: Path::new("/pictures")
            .as_os_str()
            .as_encoded_bytes()
            .to_vec(),
        kind: RootKind::Library,
        state: RootState::Online,
        notice: String::new(),
    }
}

fn node(kind: ModelKind, model: ModelId) -> NewNode {
    NewNode {
        name: format!("node-{model}"),
        incarnation: 1,
        kind,
        models: vec![model],
        device_class: DeviceClass::Cpu,
        device_proof: String::new(),
        address: String::new(),
        version: "0.1.0".to_owned(),
    }
}

fn tagger(scale: &Scale) -> NewModel {
    NewModel {
        kind: ModelKind::Tag,
        name: "generated-tagger".to_owned(),
        revision: [1; 32],
        labels: tags::labels(scale),
        dimensions: 0,
        thresholds: Thresholds::default(),
        activate_if_first: true,
    }
}

fn embedder() -> NewModel {
    NewModel {
        kind: ModelKind::Embed,
        name: "generated-embedder".to_owned(),
        revision: [2; 32],
        labels: Vec::new(),
        dimensions: picture::DIMENSIONS,
        thresholds: Thresholds::default(),
        activate_if_first: true,
    }
}
