//! Pictures sent to the program: the vectors of good ones, and what becomes of hostile bytes. There is
//! no store in these tests, because none is needed.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::Bytes;
use kit::client::Channel;
use proto::embedder::v1::embedder_service_client::EmbedderServiceClient;
use proto::embedder::v1::{EmbedImageRequest, EmbedImageResponse, GetModelRequest};
use tonic::{Code, Status};

use crate::pictures::{figure, png};
use crate::program::{NOBODY, Program};

type Client = EmbedderServiceClient<Channel>;

const PIECE: usize = 256 << 10;

async fn client(program: &mut Program) -> Client {
    Client::new(program.peer().await.channel())
}

async fn send(client: &mut Client, bytes: impl Into<Bytes>) -> Result<EmbedImageResponse, Status> {
    let bytes = bytes.into();
    let count = bytes.len().div_ceil(PIECE).max(1);
    let pieces = (0..count).map(move |number| {
        let from = number * PIECE;
        let data = bytes.slice(from..bytes.len().min(from + PIECE));
        EmbedImageRequest { data }
    });
    let mut request = tonic::Request::new(tokio_stream::iter(pieces));
    request.set_timeout(Duration::from_secs(60));
    let answer = client.embed_image(request).await;
    answer.map(tonic::Response::into_inner)
}

fn cosine(one: &EmbedImageResponse, other: &EmbedImageResponse) -> f32 {
    one.vector
        .iter()
        .zip(&other.vector)
        .map(|(a, b)| a * b)
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_become_vectors_that_know_them_again() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = client(&mut program).await;
    let picture = figure([250, 240, 230], [200, 30, 30]);
    let found = send(&mut client, picture.clone()).await.unwrap();
    assert_eq!(
        (found.model_name.as_str(), found.device.as_str()),
        ("layout-embedder", "cpu")
    );
    assert!(!found.node.is_empty() && found.run_time.is_some() && found.render_time.is_some());
    assert!((cosine(&found, &found) - 1.0).abs() < 1e-5, "of length 1");
    let again = send(&mut client, picture).await.unwrap();
    assert_eq!(found.vector, again.vector);

    let darker = figure([225, 216, 207], [180, 27, 27]);
    let darker = send(&mut client, darker).await.unwrap();
    assert!(
        cosine(&found, &darker) > 0.98,
        "{}",
        cosine(&found, &darker)
    );
    let stripes = png(|x, y| {
        [
            (255.0 * y) as u8,
            120,
            if ((x * 9.0) as u8).is_multiple_of(2) {
                250
            } else {
                10
            },
        ]
    });
    let stripes = send(&mut client, stripes).await.unwrap();
    assert!(
        cosine(&found, &stripes) < 0.4,
        "{}",
        cosine(&found, &stripes)
    );

    let model = client
        .get_model(GetModelRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(model.revision, found.revision);
    assert_eq!(model.dimensions as usize, found.vector.len());
    assert_eq!(
        (model.display_name.as_str(), model.max_batch),
        ("layout-embedder", 32)
    );
    assert!(model.device_proof.contains("CPUExecutionProvider"));
    let (code, said) = program.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn even_a_picture_of_nothing_has_a_direction() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = client(&mut program).await;
    let mut vectors = Vec::new();
    for level in [0, 128, 255] {
        let plain = send(&mut client, png(|_, _| [level; 3])).await.unwrap();
        assert!((cosine(&plain, &plain) - 1.0).abs() < 1e-5, "{level}");
        vectors.push(plain);
    }
    // Black and white are no more alike than any two pictures.
    assert!(cosine(&vectors[0], &vectors[2]) < 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_bytes_are_refused_with_a_reason_and_harm_nobody() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = client(&mut program).await;
    let good = figure([255, 255, 255], [200, 30, 30]);
    let mut endless = good.clone();
    endless.resize(257 << 20, 0);
    for (bytes, reason) in [
        (Vec::new(), "EMPTY_FILE"),
        (b"no picture at all".repeat(1000), "NOT_A_PICTURE"),
        (good[..good.len() / 2].to_vec(), "TRUNCATED"),
        (endless, "TOO_LARGE"),
    ] {
        let status = send(&mut client, bytes).await.expect_err(reason);
        let said = kit::code::reason(&status);
        assert_eq!(said.as_deref(), Some(reason), "{status:?}");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    // The pictures were streamed through: nothing of their size was ever held.
    assert!(program.peak_mib() < 256, "{} MiB", program.peak_mib());
    assert!(send(&mut client, good).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_broken_off_frees_the_renderer() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = client(&mut program).await;
    let good = figure([255, 255, 255], [200, 30, 30]);
    // It has loaded its model, and what takes time from here on is the call.
    client.get_model(GetModelRequest {}).await.unwrap();
    for _ in 0..3 {
        let data = good[..1000].to_vec().into();
        // One piece, and then silence until the caller has had enough.
        let first = tokio_stream::iter([EmbedImageRequest { data }]);
        let pieces = tokio_stream::StreamExt::chain(first, tokio_stream::pending());
        let mut request = tonic::Request::new(pieces);
        request.set_timeout(Duration::from_millis(300));
        let status = client.embed_image(request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    }
    assert!(send(&mut client, good).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused() {
    let mut program = Program::start(&["--store", NOBODY]);
    let stranger = "0".repeat(64);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, stranger).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let address = program.peer().await.address().to_owned();
    let credential = kit::Credential::read(&file).unwrap();
    let peer = kit::client::Peer::new(&address, &credential).unwrap();
    let status = Client::new(peer.channel())
        .get_model(GetModelRequest {})
        .await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_a_picture_by_itself_is_refused_as_such() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = client(&mut program).await;
    let data = vec![0; 3 << 20].into();
    let mut request = tonic::Request::new(tokio_stream::iter([EmbedImageRequest { data }]));
    request.set_timeout(Duration::from_secs(60));
    let status = client.embed_image(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let reason = kit::code::reason(&status);
    assert_eq!(reason.as_deref(), Some("TOO_LARGE"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_never_begins_ends() {
    let mut program = Program::start(&["--store", NOBODY]);
    let mut client = client(&mut program).await;
    let mut request = tonic::Request::new(tokio_stream::pending::<EmbedImageRequest>());
    request.set_timeout(Duration::from_secs(60));
    let status = client.embed_image(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("nothing came"), "{status:?}");
}
