//! How fast look-alikes are found, one thread, nothing around it:
//! `cargo run --release -p kumo-similarity --example lookalike_speed -- [posts] [set]`, where the
//! set of vectors is `clusters` (10,000 of them), `positive` (the same, but no number is negative
//! and some dimensions are loud) or `uniform`. Prints one line a figure.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context;
use half::f16;
use kumo_similarity::{
    blend::Weights,
    colours::Colours,
    duplicates::Options,
    index::{Entry, Index, Model, PostId, Search, Subject, pool},
    snapshot::Position,
};
use renderer::PerceptualHash;
use roaring::RoaringBitmap;
use rustix::time::{ClockId, clock_gettime};

const DIMENSIONS: usize = 512;
const CLUSTERS: u64 = 10_000;
const QUERIES: u64 = 1000;
/// Queries whose answers are compared with those of comparing everything.
const CHECKED: u64 = 100;
/// Up to so many posts of a filter are compared without any short cut.
const EXACT: u32 = 4096;
const K: usize = 20;

/// SplitMix64: the same library every time.
struct Random(u64);

#[derive(Clone, Copy, PartialEq)]
enum Set {
    Clusters,
    Positive,
    Uniform,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal: four uniform numbers.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|part| bits >> (16 * part) & 0xffff).sum();
        (sum as f32 / 65_536.0 - 2.0) * 1.732
    }
}

impl Set {
    /// A vector of length 1; different seeds of the same post differ as posts of a cluster do.
    fn vector(self, seed: u64) -> Vec<f32> {
        let mut own = Random(seed << 20);
        let mut cluster = Random(u64::MAX - own.next() % CLUSTERS * 1_000_003);
        let mut values: Vec<f32> = (0..DIMENSIONS)
            .map(|at| match self {
                Self::Uniform => own.normal(),
                Self::Clusters => cluster.normal() + 0.6 * own.normal(),
                Self::Positive => {
                    let loud = if at % 16 == 0 { 4.0 } else { 0.5 };
                    (2.0 + cluster.normal() + 0.6 * own.normal()).max(0.0) * loud
                }
            })
            .collect();
        let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        for value in &mut values {
            *value /= length;
        }
        values
    }
}

/// Of a hundred pictures five are near another, ten are symmetric, one is nearly blank.
fn hash(post: PostId) -> PerceptualHash {
    let near = post.is_multiple_of(20);
    let mut random = Random(u64::from(if near { post - 1 } else { post }));
    let mut bits = [0; 32];
    for part in bits.as_chunks_mut::<8>().0 {
        *part = random.next().to_le_bytes();
    }
    if post % 10 == 3 {
        // Every second frequency across is missing.
        bits.iter_mut().for_each(|byte| *byte &= 0xaa);
    }
    if near {
        for flip in 0..u64::from(post) % 10 {
            let bit = (random.next().wrapping_add(flip) % 256) as usize;
            bits[bit / 8] ^= 1 << (bit % 8);
        }
    }
    if post % 100 == 7 {
        return PerceptualHash {
            bits: [0; 32],
            detail: 40,
        };
    }
    PerceptualHash { bits, detail: 3000 }
}

fn colours(post: PostId) -> Option<Colours> {
    const DIGITS: &[u8] =
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";
    let mut random = Random(u64::from(post) << 32);
    let mut text = String::from("L");
    let mut push = |value: u64, digits: u32| {
        for place in (0..digits).rev() {
            text.push(char::from(
                DIGITS[(value / 83_u64.pow(place) % 83) as usize],
            ));
        }
    };
    push(random.next() % 60, 1);
    push(random.next() % (1 << 24), 4);
    for _ in 0..11 {
        push(random.next() % 6859, 2);
    }
    Colours::parse(&text)
}

fn fill(posts: PostId, set: Option<Set>) -> anyhow::Result<Index> {
    let model = set.map(|_| Model {
        revision: [1; 32],
        dimensions: DIMENSIONS,
    });
    let mut index = Index::new(model);
    for post in 1..=posts {
        let vector: Option<Vec<u8>> = set.map(|set| {
            let values = set.vector(u64::from(post));
            let halves = values.iter().map(|value| f16::from_f32(*value));
            halves.flat_map(f16::to_le_bytes).collect()
        });
        index.put(
            post,
            &Entry {
                vector: vector.as_deref(),
                hash: Some(hash(post)),
                colours: colours(post),
            },
        )?;
    }
    Ok(index)
}

fn search(weights: [f32; 4]) -> anyhow::Result<Search<'static>> {
    Ok(Search {
        weights: Weights::new(weights).context("weights are fit")?,
        within: None,
        k: K,
        min_score: 0.0,
    })
}

/// What this process has used of its processors.
fn processor() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Prints p50 and p99 of answering each subject, and processor time a query: on a machine that does
/// other things beside, only the latter says what the work costs.
#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn time(what: &str, subjects: &[Subject], mut answer: impl FnMut(&Subject) -> usize) {
    let mut found = 0;
    let before = processor();
    let mut times: Vec<Duration> = subjects
        .iter()
        .map(|subject| {
            let start = Instant::now();
            found += answer(subject);
            start.elapsed()
        })
        .collect();
    let used = (processor() - before) / times.len().max(1) as u32;
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "{what}: p50 {:.2?} p99 {:.2?}, processor {used:.2?} ({found} found)",
        at(50),
        at(99)
    );
}

