//! Pictures sent to the service: good ones, hostile ones, with and without an embedding node.

use std::io::Cursor;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use image::{ImageFormat, Rgb, RgbImage};
use proto::similarity::v1::{Channel, FindSimilarToImageRequest, SimilarOptions, SimilarPosts};
use proto::store::v1::PostSet;
use sha2::{Digest, Sha256};
use tonic::{Code, Request, Status};

use super::den::{Den, missing, posts};
use super::node::{Mood, Node};
use super::state::State;

fn ten(state: &mut State) {
    for post in 1..=10 {
        state.add(post, post as f32 / 10.0);
    }
}

/// A picture of noise, which does not compress: about three bytes a pixel.
fn noise(width: u32, height: u32) -> Vec<u8> {
    let mut value = 7_u32;
    let image = RgbImage::from_fn(width, height, |_, _| {
        Rgb([0; 3].map(|_: u8| {
            value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (value >> 24) as u8
        }))
    });
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("encodes");
    bytes.into_inner()
}

async fn send(den: &Den, bytes: &[u8], options: SimilarOptions) -> Result<SimilarPosts, Status> {
    let bytes = Bytes::copy_from_slice(bytes);
    let all = bytes.chunks(64 << 10).map(|piece| bytes.slice_ref(piece));
    let mut pieces: Vec<_> = all
        .map(|data| FindSimilarToImageRequest {
            options: None,
            data,
        })
        .collect();
    if pieces.is_empty() {
        pieces.push(FindSimilarToImageRequest::default());
    }
    pieces[0].options = Some(options);
    let mut request = Request::new(stream::iter(pieces));
    request.set_timeout(Duration::from_secs(60));
    let answer = den.client().find_similar_to_image(request).await?;
    Ok(answer.into_inner().found.expect("is there"))
}

