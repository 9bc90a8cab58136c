//! A library without pictures: posts are registered, embedded, tagged, trashed and purged by bare
//! calls of the store, as a watcher, a node and a person would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kit::client::{Channel, Peer};
use kumo_tests::pictures::Dice;
use proto::store::v1::{
    admin_service_client::AdminServiceClient, edit_service_client::EditServiceClient,
    model_service_client::ModelServiceClient, node_service_client::NodeServiceClient,
    post_service_client::PostServiceClient, task_service_client::TaskServiceClient,
    trash_service_client::TrashServiceClient, *,
};
use tonic::{Code, Status};

use super::look::{DIMENSIONS, Look};

/// Tags that people give, with the weight of their category.
pub(super) const TAGS: [(&str, TagCategory, f64); 8] = [
    ("sky", TagCategory::General, 1.0),
    ("sea", TagCategory::General, 1.0),
    ("night", TagCategory::General, 1.0),
    ("alice", TagCategory::Character, 3.0),
    ("wonderland", TagCategory::Copyright, 2.0),
    ("somebody", TagCategory::Artist, 2.0),
    ("cat", TagCategory::Species, 1.5),
    ("scan", TagCategory::Meta, 0.25),
];

/// The store as seen by those who fill it.
pub(super) struct Library {
    peer: Peer,
    /// What each content looks like, by its SHA-256.
    looks: BTreeMap<String, Look>,
    next: u32,
    /// Names of all posts that ever were.
    pub(super) names: Vec<String>,
    pub(super) active: [bool; 2],
}

impl Library {
    /// Two embedding models, the first one active, and a watcher with one folder.
    pub(super) async fn new(peer: Peer) -> Self {
        let mut library = Self {
            peer,
            looks: BTreeMap::new(),
            next: 1,
            names: Vec::new(),
            active: [true, false],
        };
        let watcher = RegisterWatcherRequest {
            watcher: "den".to_owned(),
            incarnation: 1,
            address: "http://127.0.0.1:9".to_owned(),
            roots: vec![WatchedRoot {
                path: b"/pictures".to_vec().into(),
                state: RootState::Online.into(),
                notice: String::new(),
            }],
            ..RegisterWatcherRequest::default()
        };
        library
            .call(|it| {
                let watcher = watcher.clone();
                async move { it.nodes().register_watcher(watcher).await }
            })
            .await;
        for (index, dimensions) in DIMENSIONS.into_iter().enumerate() {
            let model = RegisterModelRequest {
                kind: ModelKind::Embed.into(),
                display_name: format!("embedder-{index}"),
                revision: revision(index),
                dimensions: u32::try_from(dimensions).expect("is small"),
                activate_if_first: index == 0,
                ..RegisterModelRequest::default()
            };
            let made = library
                .call(|it| {
                    let model = model.clone();
                    async move { it.models().register_model(model).await }
                })
                .await;
            let named = made.model.expect("is there").name;
            assert_eq!(named, model_name(index));
        }
        library.active = [true, false];
        library
    }

