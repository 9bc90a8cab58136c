//! Fills a running store with an invented library: a watcher, a model and posts with their tasks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result};
use clap::Args;
use kit::client::Channel;
use proto::store::v1::{
    HeartbeatWatcherRequest, Label, ModelKind, RegisterModelRequest, RegisterPostsRequest,
    RegisterWatcherRequest, RootState, TagCategory, WatchedRoot,
    model_service_client::ModelServiceClient, node_service_client::NodeServiceClient,
    post_service_client::PostServiceClient,
};
use tokio::task::JoinSet;

use super::{books::Books, link::Link};

const WATCHER: &str = "load";
/// Posts in one registration, and how many of those are under way at once.
const BATCH: u64 = 500;
const SENDERS: u64 = 4;

/// What the library is to be.
#[derive(Debug, Clone, Args)]
pub struct Library {
    /// Posts.
    #[arg(long, default_value_t = 10_000)]
    pub posts: u64,
    /// Other seeds give other libraries.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Labels of the tagging model; 0 if there is to be none.
    #[arg(long, default_value_t = 0)]
    pub labels: u32,
    /// Numbers in a vector of the embedding model; 0 if there is to be none.
    #[arg(long, default_value_t = 0)]
    pub dimensions: u32,
    /// Draw a picture for each perceptual hash, instead of random bits.
    #[arg(long)]
    pub drawn: bool,
}

/// A library that is in the store. Its watcher is online while this lives.
#[derive(Debug)]
pub(super) struct Filled {
    /// Name of the model, `models/1`.
    pub(super) model: String,
    _heartbeats: JoinSet<()>,
}

impl Library {
    /// Registers everything; tasks of the model wait to be leased.
    pub(super) async fn fill(&self, link: &Link) -> Result<Filled> {
        let (root, heartbeats) = watcher(link.store()).await?;
        let model = self.model(link.store()).await?;
        let next = Arc::new(AtomicU64::new(0));
        let books = Books {
            seed: self.seed,
            drawn: self.drawn,
        };
        let mut senders = JoinSet::new();
        for _ in 0..SENDERS {
            let (root, next, posts) = (root.clone(), Arc::clone(&next), self.posts);
            let mut store = PostServiceClient::new(link.store());
            senders.spawn(async move {
                loop {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    if first >= posts {
                        return Ok(());
                    }
                    let last = posts.min(first + BATCH);
                    let posts = (first..last).map(|number| books.post(&root, number));
                    let request = RegisterPostsRequest {
                        posts: posts.collect(),
                    };
                    store.register_posts(request).await?;
                }
            });
        }
        while let Some(sent) = senders.join_next().await {
            sent?.map_err(|status: tonic::Status| status)?;
        }
        Ok(Filled {
            model,
            _heartbeats: heartbeats,
        })
    }

    async fn model(&self, store: Channel) -> Result<String> {
        let kind = match (self.labels, self.dimensions) {
            (0, 0) => return Ok(String::new()),
            (_, 0) => ModelKind::Tag,
            (0, _) => ModelKind::Embed,
            _ => anyhow::bail!("name --labels or --dimensions, not both"),
        };
        let label = |number| Label {
            name: format!("label_{number}"),
            category: TagCategory::General.into(),
        };
        let request = RegisterModelRequest {
            kind: kind.into(),
            display_name: "load".to_owned(),
            revision: format!("{:064x}", 1 + self.seed),
            labels: (0..self.labels).map(label).collect(),
            thresholds: Vec::new(),
            activate_if_first: true,
            dimensions: self.dimensions,
        };
        let answer = ModelServiceClient::new(store)
            .register_model(request)
            .await?;
        let model = answer.into_inner().model;
        Ok(model.context("an answer without a model")?.name)
    }
}

/// Announces a watcher that holds every sample, and keeps it online.
async fn watcher(store: Channel) -> Result<(String, JoinSet<()>)> {
    let mut store = NodeServiceClient::new(store);
    let roots = vec![WatchedRoot {
        path: b"/load".to_vec().into(),
        state: RootState::Online.into(),
        notice: String::new(),
    }];
    let request = RegisterWatcherRequest {
        watcher: WATCHER.to_owned(),
        incarnation: 1,
        address: "http://127.0.0.1:1".to_owned(),
        sample_dir: b"/load/samples".to_vec().into(),
        roots: roots.clone(),
        version: "load".to_owned(),
    };
    let answer = store.register_watcher(request).await?.into_inner();
    let root = answer.roots.first().context("no root came back")?;
    let every = answer.every.context("no interval came back")?;
    let mut interval = tokio::time::interval(every.try_into()?);
    let heartbeat = HeartbeatWatcherRequest {
        watcher: WATCHER.to_owned(),
        incarnation: 1,
        roots,
        progress: None,
    };
    let mut heartbeats = JoinSet::new();
    heartbeats.spawn(async move {
        loop {
            interval.tick().await;
            // If the store is away, the calls that are measured say so.
            let _ = store.heartbeat_watcher(heartbeat.clone()).await;
        }
    });
    Ok((root.name.clone(), heartbeats))
}
