//! A store in this process on a free port, and clients of it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use clap::Parser;
use kit::{
    Context,
    client::{Channel, Peer},
    config::Configured,
};
use kumo_store::{Clock, Config, Error, serve};
use proto::store::v1::{
    CompleteTasksRequest, Completion, CompletionState, DeviceClass, GetStatsRequest,
    GetStatsResponse, Label, LeaseTasksRequest, LeaseTasksResponse, LeasedTask, ModelKind,
    NewLocation, NewPost, RegisterModelRequest, RegisterNodeRequest, RegisterPostsRequest,
    RegisterWatcherRequest, RootState, Sample, TagCategory, TagResult, TaskResult, WatchedRoot,
    admin_service_client::AdminServiceClient, capacity_service_client::CapacityServiceClient,
    edit_service_client::EditServiceClient, embedding_service_client::EmbeddingServiceClient,
    feed_service_client::FeedServiceClient, location_service_client::LocationServiceClient,
    match_service_client::MatchServiceClient, model_service_client::ModelServiceClient,
    node_service_client::NodeServiceClient, post_service_client::PostServiceClient,
    source_record_service_client::SourceRecordServiceClient, tag_service_client::TagServiceClient,
    task_result, task_service_client::TaskServiceClient, trash_service_client::TrashServiceClient,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

/// A running store.
pub(crate) struct Running {
    pub(crate) cx: Context,
    pub(crate) clock: Clock,
    served: JoinHandle<Result<(), Error>>,
}

impl Running {
    /// Starts a store on a data folder and waits until it is ready.
    pub(crate) async fn start(data: &Path) -> Self {
        let folder = data.to_str().expect("is UTF-8");
        let flags = ["store", "--listen", "127.0.0.1:0", "--data", folder];
        let config = Config::parse_from(flags);
        let clock = config.clock.clone();
        let cx = Context::open("store", config.shared.clone(), Config::default_listen())
            .await
            .expect("opens");
        let served = cx.tasks.spawn("serve", serve(config, cx.clone()));
        let store = Self { cx, clock, served };
        // Answered when the database is open.
        let mut to = store.clients();
        tokio::time::timeout(Duration::from_secs(20), to.stats())
            .await
            .expect("the store opens");
        assert_eq!(store.cx.health.reasons(), [""; 0]);
        store
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.cx.shutdown.begin();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.served);
        ended
            .await
            .expect("the store ends")
            .expect("does not panic")
            .expect("ends well");
    }

    fn channel(&self) -> Channel {
        Peer::new(&self.cx.local_addr().to_string(), &self.cx.credential)
            .expect("an address")
            .channel()
    }

    pub(crate) fn clients(&self) -> Clients {
        Clients::new(&self.channel())
    }
}

/// All clients of one store.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) posts: PostServiceClient<Channel>,
    pub(crate) tags: TagServiceClient<Channel>,
    pub(crate) edits: EditServiceClient<Channel>,
    pub(crate) records: SourceRecordServiceClient<Channel>,
    pub(crate) trash: TrashServiceClient<Channel>,
    pub(crate) locations: LocationServiceClient<Channel>,
    pub(crate) tasks: TaskServiceClient<Channel>,
    pub(crate) models: ModelServiceClient<Channel>,
    pub(crate) nodes: NodeServiceClient<Channel>,
    pub(crate) feed: FeedServiceClient<Channel>,
    pub(crate) embeddings: EmbeddingServiceClient<Channel>,
    pub(crate) matching: MatchServiceClient<Channel>,
    pub(crate) capacity: CapacityServiceClient<Channel>,
    pub(crate) admin: AdminServiceClient<Channel>,
}

impl Clients {
    pub(crate) fn new(channel: &Channel) -> Self {
        Self {
            posts: PostServiceClient::new(channel.clone()),
            tags: TagServiceClient::new(channel.clone()),
            edits: EditServiceClient::new(channel.clone()),
            records: SourceRecordServiceClient::new(channel.clone()),
            trash: TrashServiceClient::new(channel.clone()),
            locations: LocationServiceClient::new(channel.clone()),
            tasks: TaskServiceClient::new(channel.clone()),
            models: ModelServiceClient::new(channel.clone()),
            nodes: NodeServiceClient::new(channel.clone()),
            feed: FeedServiceClient::new(channel.clone()),
            embeddings: EmbeddingServiceClient::new(channel.clone()),
            matching: MatchServiceClient::new(channel.clone()),
            capacity: CapacityServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel.clone()),
        }
    }

    /// Registers posts in `roots/1`, each told apart by its number.
    pub(crate) async fn register(&mut self, numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
        let posts = numbers.into_iter().map(picture).collect();
        let request = RegisterPostsRequest { posts };
        let answer = self.posts.register_posts(request).await.expect("registers");
        let posts = answer.into_inner().posts.into_iter();
        posts.map(|post| post.name).collect()
    }

    pub(crate) async fn stats(&mut self) -> GetStatsResponse {
        let answer = self.admin.get_stats(GetStatsRequest {}).await;
        answer.expect("answers").into_inner()
    }

    /// Leases up to `max` tasks of `models/1`.
    pub(crate) async fn lease(
        &mut self,
        node: &str,
        max: u32,
        wait: Duration,
    ) -> LeaseTasksResponse {
        let request = lease_request(node, max, wait);
        self.tasks
            .lease_tasks(request)
            .await
            .expect("leases")
            .into_inner()
    }

    /// Delivers one result for each task; returns what became of them.
    pub(crate) async fn complete(
        &mut self,
        node: &str,
        tasks: &[LeasedTask],
        labels: &[u32],
    ) -> Vec<CompletionState> {
        let request = CompleteTasksRequest {
            node: node.to_owned(),
            incarnation: 1,
            results: tasks.iter().map(|task| result(task, labels)).collect(),
        };
        let answer = self.tasks.complete_tasks(request).await.expect("completes");
        let completions = answer.into_inner().completions;
        completions.iter().map(Completion::state).collect()
    }
}

