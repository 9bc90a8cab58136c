//! What a library costs and how fast it fills: `cargo run --release -p kumo-store-core --example
//! fill_library [POSTS] [DIRECTORY]`. Registers, leases and completes through the public calls, 30
//! tags a post, then opens the store anew and asks it. Prints one figure a line.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kumo_store_core::effective::Thresholds;
use kumo_store_core::lease::Claim;
use kumo_store_core::location::Found;
use kumo_store_core::model::{Label, LabelCategory, NewModel, Registration};
use kumo_store_core::node::NewNode;
use kumo_store_core::post::{Content, NewPost, Sample};
use kumo_store_core::prediction::TagResult;
use kumo_store_core::query::Query;
use kumo_store_core::root::{RootKind, RootState, WatchedRoot};
use kumo_store_core::task;
use kumo_store_core::watcher::NewWatcher;
use kumo_store_core::{Category, DeviceClass, ModelId, ModelKind, Now, Options, Store};

const LABELS: u32 = 10_000;
/// Labels above the threshold, and stored ones below it.
const TAGS: usize = 30;
const FAINT: usize = 30;
/// Posts in one registration, tasks in one lease; a group has [`GROUP`] completions.
const BATCH: u32 = 100;
const LEASED: usize = 256;
const GROUP: usize = 64;
const ASKED: u64 = 10_000;

type Outcome<T> = Result<T, Box<dyn StdError>>;

/// SplitMix64: the same library every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About as likely as 1 in `label` of a booru's tags.
    fn label(&mut self) -> u32 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        f64::from(LABELS).powf(unit) as u32 - 1
    }
}

/// Times of one kind of call.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = work();
        self.0.push(start.elapsed());
        value
    }

    fn say(mut self, what: &str) {
        self.0.sort_unstable();
        let at = |share: usize| self.0[(self.0.len() - 1) * share / 100];
        let count = self.0.len();
        let (half, most, worst) = (at(50), at(99), at(100));
        say(&format!(
            "{what}: p50 {half:?}, p99 {most:?}, longest {worst:?} of {count}"
        ));
    }
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}

fn now() -> Now {
    Now {
        unix_ms: 1_700_000_000_000,
        mono_ms: 0,
    }
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let posts: u32 = args.next().map_or(Ok(100_000), |count| count.parse())?;
    let dir = args.next().map_or_else(
        || std::env::temp_dir().join(format!("kumo-fill-{}", std::process::id())),
        PathBuf::from,
    );
    let outcome = fill(&dir, posts).and_then(|()| ask(&dir, posts));
    std::fs::remove_dir_all(&dir)?;
    outcome
}

fn fill(dir: &Path, posts: u32) -> Outcome<()> {
    let mut store = Store::open(dir, &Options::default(), now())?;
    let root = store
        .write(|w| w.register_watcher(&watcher(), &[folder()], now()))?
        .0[0]
        .id;
    let mut registration = Registration::new(model())?;
    let model = loop {
        if let (Some(model), _) = store.write(|w| registration.step(w, now()))? {
            break model.id;
        }
    };
    let mut times = Times::default();
    let start = Instant::now();
    for first in (1..=posts).step_by(BATCH as usize) {
        let last = posts.min(first + BATCH - 1);
        let batch: Vec<NewPost> = (first..=last).map(|n| picture(root, n)).collect();
        times.time(|| store.write(|w| w.register_posts(&batch, now())))?;
    }
    let rate = f64::from(posts) / start.elapsed().as_secs_f64();
    say(&format!("registered {rate:.0} posts/s"));
    times.say("registering 100, COMMIT included");
    complete(&mut store, model, posts)?;
    let stats = store.stats()?;
    let bytes = |sum: u64| sum as f64 / f64::from(posts);
    say(&format!(
        "database {:.0} bytes a post, log {} MiB",
        bytes(stats.database_bytes),
        stats.wal_bytes >> 20
    ));
    let mut times = Times::default();
    store.begin()?;
    store.request(|w| w.set_thresholds(model, Thresholds::default()))?;
    for _ in 0..50 {
        times.time(|| store.request(|w| w.upkeep(now())))?;
    }
    store.commit()?;
    times.say("a slice of upkeep, deriving anew");
    Ok(())
}

fn complete(store: &mut Store, model: ModelId, posts: u32) -> Outcome<()> {
    let holder = store
        .write(|w| {
            w.register_node(&node(model), now())?;
            w.holder("node", 1)
        })?
        .0;
    let mut random = Random(1);
    let (mut leases, mut requests, mut commits) =
        (Times::default(), Times::default(), Times::default());
    let start = Instant::now();
    loop {
        store.begin()?;
        let leased =
            leases.time(|| store.request(|w| w.lease_tasks(holder, model, LEASED, now())))?;
        store.commit()?;
        if leased.tasks.is_empty() {
            break;
        }
        for group in leased.tasks.chunks(GROUP) {
            store.begin()?;
            for task in group {
                let claim = Claim {
                    task: task.grant.task,
                    token: task.grant.token,
                };
                let said = result(&mut random);
                requests
                    .time(|| store.request(|w| w.complete_task(holder, claim, &said, now())))?;
            }
            commits.time(|| store.commit())?;
        }
    }
    let rate = f64::from(posts) / start.elapsed().as_secs_f64();
    say(&format!("completed {rate:.0} tasks/s, {GROUP} a group"));
    leases.say("leasing 256, COMMIT apart");
    requests.say("completing one");
    commits.say("COMMIT and publishing of 64");
    Ok(())
}

