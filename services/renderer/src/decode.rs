//! From bytes to 8-bit pixels on white, within bounds that are checked before memory is taken.
//!
//! Colours are taken as sRGB: an embedded ICC profile is neither applied nor kept.

mod image;
mod jpeg;
mod turbo;

use crate::error::{Reason, Refusal};
use crate::format::Format;

/// What decoding may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Longest side, pixels.
    pub(crate) side: u32,
    /// Most pixels.
    pub(crate) pixels: u64,
    /// Bytes left for the decoder and its output, beside the file itself.
    pub(crate) memory: u64,
}

/// A decoded picture, not yet turned upright.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Rows without padding, [`Decoded::channels`] bytes a pixel.
    pub(crate) pixels: Vec<u8>,
    /// 1 (grey) or 3 (RGB).
    pub(crate) channels: usize,
    /// Width and height of `pixels`: as stored, or less if the decoder could scale.
    pub(crate) size: (u32, u32),
    /// Width and height as stored in the file.
    pub(crate) stored: (u32, u32),
    /// EXIF orientation, 1 to 8.
    pub(crate) orientation: u8,
    /// Whether some pixel was not opaque before it was put on white.
    pub(crate) has_alpha: bool,
    /// Whether parts of the picture may be missing or wrong.
    pub(crate) partial: bool,
}

/// Decodes the first frame, at full size or scaled to no less than `target(width, height)`.
pub(crate) fn decode(
    format: Format,
    bytes: &[u8],
    bounds: Bounds,
    target: fn(u32, u32) -> (u32, u32),
) -> Result<Decoded, Refusal> {
    match format {
        Format::Jpeg => jpeg::decode(bytes, bounds, target),
        Format::Png | Format::Gif | Format::WebP | Format::Bmp | Format::Tiff => {
            image::decode(format, bytes, bounds)
        }
    }
}

/// Refuses dimensions beyond the bounds, before anything is allocated for them.
fn check_dimensions(width: u32, height: u32, bounds: Bounds) -> Result<(), Refusal> {
    if width == 0 || height == 0 {
        return Err(Refusal::new(
            Reason::Corrupt,
            format!("{width}×{height} pixels is no picture"),
        ));
    }
    if width > bounds.side || height > bounds.side {
        return Err(Refusal::new(
            Reason::DimensionsTooLarge,
            format!(
                "{width}×{height} pixels: the limit is {} a side",
                bounds.side
            ),
        ));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > bounds.pixels {
        return Err(Refusal::new(
            Reason::DimensionsTooLarge,
            format!(
                "{width}×{height} are {pixels} pixels: the limit is {}",
                bounds.pixels
            ),
        ));
    }
    Ok(())
}

/// A zeroed buffer, or the refusal that says how much there would have to be.
fn buffer(bytes: u64, bounds: Bounds) -> Result<Vec<u8>, Refusal> {
    let refusal = || {
        Refusal::new(
            Reason::OutOfMemory,
            format!(
                "the decoded picture needs {} MiB: {} MiB are left beside the file",
                bytes.div_ceil(1 << 20),
                bounds.memory >> 20
            ),
        )
    };
    if bytes > bounds.memory {
        return Err(refusal());
    }
    let length = usize::try_from(bytes).map_err(|_| refusal())?;
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(length).map_err(|_| refusal())?;
    buffer.resize(length, 0);
    Ok(buffer)
}