/// A store with a watcher, one root, a model of 60 labels and its node.
pub(crate) struct Scene {
    pub(crate) data: TempDir,
    pub(crate) store: Running,
    pub(crate) to: Clients,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let store = Running::start(data.path()).await;
        let mut to = store.clients();
        to.nodes
            .register_watcher(watcher("den"))
            .await
            .expect("registers the watcher");
        to.models
            .register_model(model())
            .await
            .expect("registers the model");
        to.nodes
            .register_node(node("one", 1))
            .await
            .expect("registers the node");
        Self { data, store, to }
    }

    /// Ends the store and starts it again on the same data.
    pub(crate) async fn restart(self) -> Self {
        let Self { data, store, .. } = self;
        store.stop().await;
        let store = Running::start(data.path()).await;
        let to = store.clients();
        Self { data, store, to }
    }
}

pub(crate) fn watcher(name: &str) -> RegisterWatcherRequest {
    RegisterWatcherRequest {
        watcher: name.to_owned(),
        incarnation: 1,
        address: "http://127.0.0.1:7802".to_owned(),
        sample_dir: b"/data/samples".to_vec().into(),
        roots: vec![WatchedRoot {
            path: format!("/pictures/{name}").into_bytes().into(),
            state: RootState::Online.into(),
            notice: String::new(),
        }],
        version: "test".to_owned(),
    }
}

pub(crate) fn model() -> RegisterModelRequest {
    let mut labels: Vec<Label> = (0..56)
        .map(|n| Label {
            name: format!("tag_{n:02}"),
            category: TagCategory::General.into(),
        })
        .collect();
    labels.extend(
        ["general", "sensitive", "questionable", "explicit"].map(|name| Label {
            name: name.to_owned(),
            category: TagCategory::Rating.into(),
        }),
    );
    RegisterModelRequest {
        dimensions: 0,
        kind: ModelKind::Tag.into(),
        display_name: "palette-tagger".to_owned(),
        revision: "5e".repeat(32),
        labels,
        thresholds: Vec::new(),
        activate_if_first: true,
    }
}

pub(crate) fn node(name: &str, incarnation: u64) -> RegisterNodeRequest {
    RegisterNodeRequest {
        node: name.to_owned(),
        incarnation,
        kind: ModelKind::Tag.into(),
        models: vec!["models/1".to_owned()],
        device_class: DeviceClass::Cpu.into(),
        device_proof: "test".to_owned(),
        address: String::new(),
        version: "test".to_owned(),
    }
}

/// A picture told apart by its number.
pub(crate) fn picture(number: u32) -> NewPost {
    let hash = |salt: u8| {
        let mut bytes = [salt; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        kit::hex::encode(&bytes)
    };
    NewPost {
        detail: None,
        sha256: hash(1),
        md5: hash(2)[..32].to_owned(),
        media_type: "image/png".to_owned(),
        byte_size: 1_000 + u64::from(number),
        width: 640,
        height: 480,
        frames: 1,
        has_alpha: false,
        partial: false,
        sample: Some(Sample {
            render_revision: 3,
            byte_size: 900,
            sha256: hash(3),
            width: 640,
            height: 480,
        }),
        perceptual_hash: hash(4),
        colours: "L00000".to_owned(),
        location: Some(NewLocation {
            root: "roots/1".to_owned(),
            path: format!("{number}.png").into_bytes().into(),
            byte_size: 1_000 + u64::from(number),
            mtime_ns: 5,
        }),
        traceparent: String::new(),
    }
}

pub(crate) fn lease_request(node: &str, max: u32, wait: Duration) -> LeaseTasksRequest {
    LeaseTasksRequest {
        node: node.to_owned(),
        incarnation: 1,
        model: "models/1".to_owned(),
        max_tasks: max,
        wait: wait.try_into().ok(),
    }
}

/// A result with these labels at 0.9, and the rating `general`.
pub(crate) fn result(task: &LeasedTask, labels: &[u32]) -> TaskResult {
    let mut labels = labels.to_vec();
    labels.push(56);
    TaskResult {
        task: task.name.clone(),
        token: task.token,
        render_revision: task.render_revision,
        result: Some(task_result::Result::Tags(TagResult {
            confidences: vec![0.9; labels.len()],
            labels,
        })),
    }
}

/// Asserts that a call was refused with a code and a reason, and returns its message.
#[track_caller]
pub(crate) fn refused<T>(answer: Result<T, Status>, code: Code, reason: &str) -> String {
    let status = answer.err().expect("the call is refused");
    assert_eq!(status.code(), code, "{status:?}");
    assert_eq!(
        kit::code::reason(&status).as_deref(),
        Some(reason),
        "{status:?}"
    );
    status.message().to_owned()
}

/// Asks again and again until the answer is as wanted; panics after ten seconds.
pub(crate) async fn eventually<T>(
    mut ask: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "did not happen within ten seconds"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
