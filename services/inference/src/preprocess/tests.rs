//! Preprocessing against Pillow's own results (`tests/golden/make.py`).

use std::path::PathBuf;

use super::*;
use crate::model::spec::{Channels, Filter, Fit, Layout, Range};

/// What is planted, and how.
type Fault = (&'static str, fn(&mut InputSpec));

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read(folder.join(name)).unwrap()
}

/// The same picture as in `tests/golden/make.py`.
fn picture(width: u32, height: u32) -> Picture {
    let mut rgb = Vec::new();
    let mut state: u32 = 12345;
    for y in 0..height {
        for x in 0..width {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12345) % (1 << 31);
            let noise = (state >> 16) % 64;
            let check = if (x / 7 + y / 5) % 2 == 0 { 0 } else { 150 };
            let pixel = [
                check + noise,
                (x * 255 / width + noise) % 256,
                255 - (y * 190 / height + noise),
            ];
            rgb.extend(pixel.map(|v| u8::try_from(v).unwrap()));
        }
    }
    Picture::new(width, height, rgb).unwrap()
}

fn input(fit: Fit, filter: Filter) -> InputSpec {
    InputSpec {
        name: None,
        layout: Layout::Nchw,
        width: 24,
        height: 24,
        channels: Channels::Rgb,
        range: Range::Unit,
        mean: [0.0; 3],
        std: [1.0; 3],
        fit,
        crop_from: None,
        filter,
        pad_color: [255; 3],
    }
}

fn families() -> Vec<(&'static str, InputSpec)> {
    let wd = InputSpec {
        layout: Layout::Nhwc,
        channels: Channels::Bgr,
        range: Range::Byte,
        ..input(Fit::Pad, Filter::Bicubic)
    };
    let camie = InputSpec {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        pad_color: [124, 116, 104],
        ..input(Fit::Letterbox, Filter::Lanczos)
    };
    let siglip = InputSpec {
        mean: [0.5; 3],
        std: [0.5; 3],
        ..input(Fit::Squash, Filter::Bilinear)
    };
    let clip = InputSpec {
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        crop_from: Some(30),
        ..input(Fit::Crop, Filter::Bicubic)
    };
    let palette = input(Fit::Squash, Filter::Box);
    vec![
        ("wd", wd),
        ("camie", camie),
        ("siglip", siglip),
        ("clip", clip),
        ("palette", palette),
    ]
}

fn prepare(input: &InputSpec, picture: &Picture) -> Vec<f32> {
    let mut tensor = vec![f32::NAN; input.values()];
    let mut preprocessor = Preprocessor::new(input);
    preprocessor.prepare(picture, &mut tensor).unwrap();
    tensor
}

/// Largest difference from the golden tensor in steps of a byte, and the share of values that
/// differ by more than half a step.
fn difference(input: &InputSpec, name: &str, tensor: &[f32]) -> (f32, f32) {
    let expected: Vec<f32> = golden(&format!("{name}.f32"))
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    assert_eq!(expected.len(), tensor.len());
    let full = if input.range == Range::Byte {
        1.0
    } else {
        255.0
    };
    let (mut worst, mut off) = (0.0f32, 0.0);
    for (index, (a, b)) in expected.iter().zip(tensor).enumerate() {
        let channel = match input.layout {
            Layout::Nhwc => index % 3,
            Layout::Nchw => index / (24 * 24),
        };
        let steps = ((a - b) * input.std[channel] * full).abs();
        worst = worst.max(steps);
        off += f32::from(u8::from(steps > 0.5));
    }
    (worst, off / 1728.0)
}

#[test]
fn tensors_of_every_family_agree_with_pillow() {
    for (family, input) in families() {
        // `BOX` takes a pixel or leaves it; these sizes have none whose middle lies on the border.
        let (wide, tall) = match input.filter {
            Filter::Box => ((104, 64), (56, 128)),
            _ => ((97, 61), (53, 130)),
        };
        for (shape, (width, height)) in [("wide", wide), ("tall", tall)] {
            let tensor = prepare(&input, &picture(width, height));
            let (worst, off) = difference(&input, &format!("{family}-{shape}"), &tensor);
            assert!(
                worst <= 1.01,
                "{family} {shape}: off by {worst} steps of 255"
            );
            assert!(off < 0.06, "{family} {shape}: {} % differ", off * 100.0);
        }
    }
}

