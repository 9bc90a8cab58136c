//! The guard of the render revision.

use std::fmt::Write as _;

use image::{DynamicImage, ImageFormat};
use kumo_renderer::{Format, RENDER_REVISION};
use sha2::{Digest, Sha256};
use turbojpeg::Subsamp;

use crate::make::{cmyk_jpeg, encoded, jpeg, noise, oriented, pool, render, scene, write};

/// Revision, and the SHA-256 of every output byte for the pictures below.
const GOLDEN: (u32, &str) = (
    1,
    "66b1c0851c6e43fdeb78205e1e3cfe9b1a03d880256616cb204e2e8183b04c2f",
);

#[tokio::test]
async fn outputs_change_only_with_the_render_revision() {
    let transparent = {
        let mut picture = DynamicImage::ImageRgb8(scene(200, 150)).to_rgba8();
        for (x, _, pixel) in picture.enumerate_pixels_mut() {
            pixel.0[3] = x as u8;
        }
        write(&DynamicImage::ImageRgba8(picture), ImageFormat::Png)
    };
    let inputs = [
        jpeg(&noise(1300, 1100, 1), 90, Subsamp::Sub2x2),
        jpeg(&noise(2500, 900, 2), 90, Subsamp::None),
        jpeg(&scene(300, 200), 80, Subsamp::Gray),
        cmyk_jpeg(&scene(300, 200)),
        encoded(&noise(1300, 1100, 3), Format::Png),
        oriented(&scene(300, 200), Format::WebP, 5),
        transparent,
    ];
    let pool = pool();
    let mut digest = Sha256::new();
    for input in inputs {
        let it = render(&pool, &input).await.expect("renders");
        for rendition in [it.sample.expect("wanted"), it.preview.expect("wanted")] {
            digest.update(rendition.width.to_le_bytes());
            digest.update(rendition.height.to_le_bytes());
            digest.update(&rendition.jpeg);
        }
        let hash = it.hash.expect("wanted");
        digest.update(hash.bits);
        digest.update(hash.detail.to_le_bytes());
        digest.update(it.blur_hash.expect("wanted"));
    }
    let mut hex = String::new();
    for byte in digest.finalize() {
        write!(hex, "{byte:02x}").expect("a string takes all");
    }
    assert_eq!(
        (RENDER_REVISION, hex.as_str()),
        GOLDEN,
        "some output byte changed: raise RENDER_REVISION in render.rs and record the new pair here"
    );
}