fn waiting(seconds: i64) -> SimilarOptions {
    SimilarOptions {
        wait: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..SimilarOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_awake_gets_the_same_bytes() {
    let den = Den::new(ten).await;
    let node = Node::start(Mood::Well).await;
    den.store.state().nodes = vec![node.listed()];
    let picture = noise(500, 400);
    assert!(picture.len() > 500_000, "in several pieces");
    let found = send(&den, &picture, SimilarOptions::default()).await;
    let found = found.expect("answers");
    assert_eq!(missing(&found, Channel::Embedding), "");
    assert_eq!(missing(&found, Channel::PerceptualHash), "");
    assert_eq!(missing(&found, Channel::Tags), "NOT_IN_SUBJECT");
    assert_eq!(posts(&found).len(), 10);
    let best = found.posts.iter().max_by(|a, b| {
        let cosine = |post: &proto::similarity::v1::SimilarPost| post.scores[0].score;
        cosine(a).total_cmp(&cosine(b))
    });
    assert_eq!(best.map(|post| post.post.as_str()), Some("posts/5"));
    assert_eq!(*node.seen.lock().expect("no test panics here"), [picture]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_node_one_is_asked_for_and_the_rest_answers() {
    let den = Den::new(ten).await;
    let found = send(&den, &noise(64, 64), SimilarOptions::default()).await;
    let found = found.expect("answers");
    assert_eq!(missing(&found, Channel::Embedding), "NO_EMBEDDER");
    assert_eq!(found.posts.len(), 10, "by their hashes");
    assert_eq!(den.store.state().asked, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_while_it_is_waited_for_gets_a_sample() {
    let den = Den::new(ten).await;
    let node = Node::start(Mood::Well).await;
    let comes = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        den.store.state().nodes = vec![node.listed()];
    };
    let picture = noise(200, 200);
    let (found, ()) = tokio::join!(send(&den, &picture, waiting(20)), comes);
    assert_eq!(missing(&found.expect("answers"), Channel::Embedding), "");
    let seen = node.seen.lock().expect("no test panics here").clone();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with(&[0xff, 0xd8]), "our own JPEG");

    den.store.state().nodes.clear();
    let begun = Instant::now();
    let found = send(&den, &picture, waiting(1)).await.expect("answers");
    assert_eq!(missing(&found, Channel::Embedding), "NO_EMBEDDER");
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_fails_or_freezes_costs_its_channel_only() {
    let den = Den::new(ten).await;
    for mood in [Mood::Ill, Mood::Other, Mood::Nonsense, Mood::Frozen] {
        let node = Node::start(mood).await;
        den.store.state().nodes = vec![node.listed()];
        let begun = Instant::now();
        // Larger than what fits on the way to a node that takes nothing.
        let found = send(&den, &noise(1_400, 1_000), SimilarOptions::default()).await;
        let found = found.expect("answers from the rest");
        assert_eq!(
            missing(&found, Channel::Embedding),
            "EMBEDDER_FAILED",
            "{mood:?}"
        );
        assert_eq!(found.posts.len(), 10, "{mood:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_bytes_end_with_a_reason_and_nothing_else() {
    let den = Den::new(ten).await;
    let node = Node::start(Mood::Well).await;
    den.store.state().nodes = vec![node.listed()];
    let good = noise(64, 64);
    let mut bomb = good.clone();
    // Says that it is 200,000 pixels wide.
    bomb[16..20].copy_from_slice(&200_000_u32.to_be_bytes());
    for (bytes, reasons) in [
        (&b""[..], &["EMPTY_FILE"][..]),
        (
            b"<svg onload='x'>",
            &["NOT_A_PICTURE", "UNSUPPORTED_FORMAT"],
        ),
        (&good[..40], &["TRUNCATED", "CORRUPT"]),
        (&bomb, &["DIMENSIONS_TOO_LARGE", "CORRUPT"]),
        (&[0; 3_000_000], &["NOT_A_PICTURE"]),
    ] {
        let status = send(&den, bytes, SimilarOptions::default()).await;
        let status = status.expect_err("is refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let reason = kit::code::reason(&status).expect("has a reason");
        assert!(reasons.contains(&reason.as_str()), "{status:?}");
    }
    let wrong = SimilarOptions {
        page_size: -1,
        ..SimilarOptions::default()
    };
    let status = send(&den, &good, wrong).await.expect_err("is refused");
    assert_eq!(kit::code::reason(&status).as_deref(), Some("INVALID_FIELD"));
    let found = send(&den, &good, SimilarOptions::default()).await;
    assert!(found.is_ok(), "it lives on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_of_the_library_comes_first_whatever_else_is_like_it() {
    let den = Den::new(ten).await;
    let picture = noise(64, 64);
    let sum = kit::hex::encode(&Sha256::digest(&picture));
    for post in [10, 3] {
        den.store.state().contents.insert(sum.clone(), post);
        let one = SimilarOptions {
            page_size: 1,
            ..SimilarOptions::default()
        };
        let found = send(&den, &picture, one).await.expect("answers");
        assert_eq!(posts(&found), [post]);
        assert_eq!(found.posts[0].score, 1.0);
    }
    let others = SimilarOptions {
        within: Some(PostSet {
            ids: vec![4, 5],
            keep_order: false,
        }),
        ..SimilarOptions::default()
    };
    let found = send(&den, &picture, others).await.expect("answers");
    assert!(!posts(&found).contains(&3), "it was not asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stopped_is_none_though_it_is_still_listed() {
    let den = Den::new(ten).await;
    let stopped = Node::start(Mood::Well).await;
    den.store.state().nodes = vec![stopped.listed()];
    drop(stopped);
    let picture = noise(200, 200);
    let found = send(&den, &picture, SimilarOptions::default()).await;
    assert_eq!(
        missing(&found.expect("answers"), Channel::Embedding),
        "NO_EMBEDDER"
    );
    let node = Node::start(Mood::Well).await;
    let comes = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        den.store.state().nodes = vec![node.listed()];
    };
    let (found, ()) = tokio::join!(send(&den, &picture, waiting(20)), comes);
    assert_eq!(missing(&found.expect("answers"), Channel::Embedding), "");
}
