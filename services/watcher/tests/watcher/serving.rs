//! MediaService.

use std::fs;

use kit::code::reason;
use proto::media::v1::{ReadRequest, ReadSamplesRequest, Rendition, SampleKey};
use tonic::Code;

use super::den::{Den, picture};

async fn read(den: &Den, request: ReadRequest) -> Result<(String, Vec<u8>), tonic::Status> {
    let mut stream = den.media().read(request).await?.into_inner();
    let (mut media_type, mut bytes) = (String::new(), Vec::new());
    while let Some(message) = stream.message().await? {
        if let Some(header) = message.header {
            media_type = header.media_type;
        }
        assert!(message.data.len() <= 256 << 10);
        bytes.extend_from_slice(&message.data);
    }
    Ok((media_type, bytes))
}

fn request(sha256: &str, rendition: Rendition) -> ReadRequest {
    ReadRequest {
        sha256: sha256.to_owned(),
        rendition: rendition.into(),
        offset: 0,
        length: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn originals_are_served_exactly_and_only_while_they_are_what_they_were() {
    let den = Den::new().await;
    den.place("a.png", 1);
    den.until("the post", |state| state.posts.len() == 1).await;
    den.until_idle().await;
    let sha256 = den.store.state().locations["a.png"].0.clone();
    let whole = request(&sha256, Rendition::Original);
    let bytes = picture(1);
    let got = read(&den, whole.clone()).await.expect("is served");
    assert_eq!(got, ("image/png".to_owned(), bytes.clone()));
    let part = ReadRequest {
        offset: 5,
        length: 7,
        ..whole.clone()
    };
    assert_eq!(read(&den, part).await.expect("is served").1, &bytes[5..12]);
    let end = ReadRequest {
        offset: bytes.len() as u64,
        ..whole.clone()
    };
    assert_eq!(read(&den, end).await.expect("is served").1, b"");
    let behind = ReadRequest {
        offset: bytes.len() as u64 + 1,
        ..whole.clone()
    };
    let refused = read(&den, behind).await.expect_err("lies behind the end");
    assert_eq!(
        (refused.code(), reason(&refused).as_deref()),
        (Code::OutOfRange, Some("BEHIND_THE_END"))
    );

    let unknown = read(&den, request(&"0".repeat(64), Rendition::Original)).await;
    let refused = unknown.expect_err("is unknown");
    assert_eq!(
        (refused.code(), reason(&refused).as_deref()),
        (Code::NotFound, Some("CONTENT_NOT_FOUND"))
    );
    let nonsense = read(&den, request("../../etc/passwd", Rendition::Original)).await;
    assert_eq!(
        nonsense.expect_err("is no hash").code(),
        Code::InvalidArgument
    );

    // Changed behind our back, before anything was heard of it.
    fs::write(den.at("a.png"), "other bytes").expect("writes");
    let refused = read(&den, whole).await.expect_err("has changed");
    assert!(
        matches!(refused.code(), Code::DataLoss | Code::NotFound),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_absent_sample_is_made_again_bit_for_bit() {
    let den = Den::new().await;
    den.place("a.png", 1);
    den.until("the post", |state| state.posts.len() == 1).await;
    den.until_idle().await;
    let post = den
        .store
        .state()
        .posts
        .values()
        .next()
        .expect("is there")
        .clone();
    let sample = post.sample.clone().expect("has a sample");
    let good = request(&post.sha256, Rendition::Sample);
    let (media_type, bytes) = read(&den, good.clone()).await.expect("is served");
    assert_eq!(media_type, "image/jpeg");
    assert_eq!(bytes.len(), sample.byte_size as usize);
    let preview = read(&den, request(&post.sha256, Rendition::Preview))
        .await
        .expect("is served");
    let path = |kind: &str| {
        den.data
            .path()
            .join(kind)
            .join(&post.sha256[..2])
            .join(format!("{}-r{}.jpg", post.sha256, sample.render_revision))
    };
    let mut torn = bytes.clone();
    torn[20] ^= 1;
    fs::write(path("samples"), torn).expect("writes");
    assert_eq!(
        read(&den, good.clone()).await.expect("is made again").1,
        bytes
    );
    fs::remove_file(path("samples")).expect("removes");
    fs::write(path("previews"), "").expect("writes");
    assert_eq!(
        read(&den, request(&post.sha256, Rendition::Preview))
            .await
            .expect("is made again"),
        preview
    );
    assert_eq!(fs::read(path("samples")).expect("is there again"), bytes);

    // Without the original there is nothing to make it from.
    fs::remove_file(path("samples")).expect("removes");
    fs::rename(den.at("a.png"), den.top.path().join("away.png")).expect("renames");
    let refused = read(&den, good).await.expect_err("cannot be made");
    assert!(
        matches!(refused.code(), Code::Unavailable | Code::NotFound),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_come_in_the_order_asked_and_fail_alone() {
    let den = Den::new().await;
    for seed in 1..=3 {
        den.place(&format!("{seed}.png"), seed);
    }
    den.until("the posts", |state| state.posts.len() == 3).await;
    den.until_idle().await;
    let posts: Vec<_> = den.store.state().posts.values().cloned().collect();
    let key = |sha256: &str, render_revision| SampleKey {
        sha256: sha256.to_owned(),
        render_revision,
    };
    let revision = posts[0]
        .sample
        .as_ref()
        .expect("has a sample")
        .render_revision;
    let samples = vec![
        key(&posts[2].sha256, revision),
        key(&"0".repeat(64), revision),
        key(&posts[0].sha256, revision + 1),
        key(&posts[0].sha256, revision),
    ];
    let answer = den
        .media()
        .read_samples(ReadSamplesRequest { samples })
        .await
        .expect("answers");
    let mut stream = answer.into_inner();
    let mut got: Vec<(Vec<u8>, String)> = vec![Default::default(); 4];
    let mut order = Vec::new();
    while let Some(message) = stream.message().await.expect("goes on") {
        let index = message.index as usize;
        got[index].0.extend_from_slice(&message.data);
        got[index].1 = message.error;
        if message.last {
            order.push(index);
        }
    }
    assert_eq!(order, [0, 1, 2, 3]);
    let errors: Vec<&str> = got.iter().map(|(_, error)| error.as_str()).collect();
    assert_eq!(errors, ["", "SAMPLE_NOT_FOUND", "SAMPLE_NOT_FOUND", ""]);
    for (index, post) in [(0, &posts[2]), (3, &posts[0])] {
        let sample = post.sample.as_ref().expect("has a sample");
        assert_eq!(got[index].0.len(), sample.byte_size as usize);
    }
}

/// Bytes of all samples on disk.
fn sample_bytes(den: &Den) -> u64 {
    let folders = fs::read_dir(den.cx().data().join("samples")).expect("is there");
    let files = folders
        .flatten()
        .flat_map(|folder| fs::read_dir(folder.path()).expect("a folder"));
    files
        .flatten()
        .map(|file| file.metadata().map_or(0, |metadata| metadata.len()))
        .sum()
}

async fn until_no_samples(den: &Den) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while sample_bytes(den) > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "{} bytes are left",
            sample_bytes(den)
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_made_again_count_towards_the_bound_of_the_cache() {
    let mut den = Den::with_flags(&["--sample-cache", "0"]).await;
    for seed in 1..=4 {
        den.place(&format!("{seed}.png"), seed);
    }
    den.until("the posts", |state| state.posts.len() == 4).await;
    den.until_idle().await;
    until_no_samples(&den).await;
    for _ in 0..2 {
        for seed in 1..=4 {
            let sha256 = den.store.state().locations[&format!("{seed}.png")]
                .0
                .clone();
            let sample = read(&den, request(&sha256, Rendition::Sample)).await;
            assert!(!sample.expect("is made again").1.is_empty());
        }
        until_no_samples(&den).await;
    }
    den.stop().await;
}