#[test]
fn each_planted_fault_is_noticed() {
    let faults: [Fault; 6] = [
        ("channels", |i| i.channels = Channels::Rgb),
        ("range", |i| i.range = Range::Unit),
        ("filter", |i| i.filter = Filter::Bilinear),
        ("fit", |i| i.fit = Fit::Squash),
        ("pad colour", |i| i.pad_color = [0; 3]),
        ("layout", |i| i.layout = Layout::Nchw),
    ];
    let (_, sound) = families().swap_remove(0);
    for (what, plant) in faults {
        let mut faulty = sound.clone();
        plant(&mut faulty);
        let tensor = prepare(&faulty, &picture(97, 61));
        let (worst, _) = difference(&sound, "wd-wide", &tensor);
        assert!(worst > 2.0, "a wrong {what} is not noticed: {worst}");
    }
}

#[test]
fn a_preprocessor_may_be_used_for_pictures_of_many_sizes() {
    for (_, input) in families() {
        let mut kept = Preprocessor::new(&input);
        let mut tensor = vec![0.0; input.values()];
        for (width, height) in [(300, 200), (1, 1), (24, 24), (2, 500), (61, 97), (300, 200)] {
            let picture = picture(width, height);
            kept.prepare(&picture, &mut tensor).unwrap();
            assert_eq!(tensor, prepare(&input, &picture), "{width} × {height}");
        }
    }
}

#[test]
fn pictures_out_of_all_proportion_cost_bounded_memory() {
    for (family, input) in families() {
        for (width, height) in [(65_535, 3), (3, 65_535), (1, 60_000)] {
            let rgb = vec![200; width as usize * height as usize * 3];
            let long = Picture::new(width, height, rgb).unwrap();
            let tensor = prepare(&input, &long);
            assert!(
                tensor.iter().all(|v| v.is_finite()),
                "{family} {width} × {height}"
            );
        }
    }
}

#[test]
fn one_colour_stays_that_colour() {
    let grey = Picture::new(640, 480, vec![77; 640 * 480 * 3]).unwrap();
    for filter in [
        Filter::Bicubic,
        Filter::Bilinear,
        Filter::Lanczos,
        Filter::Box,
    ] {
        let tensor = prepare(&input(Fit::Squash, filter), &grey);
        assert!(tensor.iter().all(|&v| v == 77.0 / 255.0), "{filter:?}");
    }
}

#[test]
fn samples_decode_to_what_was_encoded() {
    for name in ["sample.jpg", "progressive.jpg"] {
        let mut picture = Picture::default();
        picture.read_sample(&golden(name)).unwrap();
        assert_eq!((picture.width(), picture.height()), (96, 64));
        for (index, pixel) in (0u32..).zip(picture.rgb().chunks_exact(3)) {
            let wanted = [index % 96 * 2, 80, index / 96 * 3];
            for (has, wanted) in pixel.iter().zip(wanted) {
                let off = u32::from(*has).abs_diff(wanted);
                assert!(off <= 12, "{name}, pixel {index}: {pixel:?}, {wanted:?}");
            }
        }
    }
}

#[test]
fn a_grey_sample_decodes_to_equal_channels() {
    let mut picture = Picture::default();
    picture.read_sample(&golden("grey.jpg")).unwrap();
    assert!(
        picture
            .rgb()
            .chunks_exact(3)
            .all(|p| p[0] == p[1] && p[1] == p[2])
    );
    assert_eq!(picture.rgb().len(), 96 * 64 * 3);
}

#[test]
fn damaged_samples_are_errors_and_never_panics() {
    let whole = golden("sample.jpg");
    let mut picture = Picture::default();
    for length in [0, 1, 2, 20, 200, whole.len() / 2] {
        let error = picture.read_sample(&whole[..length]).unwrap_err();
        assert_eq!(error.reason(), "PICTURE_DAMAGED", "{length}");
        assert!(error.blames_picture());
        assert_eq!(picture, Picture::default(), "{length}");
    }
    assert!(picture.read_sample(b"not a picture at all").is_err());
    for place in 0..whole.len() {
        let mut broken = whole.clone();
        broken[place] ^= 0x5a;
        // Either answer is right for a flipped bit; a panic or a huge allocation is not.
        let _ = picture.read_sample(&broken);
    }
    picture.read_sample(&whole).unwrap();
}

#[test]
fn impossible_pictures_and_slots_are_refused() {
    assert!(Picture::new(0, 5, vec![]).is_err());
    assert!(Picture::new(2, 2, vec![0; 11]).is_err());
    assert!(Picture::new(u32::MAX, u32::MAX, vec![]).is_err());
    let mut preprocessor = Preprocessor::new(&input(Fit::Squash, Filter::Box));
    let mut slot = [0.0; 24 * 24 * 3];
    assert!(
        preprocessor
            .prepare(&Picture::default(), &mut slot)
            .is_err()
    );
    let error = preprocessor
        .prepare(&picture(4, 4), &mut slot[1..])
        .unwrap_err();
    assert_eq!(error.reason(), "SHAPE_MISMATCH");
}
