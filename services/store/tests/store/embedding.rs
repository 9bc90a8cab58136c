//! Vectors come in by tasks, and go out in bulk, by name and in the feed.

mod following;

use std::{collections::BTreeMap, time::Duration};

use proto::store::v1::{
    BatchGetEmbeddingsRequest, BatchGetEmbeddingsResponse, CompleteTasksRequest, Completion,
    CompletionState, Cursor, EmbedResult, GetPostRequest, LeasedTask, ListModelsRequest, Model,
    ModelKind, PostEmbedding, RegisterModelRequest, RegisterNodeRequest, StreamEmbeddingsRequest,
    StreamEmbeddingsResponse, TaskResult, WatchChangesRequest, task_result,
};
use tonic::{Code, Streaming};

use crate::harness::{Clients, Scene, lease_request, model, node, refused};

const DIMENSIONS: u32 = 16;

/// A scene with an embedder, `models/2`, and a node of it called `eye`.
async fn scene(dimensions: u32) -> Scene {
    let mut scene = Scene::new().await;
    let request = embedder("e1", dimensions);
    let answer = scene.to.models.register_model(request).await;
    let known = answer.expect("registers").into_inner().model;
    let known = known.expect("is told");
    assert_eq!(
        (known.name.as_str(), known.dimensions),
        ("models/2", dimensions)
    );
    assert!(known.active && known.preferred);
    let answer = scene.to.nodes.register_node(eye("models/2")).await;
    answer.expect("registers");
    scene
}

fn embedder(revision: &str, dimensions: u32) -> RegisterModelRequest {
    RegisterModelRequest {
        kind: ModelKind::Embed.into(),
        display_name: "layout".to_owned(),
        revision: revision.repeat(32),
        labels: Vec::new(),
        dimensions,
        ..model()
    }
}

fn eye(model: &str) -> RegisterNodeRequest {
    RegisterNodeRequest {
        kind: ModelKind::Embed.into(),
        models: vec![model.to_owned()],
        ..node("eye", 1)
    }
}

/// A vector of length 1 along an axis.
fn along(axis: u32, dimensions: u32) -> Vec<u8> {
    let one_at = |at| {
        if at == axis % dimensions {
            0x3c00_u16
        } else {
            0
        }
    };
    (0..dimensions)
        .flat_map(|at| one_at(at).to_le_bytes())
        .collect()
}

fn delivered(task: &LeasedTask, vector: Vec<u8>) -> TaskResult {
    TaskResult {
        task: task.name.clone(),
        token: task.token,
        render_revision: task.render_revision,
        result: Some(task_result::Result::Embedding(EmbedResult {
            vector: vector.into(),
        })),
    }
}

async fn complete(to: &mut Clients, results: Vec<TaskResult>) -> Vec<Completion> {
    let request = CompleteTasksRequest {
        node: "eye".to_owned(),
        incarnation: 1,
        results,
    };
    let answer = to.tasks.complete_tasks(request).await.expect("completes");
    answer.into_inner().completions
}

/// Leases up to `max` tasks of a model and delivers a vector for each, along the axis of its
/// post's number. Returns how many.
async fn embed(to: &mut Clients, model: &str, dimensions: u32, max: u32) -> usize {
    let mut request = lease_request("eye", max, Duration::ZERO);
    request.model = model.to_owned();
    let answer = to.tasks.lease_tasks(request).await.expect("leases");
    let tasks = answer.into_inner().tasks;
    let result = |task: &LeasedTask| {
        let number: u32 = task.post["posts/".len()..].parse().expect("a number");
        delivered(task, along(number, dimensions))
    };
    let done = complete(to, tasks.iter().map(result).collect()).await;
    assert!(done.iter().all(|c| c.state() == CompletionState::Accepted));
    done.len()
}

async fn stream(
    to: &mut Clients,
    model: &str,
    after: &str,
) -> Result<Streaming<StreamEmbeddingsResponse>, tonic::Status> {
    let request = StreamEmbeddingsRequest {
        model: model.to_owned(),
        after: after.to_owned(),
    };
    Ok(to.embeddings.stream_embeddings(request).await?.into_inner())
}

async fn pages(to: &mut Clients, model: &str, after: &str) -> Vec<StreamEmbeddingsResponse> {
    let mut stream = stream(to, model, after).await.expect("streams");
    let mut pages = Vec::new();
    while let Some(page) = stream.message().await.expect("is no error") {
        pages.push(page);
    }
    pages
}

