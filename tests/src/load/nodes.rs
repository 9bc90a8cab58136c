//! Simulated inference nodes: each leases a batch, invents its results, completes it, and so on until
//! nothing is left.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Args;
use kit::client::Channel;
use proto::store::v1::{
    CompleteTasksRequest, CompletionState, DeviceClass, EmbedResult, LeaseTasksRequest, LeasedTask,
    ModelKind, RegisterNodeRequest, TagResult, TaskResult, node_service_client::NodeServiceClient,
    task_result, task_service_client::TaskServiceClient,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{books, library::Library, link::Link, times::Times, vectors::Vectors};
use crate::pictures::Dice;

/// A library, and nodes that do all its tasks.
#[derive(Debug, Clone, Args)]
pub struct Nodes {
    /// The library.
    #[command(flatten)]
    pub library: Library,
    /// Nodes.
    #[arg(long, default_value_t = 64)]
    pub nodes: u32,
    /// Tasks leased and completed at once, at most 256.
    #[arg(long, default_value_t = 32)]
    pub batch: u32,
    /// Labels of a result.
    #[arg(long, default_value_t = 48)]
    pub tags: u32,
    /// Centres around which vectors lie; 0: none.
    #[arg(long, default_value_t = 10_000)]
    pub clusters: usize,
}

/// What a node needs to invent results.
#[derive(Debug)]
struct Invention {
    seed: u64,
    labels: u32,
    tags: u32,
    vectors: Option<Vectors>,
}

/// What one node saw.
#[derive(Debug, Default)]
struct Seen {
    leases: Times,
    completions: Times,
}

impl Nodes {
    /// Fills the store, then measures from the first lease to the last completion.
    ///
    /// # Errors
    /// If a call fails, or a result is not accepted.
    pub async fn run(&self, link: &Link) -> Result<Value> {
        let begun = Instant::now();
        let filled = self.library.fill(link).await?;
        let filling = begun.elapsed();
        let dimensions = self.library.dimensions;
        let vectors = || Vectors::new(self.library.seed, dimensions as usize, self.clusters);
        let invention = Arc::new(Invention {
            seed: self.library.seed,
            labels: self.library.labels,
            tags: self.tags.min(self.library.labels),
            vectors: (dimensions > 0).then(vectors),
        });
        let done = Arc::new(AtomicU64::new(0));
        let mut nodes = JoinSet::new();
        let cpu = link.cpu_seconds("store")?;
        let begun = Instant::now();
        for number in 0..self.nodes {
            let node = Node {
                name: format!("load-{number}"),
                model: filled.model.clone(),
                batch: self.batch,
                channel: link.another()?,
                invention: Arc::clone(&invention),
                done: Arc::clone(&done),
            };
            nodes.spawn(node.work());
        }
        let mut rates = Vec::new();
        let (mut before, mut seen) = (0, Seen::default());
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.tick().await;
        loop {
            tokio::select! {
                ended = nodes.join_next() => match ended {
                    None => break,
                    Some(one) => {
                        let one = one??;
                        seen.leases.extend(&one.leases);
                        seen.completions.extend(&one.completions);
                    }
                },
                _ = second.tick() => {
                    let now = done.load(Ordering::Relaxed);
                    rates.push(now - before);
                    before = now;
                }
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = link.cpu_seconds("store")? - cpu;
        let tasks = done.load(Ordering::Relaxed);
        ensure!(
            tasks == self.library.posts,
            "{tasks} of {} tasks were done; the store must be empty at first",
            self.library.posts
        );
        Ok(
            json!({"filling_s": filling.as_secs_f64(), "tasks": tasks, "seconds": seconds,
                  "store_cpu_s": cpu, "tasks_per_s": tasks as f64 / seconds, "rates": rates,
                  "lease": seen.leases.summary(), "complete": seen.completions.summary()}),
        )
    }
}

/// One simulated node, with a connection of its own.
struct Node {
    name: String,
    model: String,
    batch: u32,
    channel: Channel,
    invention: Arc<Invention>,
    done: Arc<AtomicU64>,
}

impl Node {
    async fn work(self) -> Result<Seen> {
        self.register().await?;
        let mut seen = Seen::default();
        let mut store = TaskServiceClient::new(self.channel.clone());
        loop {
            let request = LeaseTasksRequest {
                node: self.name.clone(),
                incarnation: 1,
                model: self.model.clone(),
                max_tasks: self.batch,
                wait: None,
            };
            let begun = Instant::now();
            let leased = store.lease_tasks(request).await?.into_inner().tasks;
            seen.leases.since(begun);
            if leased.is_empty() {
                return Ok(seen);
            }
            let results: Result<Vec<_>> = leased
                .iter()
                .map(|task| self.invention.result(task))
                .collect();
            let request = CompleteTasksRequest {
                node: self.name.clone(),
                incarnation: 1,
                results: results?,
            };
            let begun = Instant::now();
            let answer = store.complete_tasks(request).await?.into_inner();
            seen.completions.since(begun);
            for completion in &answer.completions {
                ensure!(
                    completion.state() == CompletionState::Accepted,
                    "{completion:?}"
                );
            }
            let count = answer.completions.len() as u64;
            self.done.fetch_add(count, Ordering::Relaxed);
        }
    }

    async fn register(&self) -> Result<()> {
        let kind = match self.invention.vectors {
            Some(_) => ModelKind::Embed,
            None => ModelKind::Tag,
        };
        let request = RegisterNodeRequest {
            node: self.name.clone(),
            incarnation: 1,
            kind: kind.into(),
            models: vec![self.model.clone()],
            device_class: DeviceClass::Cpu.into(),
            device_proof: "simulated".to_owned(),
            address: String::new(),
            version: "load".to_owned(),
        };
        NodeServiceClient::new(self.channel.clone())
            .register_node(request)
            .await?;
        Ok(())
    }
}

impl Invention {
    fn result(&self, task: &LeasedTask) -> Result<TaskResult> {
        let post = books::number_of(&task.sha256)?;
        let result = match &self.vectors {
            Some(vectors) => task_result::Result::Embedding(EmbedResult {
                vector: vectors.packed(post).into(),
            }),
            None => task_result::Result::Tags(self.tags(post)),
        };
        Ok(TaskResult {
            task: task.name.clone(),
            token: task.token,
            render_revision: task.render_revision,
            result: Some(result),
        })
    }

    /// Labels as common as a booru's tags: the n-th is about 1/n as common as the first.
    fn tags(&self, post: u64) -> TagResult {
        let mut dice = Dice::new(self.seed ^ post.rotate_left(12));
        let mut labels = std::collections::BTreeSet::new();
        while labels.len() < self.tags as usize {
            let label = f64::from(self.labels).powf(f64::from(dice.unit())) - 1.0;
            labels.insert((label as u32).min(self.labels - 1));
        }
        TagResult {
            confidences: labels.iter().map(|_| 0.5 + dice.unit() * 0.5).collect(),
            labels: labels.into_iter().collect(),
        }
    }
}
