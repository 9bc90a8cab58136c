//! Pictures sent to the program: what it says of good ones, and of hostile bytes. There is no store
//! in these tests, because none is needed.

use std::time::Duration;

use bytes::Bytes;
use kit::client::Channel;
use proto::tagger::v1::tagger_service_client::TaggerServiceClient;
use proto::tagger::v1::{GetModelRequest, TagImageRequest, TagImageResponse};
use tonic::{Code, Status};

use crate::pictures::{figure, png};
use crate::program::{NOBODY, Program, run};
use crate::start::spoiled;

type Client = TaggerServiceClient<Channel>;

async fn send(
    client: &mut Client,
    bytes: Vec<u8>,
    min_confidence: f32,
) -> Result<TagImageResponse, Status> {
    let bytes = Bytes::from(bytes);
    let count = bytes.len().div_ceil(256 << 10).max(1);
    let pieces = (0..count).map(move |number| {
        let from = number * (256 << 10);
        TagImageRequest {
            data: bytes.slice(from..bytes.len().min(from + (256 << 10))),
            min_confidence,
        }
    });
    let mut request = tonic::Request::new(tokio_stream::iter(pieces));
    request.set_timeout(Duration::from_secs(60));
    client
        .tag_image(request)
        .await
        .map(tonic::Response::into_inner)
}

fn names(answer: &TagImageResponse) -> Vec<&str> {
    answer.tags.iter().map(|tag| tag.name.as_str()).collect()
}