/// Everything there is, from scratch.
async fn everything(to: &mut Clients) -> BTreeMap<String, PostEmbedding> {
    let pages = pages(to, "", "").await;
    let all = pages.into_iter().flat_map(|page| page.embeddings);
    all.map(|one| (one.post.clone(), one)).collect()
}

async fn batch(
    to: &mut Clients,
    names: &[&str],
    model: &str,
) -> Result<BatchGetEmbeddingsResponse, tonic::Status> {
    let request = BatchGetEmbeddingsRequest {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        model: model.to_owned(),
    };
    let answer = to.embeddings.batch_get_embeddings(request).await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn a_vector_goes_from_its_task_to_every_reader() {
    let Scene { mut to, .. } = scene(DIMENSIONS).await;
    to.register(1..=3).await;
    let before = to.stats().await;
    assert_eq!(embed(&mut to, "models/2", DIMENSIONS, 2).await, 2);
    let stats = to.stats().await;
    assert_eq!((stats.embeddings, stats.predictions), (2, 0));
    assert_eq!(stats.seq, before.seq + 2, "the feed moves");

    let all = pages(&mut to, "", "").await;
    let [page] = &all[..] else {
        panic!("one page: {all:?}");
    };
    assert_eq!(
        (page.model.as_str(), page.dimensions),
        ("models/2", DIMENSIONS)
    );
    let cursor = page.cursor.expect("is told");
    assert_eq!((cursor.epoch, cursor.seq), (stats.epoch, stats.seq));
    let [one, two, three] = &page.embeddings[..] else {
        panic!("three posts: {page:?}");
    };
    assert_eq!(
        [&one.post, &two.post, &three.post],
        ["posts/1", "posts/2", "posts/3"]
    );
    let vectors = [one, two, three].map(|post| post.vector.to_vec());
    assert_eq!(vectors, [along(1, 16), along(2, 16), Vec::new()]);
    let posted = crate::harness::picture(1);
    assert_eq!(one.perceptual_hash, posted.perceptual_hash);
    assert_eq!((one.colours.as_str(), one.detail), ("L00000", 65_535));

    let rest = pages(&mut to, "models/2", "posts/2").await;
    assert_eq!(rest[0].embeddings, std::slice::from_ref(three));
    let got = batch(&mut to, &["posts/3", "posts/9", "posts/1"], "").await;
    let got = got.expect("answers");
    assert_eq!(got.embeddings, [three.clone(), one.clone()]);
    assert_eq!(
        (got.missing, got.model.as_str()),
        (vec!["posts/9".to_owned()], "models/2")
    );

    let request = GetPostRequest {
        name: "posts/2".to_owned(),
        view: 0,
    };
    let post = to.posts.get_post(request).await.expect("is there");
    let post = post.into_inner().post.expect("is there");
    assert_eq!(post.embedding_models, ["models/2"]);
    let request = WatchChangesRequest {
        cursor: None,
        until_now: true,
    };
    let changes = to.feed.watch_changes(request).await.expect("streams");
    let page = changes.into_inner().message().await.expect("is no error");
    let page = page.expect("comes");
    let order: Vec<_> = page.changes.iter().map(|c| c.post.as_str()).collect();
    assert_eq!(order, ["posts/3", "posts/1", "posts/2"]);
    assert_eq!(page.embed_model, "models/2");
}

#[tokio::test]
async fn vectors_that_cannot_be_compared_are_refused_one_by_one_and_stay_leased() {
    let Scene { mut to, .. } = scene(DIMENSIONS).await;
    to.register([1]).await;
    let mut request = lease_request("eye", 1, Duration::ZERO);
    request.model = "models/2".to_owned();
    let answer = to.tasks.lease_tasks(request).await.expect("leases");
    let task = &answer.into_inner().tasks[0];
    let mut nan = along(1, DIMENSIONS);
    nan[7] = 0x7e;
    let mut two = along(1, DIMENSIONS);
    two[3] = 0x40;
    let hostile = [
        (Vec::new(), "0 bytes"),
        (along(1, 15), "30 bytes"),
        (vec![0; 1 << 20], "1048576 bytes"),
        (vec![0; 32], "length 0.0000"),
        (nan, "NaN"),
        (two, "length 2.0000"),
    ];
    let mut results: Vec<TaskResult> = hostile
        .iter()
        .map(|(vector, _)| delivered(task, vector.clone()))
        .collect();
    results.push(crate::harness::result(task, &[1]));
    let refused = complete(&mut to, results).await;
    let expected = hostile.iter().map(|(_, text)| *text);
    for (completion, expected) in refused.iter().zip(expected.chain(["is an embedder"])) {
        assert_eq!(completion.state(), CompletionState::Refused);
        assert!(completion.message.contains(expected), "{completion:?}");
    }
    let good = || vec![delivered(task, along(3, DIMENSIONS))];
    for state in [CompletionState::Accepted, CompletionState::Repeated] {
        assert_eq!(complete(&mut to, good()).await[0].state(), state);
    }
    assert_eq!(to.stats().await.embeddings, 1);
}

#[tokio::test]
async fn models_and_names_that_make_no_sense_are_refused() {
    let Scene { mut to, .. } = scene(DIMENSIONS).await;
    to.register([1]).await;
    for (name, code, reason) in [
        ("models/7", Code::NotFound, "NO_SUCH_MODEL"),
        ("models/1", Code::InvalidArgument, "INVALID_FIELD"),
        ("layout", Code::InvalidArgument, "BAD_RESOURCE_NAME"),
    ] {
        refused(stream(&mut to, name, "").await, code, reason);
        refused(batch(&mut to, &["posts/1"], name).await, code, reason);
    }
    let bad = stream(&mut to, "", "posts/x").await;
    refused(bad, Code::InvalidArgument, "BAD_RESOURCE_NAME");
    let many = vec!["posts/1"; 501];
    refused(
        batch(&mut to, &many, "").await,
        Code::InvalidArgument,
        "TOO_MANY",
    );

    for (dimensions, text) in [(7, "8 to 4096"), (4_097, "8 to 4096"), (17, "dimensions")] {
        let answer = to.models.register_model(embedder("e1", dimensions)).await;
        let message = refused(answer, Code::InvalidArgument, "INVALID_VALUE");
        assert!(message.contains(text), "{message}");
    }
    let mut tagger = model();
    tagger.dimensions = 16;
    tagger.revision = "77".repeat(32);
    let answer = to.models.register_model(tagger).await;
    refused(answer, Code::InvalidArgument, "INVALID_VALUE");
    let models = to.models.list_models(ListModelsRequest {}).await;
    let models = models.expect("answers").into_inner().models;
    let told: Vec<_> = models
        .iter()
        .map(|m: &Model| (m.dimensions, m.preferred))
        .collect();
    assert_eq!(told, [(0, true), (16, true)]);
}

#[tokio::test]
async fn an_empty_library_says_where_to_follow_from() {
    let Scene { mut to, .. } = Scene::new().await;
    let all = pages(&mut to, "", "").await;
    assert_eq!(all.len(), 1);
    assert!(all[0].embeddings.is_empty() && all[0].model.is_empty());
    assert_eq!(all[0].cursor.map(|c| c.seq), Some(0));
    let request = WatchChangesRequest {
        cursor: Some(Cursor {
            epoch: all[0].cursor.expect("is told").epoch ^ 1,
            seq: 0,
        }),
        until_now: true,
    };
    let answer = to.feed.watch_changes(request).await;
    refused(answer, Code::OutOfRange, "RESYNC_REQUIRED");
}

#[tokio::test]
async fn long_vectors_come_in_pages_that_every_client_takes() {
    let Scene { mut to, .. } = scene(4_096).await;
    to.register(1..=500).await;
    while embed(&mut to, "models/2", 4_096, 250).await > 0 {}
    let pages = pages(&mut to, "", "").await;
    let bytes = |page: &StreamEmbeddingsResponse| prost::Message::encoded_len(page);
    assert!(pages.iter().all(|page| bytes(page) < 1 << 20));
    assert_eq!(
        pages
            .iter()
            .map(|page| page.embeddings.len())
            .sum::<usize>(),
        500
    );
    let told = pages.split_last().expect("there is one").1;
    assert!(told.iter().all(|page| !page.embeddings.is_empty()));
    let names: Vec<String> = (1..=500).map(|n| format!("posts/{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let answer = batch(&mut to, &names, "").await;
    refused(answer, Code::InvalidArgument, "ANSWER_TOO_LARGE");
    let half = batch(&mut to, &names[..250], "").await.expect("answers");
    assert_eq!(half.embeddings.len(), 250);
}
