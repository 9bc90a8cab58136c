//! Eight orientations in four containers: all upright, all equal.

use image::RgbImage;
use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
use kumo_renderer::Format;

use crate::make::{difference, encoded, exif, oriented, pixels, png_chunk, pool, render, scene};

/// How a camera that is held so stores what should be seen as `upright`.
fn stored(upright: &RgbImage, orientation: u8) -> RgbImage {
    match orientation {
        2 => flip_horizontal(upright),
        3 => rotate180(upright),
        4 => flip_vertical(upright),
        5 => flip_horizontal(&rotate90(upright)),
        6 => rotate270(upright),
        7 => flip_horizontal(&rotate270(upright)),
        8 => rotate90(upright),
        _ => upright.clone(),
    }
}

#[tokio::test]
async fn eight_orientations_in_four_containers_come_out_upright() {
    let pool = pool();
    let upright = scene(160, 96);
    let plain = render(&pool, &encoded(&upright, Format::Png))
        .await
        .expect("renders");
    let hash = plain.hash.expect("wanted");
    for format in [Format::Jpeg, Format::Png, Format::WebP, Format::Tiff] {
        for orientation in 1..=8 {
            let bytes = oriented(&stored(&upright, orientation), format, orientation);
            let rendered = render(&pool, &bytes).await.expect("renders");
            let name = format!("{format:?} {orientation}");
            assert_eq!(rendered.orientation, orientation, "{name}");
            assert_eq!((rendered.width, rendered.height), (160, 96), "{name}");
            let sides = if orientation >= 5 {
                (96, 160)
            } else {
                (160, 96)
            };
            assert_eq!(
                (rendered.stored_width, rendered.stored_height),
                sides,
                "{name}"
            );
            let far = difference(&pixels(&rendered.sample.expect("wanted").jpeg), &upright);
            assert!(far < 4.0, "{name} is {far:.1} off");
            let bits = rendered.hash.expect("wanted").distance(&hash);
            assert!(bits <= 12, "{name}: {bits} bits");
        }
    }
}

#[tokio::test]
async fn an_orientation_after_the_image_data_of_a_png_counts() {
    let pool = pool();
    let mut bytes = encoded(&scene(64, 48), Format::Png);
    let end = bytes.len() - 12;
    bytes.splice(end..end, png_chunk(b"eXIf", &exif(6)));
    let rendered = render(&pool, &bytes).await.expect("renders");
    assert_eq!(rendered.orientation, 6);
    assert_eq!((rendered.width, rendered.height), (48, 64));
}

#[tokio::test]
async fn a_nonsensical_orientation_is_none() {
    let pool = pool();
    for format in [Format::Jpeg, Format::Png, Format::WebP, Format::Tiff] {
        for orientation in [0, 9, 255] {
            let bytes = oriented(&scene(64, 48), format, orientation);
            let rendered = render(&pool, &bytes).await.expect("renders");
            assert_eq!(rendered.orientation, 1, "{format:?} {orientation}");
        }
    }
}