fn assert_refused(outcome: Result<TagImageResponse, Status>, reason: &str) {
    let status = outcome.expect_err(reason);
    assert_eq!(
        kit::code::reason(&status).as_deref(),
        Some(reason),
        "{status:?}"
    );
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_known_colours_are_called_by_their_names() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = TaggerServiceClient::new(program.peer().await.channel());
    let white = figure([255, 255, 255], [200, 30, 30]);
    let answer = send(&mut client, white, 0.0).await.unwrap();
    assert!(
        names(&answer).contains(&"white_background"),
        "{:?}",
        names(&answer)
    );
    assert_eq!(
        (answer.model_name.as_str(), answer.device.as_str()),
        ("palette-tagger", "cpu")
    );
    assert!(!answer.node.is_empty() && answer.run_time.is_some() && answer.render_time.is_some());

    let red = send(
        &mut client,
        png(|x, y| [200, (60.0 * x) as u8, (60.0 * y) as u8]),
        0.0,
    )
    .await
    .unwrap();
    assert!(names(&red).contains(&"red_theme"), "{:?}", names(&red));
    let grey = png(|x, _| [(255.0 * x) as u8; 3]);
    let grey = send(&mut client, grey, 0.0).await.unwrap();
    assert!(names(&grey).contains(&"greyscale"), "{:?}", names(&grey));
    assert!(!names(&grey).contains(&"colorful"));

    let all = send(&mut client, figure([0, 0, 0], [250, 250, 250]), 0.000_001)
        .await
        .unwrap();
    assert!(all.tags.len() > 5, "low confidences too: {:?}", all.tags);
    assert!(all.tags.is_sorted_by(|a, b| a.confidence >= b.confidence));

    let model = client
        .get_model(GetModelRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(model.revision, all.revision);
    assert_eq!((model.labels.len(), model.max_batch), (34, 32));
    let (code, said) = program.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_bytes_are_refused_with_a_reason_and_harm_nobody() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = TaggerServiceClient::new(program.peer().await.channel());
    let good = figure([255, 255, 255], [200, 30, 30]);
    assert_refused(send(&mut client, Vec::new(), 0.0).await, "EMPTY_FILE");
    assert_refused(
        send(&mut client, b"no picture at all".repeat(1000), 0.0).await,
        "NOT_A_PICTURE",
    );
    let half = good[..good.len() / 2].to_vec();
    assert_refused(send(&mut client, half, 0.0).await, "TRUNCATED");
    assert_refused(send(&mut client, good.clone(), 1.5).await, "INVALID_FIELD");
    assert_refused(
        send(&mut client, good.clone(), f32::NAN).await,
        "INVALID_FIELD",
    );
    let mut endless = good.clone();
    endless.resize(257 << 20, 0);
    assert_refused(send(&mut client, endless, 0.0).await, "TOO_LARGE");

    // The picture was streamed through: nothing of its size was ever held.
    assert!(program.peak_mib() < 256, "{} MiB", program.peak_mib());
    let answer = send(&mut client, good, 0.0).await.unwrap();
    assert!(names(&answer).contains(&"white_background"));
}

#[test]
fn labels_of_another_model_are_told_by_their_file() {
    let labels = spoiled("labels.csv", |mut bytes| {
        bytes.extend_from_slice(b"one_too_many,general\n");
        bytes
    });
    let folder = labels.path().to_str().unwrap();
    let (code, said) = run(&["--store", NOBODY, "--model", folder]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("35 labels"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_broken_off_frees_the_renderer() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = TaggerServiceClient::new(program.peer().await.channel());
    let good = figure([255, 255, 255], [200, 30, 30]);
    // It has loaded its model, and what takes time from here on is the call.
    client.get_model(GetModelRequest {}).await.unwrap();
    for _ in 0..3 {
        let first = TagImageRequest {
            data: good[..1000].to_vec().into(),
            min_confidence: 0.0,
        };
        // One piece, and then silence until the caller has had enough.
        let pieces =
            tokio_stream::StreamExt::chain(tokio_stream::iter([first]), tokio_stream::pending());
        let mut request = tonic::Request::new(pieces);
        request.set_timeout(Duration::from_millis(300));
        let status = client.tag_image(request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    }
    let answer = send(&mut client, good, 0.0).await.unwrap();
    assert!(names(&answer).contains(&"white_background"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_a_picture_by_itself_is_refused_as_such() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = TaggerServiceClient::new(program.peer().await.channel());
    let good = figure([255, 255, 255], [200, 30, 30]);
    let piece = |data: Vec<u8>| TagImageRequest {
        data: data.into(),
        min_confidence: 0.0,
    };
    let large = piece(vec![0; 3 << 20]);
    // Alone, and after one that began well.
    for pieces in [vec![large.clone()], vec![piece(good.clone()), large]] {
        let mut request = tonic::Request::new(tokio_stream::iter(pieces));
        request.set_timeout(Duration::from_secs(60));
        let answer = client.tag_image(request).await;
        assert_refused(answer.map(tonic::Response::into_inner), "TOO_LARGE");
    }
    let whole = tonic::Request::new(tokio_stream::iter([piece(good)]));
    client.tag_image(whole).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_never_begins_ends() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = TaggerServiceClient::new(program.peer().await.channel());
    let mut request = tonic::Request::new(tokio_stream::pending::<TagImageRequest>());
    request.set_timeout(Duration::from_secs(60));
    let status = client.tag_image(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let reason = kit::code::reason(&status);
    assert_eq!(reason.as_deref(), Some("SOURCE_UNREADABLE"), "{status:?}");
    assert!(status.message().contains("nothing came"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_in_line_on_one_connection_do_not_starve_the_one_at_work() {
    let mut program = Program::start(&["--store", NOBODY]);
    let client = TaggerServiceClient::new(program.peer().await.channel());
    let mut large = figure([255, 255, 255], [200, 30, 30]);
    // What follows the picture is sent and read, though nobody looks at it.
    large.resize(3 << 20, 0);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (mut client, large) = (client.clone(), large.clone());
        calls.spawn(async move { send(&mut client, large, 0.0).await });
    }
    while let Some(answer) = calls.join_next().await {
        assert!(names(&answer.unwrap().unwrap()).contains(&"white_background"));
    }
}
