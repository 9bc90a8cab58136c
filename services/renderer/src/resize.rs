//! Making a picture smaller.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::error::{Reason, Refusal};

/// How a reduction weighs the pixels it merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The plain mean over each target pixel's area: hashes.
    Mean,
    /// Near bicubic sharpness at the cost of bilinear: renditions.
    Sharp,
}

/// Resizes 8-bit pixels of 1 or 3 channels. The result is the same on every processor.
pub(crate) fn resize(
    pixels: &[u8],
    channels: usize,
    from: (u32, u32),
    to: (u32, u32),
    filter: Filter,
) -> Result<Vec<u8>, Refusal> {
    let kind = if channels == 1 {
        PixelType::U8
    } else {
        PixelType::U8x3
    };
    let failed = |error: &dyn std::fmt::Display| {
        Refusal::new(Reason::Corrupt, format!("cannot resize: {error}"))
    };
    let source = ImageRef::new(from.0, from.1, pixels, kind).map_err(|error| failed(&error))?;
    let mut target = Image::new(to.0, to.1, kind);
    let filter = match filter {
        Filter::Mean => FilterType::Box,
        Filter::Sharp => FilterType::Hamming,
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|error| failed(&error))?;
    Ok(target.into_vec())
}