/// The best `K` by comparing with every vector: filters so small that nothing is left out.
fn exact(index: &Index, subject: &Subject, posts: PostId) -> anyhow::Result<Vec<PostId>> {
    let mut all = Vec::new();
    for first in (1..=posts).step_by(EXACT as usize) {
        let within: RoaringBitmap = (first..first.saturating_add(EXACT)).collect();
        let search = Search {
            within: Some(&within),
            ..search([1.0, 0.0, 0.0, 0.0])?
        };
        let candidates = index.candidates(subject, &search);
        all.extend(index.blend(subject, &search, &candidates, None));
    }
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.post.cmp(&b.post)));
    Ok(all.into_iter().take(K).map(|hit| hit.post).collect())
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn vectors(posts: PostId, set: Set) -> anyhow::Result<()> {
    let start = Instant::now();
    let index = fill(posts, Some(set))?;
    println!("filled in {:.1?}: {:?}", start.elapsed(), index.memory());
    println!("resident: {} MiB", kit::memory::Resident::read()?.rss >> 20);
    let subjects = (0..QUERIES)
        .map(|at| {
            let vector = index.unit(&set.vector(u64::from(posts) + 1 + at))?;
            let picture = (at * 997 % u64::from(posts)) as PostId + 1;
            let (hash, colours) = (hash(picture), colours(picture));
            Ok(Subject::outside(Some(vector), Some(hash), colours))
        })
        .collect::<anyhow::Result<Vec<Subject>>>()?;
    // What the memory allows here and now, to compare with.
    let memory = vec![1_u64; posts as usize * DIMENSIONS / 64];
    time("reading as many bytes as the codes have", &subjects, |_| {
        std::hint::black_box(&memory)
            .iter()
            .fold(0, |sum, word| sum ^ word) as usize
    });
    drop(memory);
    for (name, weights) in [
        ("embedding", [1.0, 0.0, 0.0, 0.0]),
        ("perceptual hash", [0.0, 1.0, 0.0, 0.0]),
        ("colour", [0.0, 0.0, 1.0, 0.0]),
        ("three channels", [0.45, 0.35, 0.1, 0.0]),
    ] {
        let search = search(weights)?;
        time(name, &subjects, |subject| {
            let candidates = index.candidates(subject, &search);
            index.blend(subject, &search, &candidates, None).len()
        });
    }
    let near = Search {
        min_score: 1.0 - 10.0 / 128.0,
        ..search([0.0, 1.0, 0.0, 0.0])?
    };
    time("perceptual hash within 10 bits", &subjects, |subject| {
        index.candidates(subject, &near).posts.len()
    });
    println!("now: {:?}", index.memory());
    let every_third: RoaringBitmap = (1..=posts).step_by(3).collect();
    let filtered = Search {
        within: Some(&every_third),
        ..search([1.0, 0.0, 0.0, 0.0])?
    };
    time("embedding, every third post", &subjects, |subject| {
        index.candidates(subject, &filtered).posts.len()
    });
    let search = search([1.0, 0.0, 0.0, 0.0])?;
    let (mut hit, mut wanted) = (0, 0);
    for subject in subjects.iter().take(CHECKED as usize) {
        let truth = exact(&index, subject, posts)?;
        let candidates = index.candidates(subject, &search);
        let found = index.blend(subject, &search, &candidates, None);
        hit += found.iter().filter(|hit| truth.contains(&hit.post)).count();
        wanted += truth.len();
    }
    println!("recall@{K}: {:.4}", f64::from(hit as u32) / wanted as f64);
    let path = std::env::temp_dir().join(format!("lookalike_speed.{}", std::process::id()));
    let start = Instant::now();
    let bytes = index.save(&path, Position::default())?;
    let saved = start.elapsed();
    drop(index);
    let start = Instant::now();
    let (loaded, _) = Index::load(&path)?;
    println!(
        "snapshot: {} MiB saved in {saved:.1?}, {} posts loaded in {:.1?}",
        bytes >> 20,
        loaded.posts(),
        start.elapsed()
    );
    fs::remove_file(path)?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn duplicates(posts: PostId) -> anyhow::Result<()> {
    let index = fill(posts, None)?;
    let before = kit::memory::Resident::read()?.peak;
    for max_distance in [10, 20] {
        let options = Options {
            max_distance,
            ..Options::default()
        };
        let (start, before_it) = (Instant::now(), processor());
        let found = index
            .duplicates(&options, &|| false)
            .context("not stopped")?;
        println!(
            "duplicates within {max_distance} bits: {:.2?}, processor {:.2?}, {} groups, {} nearly blank; peak {} MiB, {} MiB before",
            start.elapsed(),
            processor() - before_it,
            found.groups.len(),
            found.near_blank.len(),
            kit::memory::Resident::read()?.peak >> 20,
            before >> 20
        );
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let posts = words.next().map_or(Ok(1_000_000), |posts| posts.parse())?;
    let set = match words.next().as_deref() {
        None | Some("clusters") => Set::Clusters,
        Some("positive") => Set::Positive,
        Some("uniform") => Set::Uniform,
        Some(other) => anyhow::bail!("{other} is no set: clusters, positive, uniform"),
    };
    println!(
        "{posts} posts, answers of {K}, {} candidates a channel",
        pool(K)
    );
    duplicates(posts)?;
    vectors(posts, set)
}