fn ask(dir: &Path, posts: u32) -> Outcome<()> {
    let start = Instant::now();
    let store = Store::open(dir, &Options::default(), now())?;
    say(&format!("opened anew in {:?}", start.elapsed()));
    say(&format!("resident {} MiB", resident_kib()? >> 10));
    let start = Instant::now();
    let memory = store.memory();
    say(&format!("counting memory {:?}", start.elapsed()));
    let index = memory.index;
    say(&format!(
        "index {:.2} bytes an association, {} associations, {} tags",
        index.postings as f64 / index.associations as f64,
        index.associations,
        index.tags
    ));
    let mut random = Random(7);
    let (mut gets, mut searches, mut pages, mut rows) = (
        Times::default(),
        Times::default(),
        Times::default(),
        Times::default(),
    );
    for _ in 0..ASKED {
        let id = 1 + (random.next() % u64::from(posts)) as u32;
        gets.time(|| store.post(id))?;
        let tag = |random: &mut Random| format!("tag_{}", random.label());
        let text = format!(
            "{} {} -{}",
            tag(&mut random),
            tag(&mut random),
            tag(&mut random)
        );
        let found = searches.time(|| -> Outcome<_> {
            let plan = text.parse::<Query>()?.plan(store.tags())?;
            Ok(store.index().search(&plan, None, 100, None)?)
        })?;
        rows.time(|| store.posts(&found.ids))?;
    }
    gets.say("reading one post");
    searches.say("search of three tags, a page of 100");
    rows.say("rows of that page");
    // As much as one query may ask for: a hundred beginnings of names.
    let wide: Vec<String> = (10..100).map(|n| format!("tag_{n}*")).collect();
    let query = wide.join(" or ").parse::<Query>()?;
    let mut hostile = Times::default();
    for _ in 0..100 {
        hostile.time(|| -> Outcome<_> {
            let plan = query.plan(store.tags())?;
            Ok(store.index().search(&plan, None, 100, None)?)
        })?;
    }
    hostile.say("search of 90 wildcards, 10,000 tags in all");
    let (mut after, mut cursor) = (0, store.cursor());
    cursor.seq = 0;
    loop {
        let page = pages.time(|| store.root_locations(1, after, 1_000))?;
        let Some(last) = page.last() else { break };
        after = last.id;
    }
    pages.say("page of 1,000 locations");
    let mut feed = Times::default();
    loop {
        let page = feed.time(|| store.changes(cursor, 1_000))?;
        cursor = page.cursor;
        if !page.more {
            break;
        }
    }
    feed.say("page of 1,000 changes");
    Ok(())
}

/// Of this process, by the kernel's word.
fn resident_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}

fn result(random: &mut Random) -> task::Outcome {
    let mut labels = BTreeSet::new();
    while labels.len() < TAGS + FAINT {
        labels.insert(random.label());
    }
    task::Outcome::Tags(TagResult {
        confidences: (0..labels.len())
            .map(|at| if at % 2 == 0 { 0.9 } else { 0.2 })
            .collect(),
        labels: labels.into_iter().collect(),
        render_revision: 1,
    })
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
        path: b"/pictures".to_vec(),
        kind: RootKind::Library,
        state: RootState::Online,
        notice: String::new(),
    }
}

fn node(model: ModelId) -> NewNode {
    NewNode {
        name: "node".to_owned(),
        incarnation: 1,
        kind: ModelKind::Tag,
        models: vec![model],
        device_class: DeviceClass::Cpu,
        device_proof: String::new(),
        address: String::new(),
        version: "0.1.0".to_owned(),
    }
}

fn model() -> NewModel {
    let label = |n: u32| Label {
        name: format!("tag_{n}"),
        category: LabelCategory::Tag(Category::General),
    };
    NewModel {
        kind: ModelKind::Tag,
        name: "tagger".to_owned(),
        revision: [1; 32],
        labels: (0..LABELS).map(label).collect(),
        dimensions: 0,
        thresholds: Thresholds::default(),
        activate_if_first: true,
    }
}

fn picture(root: u32, number: u32) -> NewPost {
    let mut random = Random(u64::from(number));
    let mut bytes = || -> [u8; 32] {
        let mut all = [0; 32];
        for part in all.as_chunks_mut::<8>().0 {
            *part = random.next().to_le_bytes();
        }
        all
    };
    let (sha256, md5, perceptual_hash, sample) = (bytes(), bytes(), bytes(), bytes());
    NewPost {
        content: Content {
            detail: 4_000,
            sha256,
            md5: md5.first_chunk().copied().unwrap_or_default(),
            media_type: "image/jpeg".to_owned(),
            byte_size: 1_000_000 + u64::from(number),
            width: 1_600,
            height: 1_200,
            frames: 1,
            has_alpha: false,
            partial: false,
            perceptual_hash,
            colours: "LEHV6nWB2yk8pyo0adR*.7kCMdnj".to_owned(),
            sample: Sample {
                render_revision: 1,
                byte_size: 150_000,
                sha256: sample,
                width: 1_600,
                height: 1_200,
            },
        },
        location: Found {
            root,
            path: format!("2024/holiday/{:03}/IMG_{number:07}.jpg", number % 500).into_bytes(),
            byte_size: 1_000_000 + u64::from(number),
            mtime_ns: 1_700_000_000_000_000_000 + i64::from(number),
            ctime_ns: 1_700_000_000_000_000_000 + i64::from(number),
            dev: 66_306,
            ino: 5_000_000 + u64::from(number),
        },
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
    }
}
