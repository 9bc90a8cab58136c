//! Look-alikes: whatever happens, and in whatever order, the service ends up answering what a plain
//! comparison with every post of the store answers.
//!
//! `KUMO_SIMILAR_RUNS=N` runs N histories instead of the usual ones, `KUMO_SIMILAR_SEED=N` begins
//! at another seed.

mod library;
mod look;
mod naive;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use half::f16;
use kit::{Credential, client::Channel, client::Peer};
use kumo_tests::{
    cluster::{Machine, Program},
    pictures::Dice,
};
use proto::similarity::v1::{
    ChannelWeight, FindSimilarRequest, GetIndexRequest, GetIndexResponse, QueryVector,
    SimilarOptions, SimilarPosts, find_similar_request::Subject as Asked,
    similarity_service_client::SimilarityServiceClient,
};
use proto::store::v1::PostSet;
use rustix::process::Signal;

use library::{Library, TAGS, model_name, revision};
use look::DIMENSIONS;
use naive::{Known, Scan, Subject, compare};

/// Histories of an ordinary run, and steps of each.
const RUNS: u64 = 30;
const STEPS: usize = 24;
/// How long the service may take to be abreast.
const PATIENCE: Duration = Duration::from_secs(20);

fn below(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.below(end as u64)).expect("is below a usize")
}

/// Some of these, each at most once.
fn some<T: Clone>(dice: &mut Dice, from: &[T], most: usize) -> Vec<T> {
    let mut left = from.to_vec();
    let count = (1 + below(dice, most)).min(left.len());
    (0..count)
        .map(|_| left.swap_remove(below(dice, left.len())))
        .collect()
}

/// A machine with the two programs, and one who fills the store.
struct History {
    machine: Machine,
    store: Option<Program>,
    similarity: Option<Program>,
    library: Library,
    dice: Dice,
    said: Vec<String>,
}

impl History {
    async fn new(seed: u64) -> Self {
        let machine = Machine::new();
        let store = machine.start_store();
        let credential = Credential::local(&machine.data()).expect("the token can be read");
        let peer = Peer::new(&machine.store_address(), &credential).expect("an address");
        let mut history = Self {
            library: Library::new(peer).await,
            machine,
            store: Some(store),
            similarity: None,
            dice: Dice::new(seed),
            said: Vec::new(),
        };
        history.library.register(&mut history.dice, 40).await;
        history.similarity = Some(history.start());
        history
    }

    fn start(&self) -> Program {
        let store = self.machine.store_address();
        let flags = ["--store", &store, "--snapshot-every", "0.1"];
        self.machine.start("similarity", &flags)
    }

    fn snapshot(&self) -> PathBuf {
        self.machine.data().join("similarity").join("snapshot.bin")
    }

    fn client(&self) -> SimilarityServiceClient<Channel> {
        let program = self.similarity.as_ref().expect("runs");
        let credential = Credential::local(&self.machine.data()).expect("the token can be read");
        let peer = Peer::new(&program.address(), &credential).expect("an address");
        SimilarityServiceClient::new(peer.channel())
    }

    /// Does something at random.
    async fn step(&mut self) {
        let roll = below(&mut self.dice, 100);
        let library = &mut self.library;
        let dice = &mut self.dice;
        let did = match roll {
            0..20 => {
                let count = 1 + below(dice, 12);
                library.register(dice, count).await;
                format!("registers {count}")
            }
            20..45 => {
                let model = below(dice, 2);
                let most = 1 + below(dice, 40);
                library
                    .embed(model, u32::try_from(most).expect("is small"))
                    .await;
                format!("embeds up to {most} by model {model}")
            }
            45..58 => {
                let names = some(dice, &library.names, 4);
                let did = format!("trashes {names:?}");
                library.trash(names).await;
                did
            }
            58..64 => {
                for name in some(dice, &library.names, 6) {
                    library.restore(vec![name]).await;
                }
                "restores".to_owned()
            }
            64..70 => {
                for name in some(dice, &library.names, 6) {
                    library.purge(vec![name]).await;
                }
                "purges".to_owned()
            }
            70..80 => {
                for post in some(dice, &library.names, 10) {
                    let (tag, add) = (below(dice, TAGS.len()), below(dice, 4) > 0);
                    library.tag(post, tag, add).await;
                }
                "tags".to_owned()
            }
            80..87 => {
                let model = below(dice, 2);
                let active = !library.active[model];
                library.activate(model, active).await;
                format!("makes model {model} active: {active}")
            }
            87..96 => self.restart_similarity(),
            _ => self.restart_store(),
        };
        self.said.push(did);
    }

