//! Making a picture smaller.

use std::error::Error;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

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
    // Each kind of pixel is named: of all kinds at once a compiler makes 4 MB of code.
    if channels == 1 {
        typed::<U8>(pixels, from, to, filter)
    } else {
        typed::<U8x3>(pixels, from, to, filter)
    }
    .map_err(|error| Refusal::new(Reason::Corrupt, format!("cannot resize: {error}")))
}

fn typed<P: PixelTrait>(
    pixels: &[u8],
    from: (u32, u32),
    to: (u32, u32),
    filter: Filter,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let filter = match filter {
        Filter::Mean => FilterType::Box,
        Filter::Sharp => FilterType::Hamming,
    };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .use_alpha(false);
    let source = TypedImageRef::<P>::from_buffer(from.0, from.1, pixels)?;
    let mut bytes = vec![0; to.0 as usize * to.1 as usize * P::size()];
    let mut target = TypedImage::<P>::from_buffer(to.0, to.1, &mut bytes)?;
    Resizer::new().resize_typed(&source, &mut target, &options)?;
    Ok(bytes)
}