    /// Calls until the store is there: it is restarted now and then.
    async fn call<T, F>(&self, ask: impl Fn(Asker) -> F) -> T
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        self.attempt(ask).await.expect("the store takes it")
    }

    async fn attempt<T, F>(&self, ask: impl Fn(Asker) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match ask(Asker(self.peer.clone())).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if status.code() == Code::Unavailable => {
                    assert!(Instant::now() < deadline, "the store is away: {status:?}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(status) => return Err(status),
            }
        }
    }

    pub(super) async fn register(&mut self, dice: &mut Dice, count: usize) {
        let mut posts = Vec::new();
        for _ in 0..count {
            let (number, look) = (self.next, Look::new(dice));
            self.next += 1;
            let post = look.picture(number);
            self.looks.insert(post.sha256.clone(), look);
            posts.push(post);
        }
        let answer = self
            .call(|it| {
                let posts = posts.clone();
                async move {
                    it.posts()
                        .register_posts(RegisterPostsRequest { posts })
                        .await
                }
            })
            .await;
        self.names
            .extend(answer.posts.into_iter().map(|post| post.name));
    }

    /// A node with a model comes, does at most `most` of what is to be done, and goes.
    pub(super) async fn embed(&mut self, model: usize, most: u32) {
        let node = RegisterNodeRequest {
            node: "node".to_owned(),
            incarnation: 1,
            kind: ModelKind::Embed.into(),
            models: vec![model_name(model)],
            device_class: DeviceClass::Cpu.into(),
            device_proof: "a test".to_owned(),
            ..RegisterNodeRequest::default()
        };
        self.call(|it| {
            let node = node.clone();
            async move { it.nodes().register_node(node).await }
        })
        .await;
        let lease = LeaseTasksRequest {
            node: "node".to_owned(),
            incarnation: 1,
            model: model_name(model),
            max_tasks: most,
            wait: None,
        };
        let leased = self
            .call(|it| {
                let lease = lease.clone();
                async move { it.tasks().lease_tasks(lease).await }
            })
            .await;
        let results = leased.tasks.iter().map(|task| {
            let vector = &self.looks[&task.sha256].vectors[model];
            let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
            TaskResult {
                task: task.name.clone(),
                token: task.token,
                render_revision: task.render_revision,
                result: Some(task_result::Result::Embedding(EmbedResult {
                    vector: bytes.into(),
                })),
            }
        });
        let done = CompleteTasksRequest {
            node: "node".to_owned(),
            incarnation: 1,
            results: results.collect(),
        };
        let done = self
            .call(|it| {
                let done = done.clone();
                async move { it.tasks().complete_tasks(done).await }
            })
            .await;
        for completion in done.completions {
            let taken = matches!(
                completion.state(),
                CompletionState::Accepted | CompletionState::Repeated | CompletionState::Stale
            );
            assert!(taken, "{completion:?}");
        }
    }

    pub(super) async fn activate(&mut self, model: usize, active: bool) {
        self.active[model] = active;
        let name = model_name(model);
        if active {
            self.call(|it| {
                let name = name.clone();
                async move {
                    it.models()
                        .activate_model(ActivateModelRequest { name })
                        .await
                }
            })
            .await;
        } else {
            self.call(|it| {
                let name = name.clone();
                async move {
                    it.models()
                        .deactivate_model(DeactivateModelRequest { name })
                        .await
                }
            })
            .await;
        }
    }

    pub(super) async fn trash(&mut self, names: Vec<String>) {
        // It may be purged, or there already.
        let _ = self
            .attempt(|it| {
                let names = names.clone();
                async move { it.trash().trash_posts(TrashPostsRequest { names }).await }
            })
            .await;
    }

    pub(super) async fn restore(&mut self, names: Vec<String>) {
        let _ = self
            .attempt(|it| {
                let names = names.clone();
                async move {
                    it.trash()
                        .restore_posts(RestorePostsRequest { names })
                        .await
                }
            })
            .await;
    }

    pub(super) async fn purge(&mut self, names: Vec<String>) {
        let _ = self
            .attempt(|it| {
                let names = names.clone();
                async move { it.trash().purge_posts(PurgePostsRequest { names }).await }
            })
            .await;
    }

    /// Gives a post a tag, or takes it away.
    pub(super) async fn tag(&mut self, post: String, tag: usize, add: bool) {
        let (name, category, _) = TAGS[tag];
        let mut edit = PostEdit {
            post,
            ..PostEdit::default()
        };
        if add {
            edit.add.push(NewTag {
                name: name.to_owned(),
                category: category.into(),
            });
        } else {
            edit.reset.push(name.to_owned());
        }
        // The post may be purged.
        let _ = self
            .attempt(|it| {
                let edits = vec![edit.clone()];
                async move { it.edits().edit_posts(EditPostsRequest { edits }).await }
            })
            .await;
    }

    /// Every post with its tags, as the store tells it, and what it looks like.
    pub(super) async fn posts(&self) -> Vec<(Post, Look)> {
        let names = self.names.clone();
        let mut all = Vec::new();
        for part in names.chunks(400) {
            let answer = self
                .call(|it| {
                    let request = BatchGetPostsRequest {
                        names: part.to_vec(),
                        view: PostView::Full.into(),
                    };
                    async move { it.posts().batch_get_posts(request).await }
                })
                .await;
            all.extend(answer.posts);
        }
        let look = |post: Post| {
            let look = self.looks[&post.sha256].clone();
            (post, look)
        };
        all.into_iter().map(look).collect()
    }

    /// The model that counts, as the store tells it, and where the feed stands.
    pub(super) async fn standing(&self) -> (Option<usize>, Cursor) {
        let models = self
            .call(|it| async move { it.models().list_models(ListModelsRequest {}).await })
            .await
            .models;
        let counts = models
            .iter()
            .position(|model| model.active && model.preferred && model.kind() == ModelKind::Embed);
        let stats = self
            .call(|it| async move { it.admin().get_stats(GetStatsRequest {}).await })
            .await;
        let cursor = Cursor {
            epoch: stats.epoch,
            seq: stats.seq,
        };
        (counts, cursor)
    }
}

/// Clients of the store.
#[derive(Clone)]
struct Asker(Peer);

impl Asker {
    fn posts(&self) -> PostServiceClient<Channel> {
        PostServiceClient::new(self.0.channel())
    }
    fn nodes(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.0.channel())
    }
    fn tasks(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.0.channel())
    }
    fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.0.channel())
    }
    fn trash(&self) -> TrashServiceClient<Channel> {
        TrashServiceClient::new(self.0.channel())
    }
    fn edits(&self) -> EditServiceClient<Channel> {
        EditServiceClient::new(self.0.channel())
    }
    fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.0.channel())
    }
}

/// Name of a model.
pub(super) fn model_name(model: usize) -> String {
    format!("models/{}", model + 1)
}

/// Its revision.
pub(super) fn revision(model: usize) -> String {
    ["a1", "b2"][model].repeat(32)
}