    fn restart_similarity(&mut self) -> String {
        let program = self.similarity.take().expect("runs");
        let killed = below(&mut self.dice, 2) == 0;
        if killed {
            program.kill();
        } else {
            assert!(program.stop().success(), "it ends in order");
        }
        let path = self.snapshot();
        let what = match below(&mut self.dice, 5) {
            0 => {
                // There may be none yet.
                let _ = fs::remove_file(&path);
                "without its snapshot"
            }
            1 => {
                if let Ok(mut bytes) = fs::read(&path) {
                    let at = below(&mut self.dice, bytes.len());
                    bytes[at] ^= 1 << below(&mut self.dice, 8);
                    fs::write(&path, bytes).expect("can be written");
                }
                "with a damaged snapshot"
            }
            _ => "with its snapshot",
        };
        self.similarity = Some(self.start());
        format!("restarts similarity (killed: {killed}) {what}")
    }

    fn restart_store(&mut self) -> String {
        let program = self.store.take().expect("runs");
        let killed = below(&mut self.dice, 2) == 0;
        if killed {
            program.signal(Signal::KILL);
        }
        drop(program);
        self.store = Some(self.machine.start_store());
        format!("restarts the store (killed: {killed})")
    }

    /// Waits until the service has taken in everything.
    async fn settle(&self) -> Result<(GetIndexResponse, Option<usize>), String> {
        let (model, cursor) = self.library.standing().await;
        let name = model.map_or_else(String::new, model_name);
        let mut client = self.client();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let index = client.get_index(GetIndexRequest {}).await;
            let seen = match index.map(tonic::Response::into_inner) {
                Ok(index) => {
                    let abreast = index.following && index.lag == 0;
                    if abreast && index.cursor == Some(cursor) && index.model == name {
                        return Ok((index, model));
                    }
                    format!("{index:?}")
                }
                Err(status) => status.to_string(),
            };
            if Instant::now() > deadline {
                return Err(format!("not abreast of {cursor:?} and {name:?}: {seen}"));
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    /// Compares what the service says with what is so.
    async fn check(&mut self) -> Result<(), String> {
        let (index, model) = self.settle().await?;
        let scan = Scan::new(self.library.posts().await, model);
        let counts = (index.posts, index.vectors);
        let wanted = (scan.posts.len() as u64, scan.vectors() as u64);
        if counts != wanted {
            return Err(format!(
                "holds {counts:?} posts and vectors, not {wanted:?}"
            ));
        }
        for _ in 0..6 {
            self.ask_by_post(&scan).await?;
        }
        if let Some(model) = model {
            self.ask_by_vector(&scan, model).await?;
        }
        Ok(())
    }

    async fn ask_by_post(&mut self, scan: &Scan) -> Result<(), String> {
        if scan.posts.is_empty() {
            return Ok(());
        }
        let dice = &mut self.dice;
        let post = &scan.posts[below(dice, scan.posts.len())];
        let weights: [f32; 4] = match below(dice, 3) {
            0 => [0.45, 0.35, 0.1, 0.1],
            1 => [1.0, 1.0, 1.0, 1.0],
            _ => [0; 4].map(|_| [0.0, 0.5, 3.0][below(dice, 3)]),
        };
        if weights.iter().all(|weight| *weight == 0.0) {
            return Ok(());
        }
        let k = [1, 5, 50, 1_000][below(dice, 4)];
        let numbers: Vec<u32> = scan.posts.iter().map(|post| post.number).collect();
        let within = (below(dice, 3) == 0).then(|| some(dice, &numbers, 40));
        let tag = (below(dice, 3) == 0).then(|| below(dice, TAGS.len()));
        let allowed = |post: &Known| {
            within
                .as_ref()
                .is_none_or(|within| within.contains(&post.number))
                && tag.is_none_or(|tag| post.tags.contains(&tag))
        };
        let options = SimilarOptions {
            page_size: i32::try_from(k).expect("is small"),
            weights: weighted(weights),
            query: tag.map_or_else(String::new, |tag| TAGS[tag].0.to_owned()),
            within: within.clone().map(|ids| PostSet {
                ids,
                keep_order: false,
            }),
            ..SimilarOptions::default()
        };
        let asked = Asked::Post(format!("posts/{}", post.number));
        let found = self.ask(asked, options.clone()).await?;
        let subject = scan.like(post);
        let expected = scan.like_all(&subject, weights.map(f64::from), allowed);
        compare(&found, &expected, k)
            .map_err(|why| format!("like posts/{} with {options:?}: {why}", post.number))
    }

    async fn ask_by_vector(&mut self, scan: &Scan, model: usize) -> Result<(), String> {
        let vector = look::vector(&mut self.dice, DIMENSIONS[model]);
        let values: Vec<f64> = vector.iter().copied().map(f16::to_f64).collect();
        let asked = Asked::Vector(QueryVector {
            revision: revision(model),
            values: values.iter().map(|value| *value as f32 * 2.5).collect(),
        });
        let found = self.ask(asked, SimilarOptions::default()).await?;
        let subject = Subject {
            post: None,
            vector: Some(values),
        };
        let expected = scan.like_all(&subject, [1.0, 0.0, 0.0, 0.0], |_| true);
        compare(&found, &expected, 20).map_err(|why| format!("like a vector: {why}"))
    }

    async fn ask(&self, subject: Asked, options: SimilarOptions) -> Result<SimilarPosts, String> {
        let request = FindSimilarRequest {
            subject: Some(subject),
            options: Some(options),
        };
        let found = self.client().find_similar(request).await;
        let found = found.map_err(|status| status.to_string())?.into_inner();
        Ok(found.found.expect("is there"))
    }
}

/// Weights as the contract has them.
fn weighted(weights: [f32; 4]) -> Vec<ChannelWeight> {
    let all = (1..).zip(weights);
    all.map(|(channel, weight)| ChannelWeight { channel, weight })
        .collect()
}

/// Lives through one history; what happened if it ended wrong.
async fn live(seed: u64) -> Result<(), String> {
    let mut history = History::new(seed).await;
    for step in 0..STEPS {
        history.step().await;
        let last = step + 1 == STEPS;
        if last || below(&mut history.dice, 12) == 0 {
            history.said.push("compares".to_owned());
            if let Err(why) = history.check().await {
                let log = history.similarity.as_ref().map(Program::log);
                return Err(format!(
                    "seed {seed}: {why}\nafter:\n  {}\nlog:\n{}",
                    history.said.join("\n  "),
                    log.unwrap_or_default()
                ));
            }
        }
    }
    Ok(())
}

/// A part of the histories, so that several can run at once.
fn live_all(part: u64, parts: u64) {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let runs = number("KUMO_SIMILAR_RUNS").unwrap_or(RUNS);
    let first = number("KUMO_SIMILAR_SEED").unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    for seed in (first..first + runs).filter(|seed| seed % parts == part) {
        let ended = runtime.block_on(live(seed));
        assert!(ended.is_ok(), "{}", ended.err().unwrap_or_default());
    }
}

#[test]
fn any_history_ends_with_the_answers_of_a_plain_comparison() {
    live_all(0, 2);
}

#[test]
fn any_other_history_ends_with_the_answers_of_a_plain_comparison() {
    live_all(1, 2);
}
