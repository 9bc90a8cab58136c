//! A store, the service that follows it, and clients of the service.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use kit::client::{Channel, Peer};
use kit::{Context, config::Configured};
use kumo_similarity::Config;
use proto::similarity::v1::{
    self as wire, FindSimilarRequest, GetIndexRequest, GetIndexResponse, SimilarOptions,
    SimilarPosts, find_similar_request::Subject,
    similarity_service_client::SimilarityServiceClient,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::Status;

use super::state::State;
use super::store::Store;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Store and service.
pub(super) struct Den {
    pub(super) store: Store,
    data: TempDir,
    service: Option<(Context, JoinHandle<Result<(), kumo_similarity::Error>>)>,
}

impl Den {
    /// Both, the store holding what `fill` puts there.
    pub(super) async fn new(fill: impl FnOnce(&mut State)) -> Self {
        let mut den = Self::without_service(fill);
        den.start().await;
        den.abreast().await;
        den
    }

    /// The store alone.
    pub(super) fn without_service(fill: impl FnOnce(&mut State)) -> Self {
        let store = Store::start();
        fill(&mut store.state());
        Self {
            store,
            data: tempfile::tempdir().expect("a folder"),
            service: None,
        }
    }

    /// Starts the service.
    pub(super) async fn start(&mut self) {
        let text = |path: &Path| path.to_str().expect("is UTF-8").to_owned();
        let config = Config::parse_from([
            "kumo-similarity".to_owned(),
            format!("--store={}", self.store.address),
            format!("--data={}", text(self.data.path())),
            format!("--renderer={}", text(&renderer())),
            "--listen=127.0.0.1:0".to_owned(),
            "--admin-listen=127.0.0.1:0".to_owned(),
            "--snapshot-every=0.1".to_owned(),
        ]);
        let cx = Context::open(
            "similarity",
            config.shared().clone(),
            Config::default_listen(),
        )
        .await
        .expect("opens");
        let serving = cx
            .tasks
            .spawn("similarity", kumo_similarity::serve(config, cx.clone()));
        self.service = Some((cx, serving));
    }

    /// Stops the service in order.
    pub(super) async fn stop(&mut self) {
        let (cx, serving) = self.service.take().expect("runs");
        cx.shutdown.begin();
        let ended = tokio::time::timeout(PATIENCE, serving).await;
        ended
            .expect("ends in time")
            .expect("does not panic")
            .expect("ends well");
        cx.tasks.joined().await;
    }

    pub(super) fn cx(&self) -> &Context {
        &self.service.as_ref().expect("runs").0
    }

    /// Where the snapshot lies.
    pub(super) fn snapshot(&self) -> PathBuf {
        self.data.path().join("similarity").join("snapshot.bin")
    }

    /// A client of the service.
    pub(super) fn client(&self) -> SimilarityServiceClient<Channel> {
        let cx = self.cx();
        let peer = Peer::new(&cx.local_addr().to_string(), &cx.credential);
        SimilarityServiceClient::new(peer.expect("an address").channel())
    }

    pub(super) async fn index(&self) -> GetIndexResponse {
        let answer = self.client().get_index(GetIndexRequest {}).await;
        answer.expect("answers").into_inner()
    }

    /// Waits until the index is as `fits` says.
    pub(super) async fn until(
        &self,
        what: &str,
        fits: impl Fn(&GetIndexResponse) -> bool,
    ) -> GetIndexResponse {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let index = self.index().await;
            if fits(&index) {
                return index;
            }
            assert!(Instant::now() < deadline, "{what}: {index:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until everything that the store knows was taken in.
    pub(super) async fn abreast(&self) -> GetIndexResponse {
        self.until("is abreast of the store", |index| {
            let state = self.store.state();
            index.following
                && index.lag == 0
                && index.cursor == Some(state.cursor())
                && index.model == state.model
        })
        .await
    }

    /// Waits until health says this.
    pub(super) async fn ready(&self, ready: bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.cx().health.reasons().is_empty() != ready {
            let reasons = self.cx().health.reasons();
            assert!(
                Instant::now() < deadline,
                "ready is not {ready}: {reasons:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn like(
        &self,
        subject: Subject,
        options: SimilarOptions,
    ) -> Result<SimilarPosts, Status> {
        let request = FindSimilarRequest {
            subject: Some(subject),
            options: Some(options),
        };
        let answer = self.client().find_similar(request).await?;
        Ok(answer.into_inner().found.expect("is there"))
    }

    pub(super) async fn like_post(&self, post: u32) -> Result<SimilarPosts, Status> {
        let subject = Subject::Post(format!("posts/{post}"));
        self.like(subject, SimilarOptions::default()).await
    }
}

/// The one channel.
pub(super) fn only(channel: wire::Channel) -> SimilarOptions {
    SimilarOptions {
        weights: vec![wire::ChannelWeight {
            channel: channel.into(),
            weight: 1.0,
        }],
        ..SimilarOptions::default()
    }
}

/// Numbers of the posts found, in order.
pub(super) fn posts(found: &SimilarPosts) -> Vec<u32> {
    let number = |post: &wire::SimilarPost| kit::id::parse("posts/", &post.post);
    let numbers = found.posts.iter().map(number);
    numbers
        .collect::<Result<_, _>>()
        .expect("are names of posts")
}

/// Why a channel took no part; empty if it did, or was not asked for.
pub(super) fn missing(found: &SimilarPosts, channel: wire::Channel) -> &str {
    let report = found.channels.iter().find(|one| one.channel() == channel);
    report.map_or("", |report| &report.reason)
}

/// The renderer, built with the same profile as this test.
pub(super) fn renderer() -> PathBuf {
    let this = std::env::current_exe().expect("a running program has a path");
    let profile = this
        .ancestors()
        .nth(2)
        .expect("deps/ lies in a profile folder");
    let program = profile.join("kumo-renderer");
    assert!(
        program.exists(),
        "{} is not built; run `make tests`, which builds the programs first",
        program.display()
    );
    program
}
