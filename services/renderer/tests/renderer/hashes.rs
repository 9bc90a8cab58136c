//! Hashes find the same picture again and tell others apart; the same bytes give the same answer.

use image::RgbImage;
use image::imageops::{FilterType, resize};
use kumo_renderer::{Format, PerceptualHash, Pool};
use turbojpeg::Subsamp;

use crate::make::{encoded, jpeg, noise, pool, render, scene};

async fn hash(pool: &Pool, bytes: &[u8]) -> PerceptualHash {
    let rendered = render(pool, bytes).await.expect("renders");
    rendered.hash.expect("wanted")
}

#[tokio::test]
async fn hashes_survive_encoding_and_resizing_and_differ_between_pictures() {
    let pool = pool();
    let mut hashes = Vec::new();
    for seed in 0..6 {
        let picture = noise(800, 600, seed);
        let original = hash(&pool, &encoded(&picture, Format::Png)).await;
        for quality in [60, 75, 85, 95] {
            let again = hash(&pool, &jpeg(&picture, quality, Subsamp::Sub2x2)).await;
            let bits = original.distance(&again);
            assert!(bits <= 6, "quality {quality}: {bits} bits");
        }
        for (width, height) in [(400, 300), (1200, 900), (640, 480)] {
            let other: RgbImage = resize(&picture, width, height, FilterType::CatmullRom);
            let bits = original.distance(&hash(&pool, &encoded(&other, Format::Png)).await);
            assert!(bits <= 10, "{width}×{height}: {bits} bits");
        }
        hashes.push(original);
    }
    hashes.push(hash(&pool, &encoded(&scene(300, 200), Format::Png)).await);
    for (index, one) in hashes.iter().enumerate() {
        for other in &hashes[..index] {
            let bits = one.distance(other);
            assert!(bits >= 70, "different pictures, {bits} bits apart");
        }
    }
}

#[tokio::test]
async fn the_same_bytes_give_the_same_answer_in_another_child() {
    for format in Format::ALL {
        let bytes = encoded(&noise(700, 500, 9), format);
        let mut one = render(&pool(), &bytes).await.expect("renders");
        let mut two = render(&pool(), &bytes).await.expect("renders");
        one.cpu_time = std::time::Duration::ZERO;
        two.cpu_time = std::time::Duration::ZERO;
        assert_eq!(one, two, "{format:?}");
    }
}
