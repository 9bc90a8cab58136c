//! One picture from bytes to answer: the pipeline, and its revision.

use crate::blurhash::blur_hash;
use crate::decode::{Bounds, Decoded, decode};
use crate::encode;
use crate::error::{Reason, Refusal};
use crate::frames;
use crate::hashes::{HASHED_SIDE, PerceptualHash, perceptual};
use crate::orient::{Rgb, swaps_sides, upright};
use crate::rendered::{Rendered, Rendition, Wanted};
use crate::resize::{Filter, resize};
use crate::size::{preview_size, sample_size};
use crate::sniff::sniff;

/// Changes whenever any output byte may change for some picture: a rendition, a hash, a size.
/// Kept with every result that was made from a sample, so that old and new are never compared.
pub const RENDER_REVISION: u32 = 1;

/// JPEG quality of a sample, 4:2:0.
pub const SAMPLE_QUALITY: i32 = 90;

/// JPEG quality of a preview, 4:2:0.
pub const PREVIEW_QUALITY: i32 = 80;

/// Memory of a child that is neither the file nor the decoded picture: program, libraries, stack,
/// and, at most, a 2 Mpx sample three times (resized, turned, encoded). Bytes.
const RESERVE: u64 = 48 << 20;

/// What a request says of itself, beside the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) wanted: Wanted,
    pub(crate) side: u32,
    pub(crate) pixels: u64,
    pub(crate) file_bytes: u64,
}

/// Renders one file. `memory` is the whole address space of this process, bytes.
pub(crate) fn render(bytes: &[u8], order: Order, memory: u64) -> Result<Rendered, Refusal> {
    let format = sniff(bytes)?;
    let bounds = Bounds {
        side: order.side,
        pixels: order.pixels,
        memory: memory.saturating_sub(bytes.len() as u64 + RESERVE),
    };
    let mut decoded = decode(format, bytes, bounds, sample_size)?;
    let mut rendered = Rendered {
        format,
        width: decoded.stored.0,
        height: decoded.stored.1,
        stored_width: decoded.stored.0,
        stored_height: decoded.stored.1,
        frames: frames::count(format, bytes),
        has_alpha: decoded.has_alpha,
        orientation: decoded.orientation,
        partial: decoded.partial,
        sample: None,
        preview: None,
        hash: None,
        blur_hash: None,
        cpu_time: std::time::Duration::ZERO,
    };
    if swaps_sides(decoded.orientation) {
        std::mem::swap(&mut rendered.width, &mut rendered.height);
    }
    let picture = sample_pixels(&mut decoded)?;
    if order.wanted.sample {
        rendered.sample = Some(encode::jpeg(&picture, SAMPLE_QUALITY)?);
    }
    if order.wanted.preview {
        rendered.preview = Some(preview(&picture)?);
    }
    if order.wanted.hashes {
        let (hash, blur) = hashes(&picture)?;
        rendered.hash = Some(hash);
        rendered.blur_hash = Some(blur);
    }
    Ok(rendered)
}

/// The sample's pixels: reduced, in colour, upright. Takes the decoded pixels, so that a large
/// picture is gone before anything else is made.
fn sample_pixels(decoded: &mut Decoded) -> Result<Rgb, Refusal> {
    let size = sample_size(decoded.stored.0, decoded.stored.1);
    let mut pixels = std::mem::take(&mut decoded.pixels);
    if decoded.size != size {
        pixels = resize(&pixels, decoded.channels, decoded.size, size, Filter::Sharp)?;
    }
    if decoded.channels == 1 {
        pixels = pixels.into_iter().flat_map(|grey| [grey; 3]).collect();
    }
    let picture = Rgb {
        pixels,
        width: size.0 as usize,
        height: size.1 as usize,
    };
    if picture.pixels.len() != 3 * picture.width * picture.height {
        return Err(Refusal::new(
            Reason::Corrupt,
            "the decoder gave another number of pixels than it promised",
        ));
    }
    Ok(upright(picture, decoded.orientation))
}

fn preview(picture: &Rgb) -> Result<Rendition, Refusal> {
    let from = (picture.width as u32, picture.height as u32);
    let to = preview_size(from.0, from.1);
    if from == to {
        return encode::jpeg(picture, PREVIEW_QUALITY);
    }
    let small = Rgb {
        pixels: resize(&picture.pixels, 3, from, to, Filter::Sharp)?,
        width: to.0 as usize,
        height: to.1 as usize,
    };
    encode::jpeg(&small, PREVIEW_QUALITY)
}

fn hashes(picture: &Rgb) -> Result<(PerceptualHash, String), Refusal> {
    let from = (picture.width as u32, picture.height as u32);
    let to = (HASHED_SIDE as u32, HASHED_SIDE as u32);
    let reduced = resize(&picture.pixels, 3, from, to, Filter::Mean)?;
    Ok((perceptual(&reduced), blur_hash(&reduced, HASHED_SIDE)))
}
