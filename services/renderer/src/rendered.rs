//! What is asked of the renderer, and what it answers.

use std::fmt;
use std::time::Duration;

use crate::format::Format;
use crate::hashes::PerceptualHash;

/// Which renditions to make. Decoding is always done; the rest costs only when asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The picture the cluster works on.
    pub sample: bool,
    /// The small one for grids.
    pub preview: bool,
    /// The perceptual hash and the blur hash.
    pub hashes: bool,
}

impl Wanted {
    /// Everything: what ingest asks for.
    pub const ALL: Self = Self {
        sample: true,
        preview: true,
        hashes: true,
    };
    /// The sample alone: what a model needs.
    pub const SAMPLE: Self = Self {
        sample: true,
        preview: false,
        hashes: false,
    };
}

/// One JPEG of our own making: upright, sRGB, on white, without metadata.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendition {
    /// The JPEG file's bytes.
    pub jpeg: Vec<u8>,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl fmt::Debug for Rendition {
    /// Without the bytes, which would fill a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            jpeg,
            width,
            height,
        } = self;
        write!(f, "Rendition({width}×{height}, {} bytes)", jpeg.len())
    }
}

/// A picture, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Format by content.
    pub format: Format,
    /// Pixels across after orientation: what a person sees.
    pub width: u32,
    /// Pixels down after orientation.
    pub height: u32,
    /// Pixels across as stored in the file.
    pub stored_width: u32,
    /// Pixels down as stored in the file.
    pub stored_height: u32,
    /// Frames of an animation, 1 for a still picture, counted up to 65,535 by walking the
    /// container; only the first is decoded. The pages of a TIFF are not frames.
    pub frames: u32,
    /// Whether some pixel of the first frame is not opaque. (Renditions are composited on white.)
    pub has_alpha: bool,
    /// EXIF orientation as found, 1 to 8; 1 when there is none. Already applied to everything.
    pub orientation: u8,
    /// A JPEG whose data was cut short or damaged, but of which something could be shown.
    pub partial: bool,
    /// The sample, if wanted.
    pub sample: Option<Rendition>,
    /// The preview, if wanted.
    pub preview: Option<Rendition>,
    /// The perceptual hash, if wanted.
    pub hash: Option<PerceptualHash>,
    /// The blur hash (4×3 components, 28 characters of base 83), if hashes were wanted: a
    /// placeholder for grids that every client language has a decoder for, and, by its first
    /// colour, the average colour.
    pub blur_hash: Option<String>,
    /// CPU time the child spent on this picture, as the kernel counts it.
    pub cpu_time: Duration,
}
