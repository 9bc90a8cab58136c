//! What the renderer would have found out about a picture, where it lies, and its vector.

use half::f16;
use kumo_store_core::location::Found;
use kumo_store_core::post::{Content, NewPost, Sample};

use crate::random::Random;

/// Numbers in a vector.
pub(crate) const DIMENSIONS: u32 = 512;
/// Posts of one cluster of vectors.
const CLUSTER: u32 = 100;
/// How far a vector lies from the centre of its cluster, for a centre of length 1.
const SPREAD: f32 = 0.6;
/// One in so many posts looks nearly as the one before, and one in so many is nearly blank.
const TWIN: u32 = 50;
const BLANK: u32 = 100;
const BASE_83: &[u8; 83] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/// Post `number` from 0.
pub(crate) fn picture(root: u32, number: u32) -> NewPost {
    let mut random = Random::new(4, u64::from(number));
    let byte_size = 200_000 + random.below(3_000_000);
    let (width, height) = (
        600 + random.below(3_000) as u32,
        600 + random.below(3_000) as u32,
    );
    let md5 = random.bytes();
    NewPost {
        content: Content {
            sha256: random.bytes(),
            md5: md5.first_chunk().copied().unwrap_or_default(),
            media_type: ["image/jpeg", "image/png", "image/webp"][number as usize % 3].to_owned(),
            byte_size,
            width,
            height,
            frames: 1,
            has_alpha: number.is_multiple_of(9),
            partial: false,
            perceptual_hash: perceptual_hash(number),
            colours: colours(number),
            detail: detail(number, &mut random),
            sample: Sample {
                render_revision: 1,
                byte_size: 150_000 + random.below(100_000) as u32,
                sha256: random.bytes(),
                width: width.min(1_400),
                height: height.min(1_400),
            },
        },
        location: Found {
            root,
            path: format!(
                "{}/album {:03}/IMG_{number:07}.jpg",
                2010 + number % 15,
                number % 500
            )
            .into_bytes(),
            byte_size,
            mtime_ns: 1_700_000_000_000_000_000 + i64::from(number),
            ctime_ns: 1_700_000_000_000_000_000 + i64::from(number),
            dev: 66_306,
            ino: 5_000_000 + u64::from(number),
        },
        traceparent: String::new(),
    }
}

/// In hundredths of a grey level; below 200 is nearly blank.
fn detail(number: u32, random: &mut Random) -> u16 {
    match number.is_multiple_of(BLANK) {
        true => random.below(200) as u16,
        false => 1_500 + random.below(6_000) as u16,
    }
}

fn perceptual_hash(number: u32) -> [u8; 32] {
    let mut random = Random::new(5, u64::from(number));
    if number.is_multiple_of(BLANK) {
        // Of a blank picture, all bits but few are the same.
        let mut hash = [0; 32];
        hash[random.below(32) as usize] = 1 << random.below(8);
        return hash;
    }
    if number % TWIN != 1 {
        return random.bytes();
    }
    let mut hash = Random::new(5, u64::from(number + 1)).bytes();
    for _ in 0..random.below(9) {
        hash[random.below(32) as usize] ^= 1 << random.below(8);
    }
    hash
}

/// A BlurHash of 4×3 components: 28 characters.
fn colours(number: u32) -> String {
    let mut random = Random::new(6, u64::from(number));
    let mut text = String::with_capacity(28);
    let mut digits = |value: u64, count: u32| {
        for place in (0..count).rev() {
            text.push(BASE_83[(value / 83_u64.pow(place) % 83) as usize] as char);
        }
    };
    digits(3 + 2 * 9, 1);
    digits(random.below(83), 1);
    digits(random.below(1 << 24), 4);
    for _ in 1..12 {
        digits(random.below(19 * 19 * 19), 2);
    }
    text
}

/// The vector of post `number` from 0: binary16, little-endian, of length 1.
pub(crate) fn vector(number: u32) -> Vec<u8> {
    let side = 1.0 / (DIMENSIONS as f32).sqrt();
    let mut centre = Random::new(7, u64::from(number / CLUSTER));
    let mut own = Random::new(8, u64::from(number));
    let numbers: Vec<f32> = (0..DIMENSIONS)
        .map(|_| (centre.normal() + SPREAD * own.normal()) * side)
        .collect();
    let length = numbers.iter().map(|n| n * n).sum::<f32>().sqrt();
    let half = |number: &f32| f16::from_f32(number / length).to_le_bytes();
    numbers.iter().flat_map(half).collect()
}
