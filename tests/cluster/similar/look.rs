//! What a picture looks like to those who compare pictures, without there being a picture.

use half::f16;
use kumo_tests::pictures::Dice;
use proto::store::v1::{NewLocation, NewPost, Sample};

use super::below;

/// Numbers in a vector of each model.
pub(super) const DIMENSIONS: [usize; 2] = [8, 24];

/// What a picture looks like.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) hash: [u8; 32],
    pub(super) detail: Option<u32>,
    /// One colour all over; `None` for a layout that cannot be read.
    pub(super) colour: Option<[u8; 3]>,
    pub(super) vectors: [Vec<f16>; 2],
}

/// A vector of length 1 in one of a few directions, with little or much noise.
pub(super) fn vector(dice: &mut Dice, dimensions: usize) -> Vec<f16> {
    let mut values = vec![0.0; dimensions];
    values[below(dice, 5)] = 1.0;
    let noise = [0.0, 0.2, 0.8][below(dice, 3)];
    for value in &mut values {
        *value += noise * (f64::from(dice.unit()) - 0.4);
    }
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let unit = values.iter().map(|value| f16::from_f64(value / length));
    unit.collect()
}

impl Look {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let mut hash = [[0x5a; 32], [0xc3; 32], [0x0f; 32]][below(dice, 3)];
        for _ in 0..below(dice, 40) {
            hash[below(dice, 32)] ^= 1 << below(dice, 8);
        }
        let grey = u8::try_from(below(dice, 4) * 60).expect("is small");
        Self {
            hash,
            detail: match below(dice, 6) {
                0 => Some(199),
                1 => None,
                _ => Some(200 + u32::try_from(below(dice, 9_000)).expect("is small")),
            },
            colour: (below(dice, 5) > 0).then_some([grey, 120, 255 - grey]),
            vectors: DIMENSIONS.map(|dimensions| vector(dice, dimensions)),
        }
    }

    /// As a BlurHash: a colour and no waves.
    fn colours(&self) -> String {
        const DIGITS: &[u8; 83] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";
        let Some([red, green, blue]) = self.colour else {
            return "L00000".to_owned();
        };
        let colour = u32::from(red) << 16 | u32::from(green) << 8 | u32::from(blue);
        let digit = |place: u32| char::from(DIGITS[(colour / 83_u32.pow(place) % 83) as usize]);
        let constant: String = [3, 2, 1, 0].map(digit).iter().collect();
        format!("L0{constant}{}", "fQ".repeat(11))
    }

    /// As a watcher registers it, told apart by its number.
    pub(super) fn picture(&self, number: u32) -> NewPost {
        let hash = |salt: u8| {
            let mut bytes = [salt; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            kit::hex::encode(&bytes)
        };
        NewPost {
            sha256: hash(1),
            md5: hash(2)[..32].to_owned(),
            media_type: "image/png".to_owned(),
            byte_size: 1_000,
            width: 640,
            height: 480,
            frames: 1,
            sample: Some(Sample {
                render_revision: 3,
                byte_size: 900,
                sha256: hash(3),
                width: 640,
                height: 480,
            }),
            perceptual_hash: kit::hex::encode(&self.hash),
            detail: self.detail,
            colours: self.colours(),
            location: Some(NewLocation {
                root: "roots/1".to_owned(),
                path: format!("{number}.png").into_bytes().into(),
                byte_size: 1_000,
                mtime_ns: 5,
            }),
            ..NewPost::default()
        }
    }
}
