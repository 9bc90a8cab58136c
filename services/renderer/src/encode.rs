//! Writing our own JPEGs: baseline, 4:2:0, no metadata.

use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use crate::error::{Reason, Refusal};
use crate::orient::Rgb;
use crate::rendered::Rendition;

/// Encodes RGB at a quality of 1 to 100.
pub(crate) fn jpeg(picture: &Rgb, quality: i32) -> Result<Rendition, Refusal> {
    let jpeg = compress(picture, quality).map_err(|error| {
        Refusal::new(
            Reason::OutOfMemory,
            format!(
                "cannot encode {}×{}: {error}",
                picture.width, picture.height
            ),
        )
    })?;
    Ok(Rendition {
        jpeg,
        width: picture.width as u32,
        height: picture.height as u32,
    })
}

fn compress(picture: &Rgb, quality: i32) -> turbojpeg::Result<Vec<u8>> {
    let mut compressor = Compressor::new()?;
    compressor.set_quality(quality)?;
    compressor.set_subsamp(Subsamp::Sub2x2)?;
    compressor.compress_to_vec(Image {
        pixels: picture.pixels.as_slice(),
        width: picture.width,
        pitch: 3 * picture.width,
        height: picture.height,
        format: PixelFormat::RGB,
    })
}
