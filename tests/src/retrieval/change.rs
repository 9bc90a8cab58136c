//! What happens to pictures on their way through the world.

use anyhow::Result;
use image::{
    Rgb, RgbImage,
    imageops::{self, FilterType},
};

use crate::pictures::{self, Dice};

/// Quality of every JPEG whose quality is not the point.
const QUALITY: i32 = 90;

/// A known change of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// JPEG of this quality.
    Encoded(i32),
    /// Both sides by this factor.
    Resized(f32),
    /// This share of both sides cut off, somewhere at the edges.
    Cropped(f32),
    /// Left and right exchanged.
    Flipped,
    /// All channels by this factor.
    Brightness(f32),
    /// A line of letters laid over it, half transparent.
    Watermark,
    /// Turned by 90°.
    Turned,
}

/// Changes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Change::Encoded`].
    Encoding,
    /// [`Change::Resized`].
    Resizing,
    /// Any other.
    Other,
}

impl Change {
    /// All that are tried.
    pub const ALL: [Self; 20] = [
        Self::Encoded(95),
        Self::Encoded(80),
        Self::Encoded(60),
        Self::Encoded(40),
        Self::Encoded(20),
        Self::Resized(0.25),
        Self::Resized(0.5),
        Self::Resized(0.75),
        Self::Resized(1.5),
        Self::Resized(2.0),
        Self::Cropped(0.05),
        Self::Cropped(0.10),
        Self::Cropped(0.15),
        Self::Cropped(0.20),
        Self::Cropped(0.25),
        Self::Flipped,
        Self::Brightness(0.75),
        Self::Brightness(1.25),
        Self::Watermark,
        Self::Turned,
    ];

    /// Its kind.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Encoded(_) => Kind::Encoding,
            Self::Resized(_) => Kind::Resizing,
            _ => Kind::Other,
        }
    }

    /// What a table calls it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Encoded(quality) => format!("re-encoded, JPEG quality {quality}"),
            Self::Resized(factor) => format!("resized ×{factor}"),
            Self::Cropped(share) => format!("cropped by {:.0} %", share * 100.0),
            Self::Flipped => "flipped".to_owned(),
            Self::Brightness(factor) => format!("brightness ×{factor}"),
            Self::Watermark => "watermark".to_owned(),
            Self::Turned => "rotated by 90°".to_owned(),
        }
    }

    /// The changed picture as a file. `seed` decides where a crop is made.
    ///
    /// # Errors
    /// If the encoder fails.
    pub fn apply(self, picture: &RgbImage, seed: u64) -> Result<Vec<u8>> {
        let (width, height) = picture.dimensions();
        match self {
            Self::Encoded(quality) => pictures::jpeg(picture, quality),
            Self::Resized(factor) => {
                let scaled = |side: u32| ((side as f32 * factor).round() as u32).max(1);
                let filter = FilterType::Lanczos3;
                let resized = imageops::resize(picture, scaled(width), scaled(height), filter);
                pictures::jpeg(&resized, QUALITY)
            }
            Self::Cropped(share) => {
                let mut dice = Dice::new(seed ^ 0xc40b);
                let cut = |side: u32| (side as f32 * share).round() as u32;
                let left = dice.below(u64::from(cut(width)) + 1) as u32;
                let top = dice.below(u64::from(cut(height)) + 1) as u32;
                let (kept_width, kept_height) = (width - cut(width), height - cut(height));
                let part = imageops::crop_imm(picture, left, top, kept_width, kept_height);
                pictures::jpeg(&part.to_image(), QUALITY)
            }
            Self::Flipped => pictures::jpeg(&imageops::flip_horizontal(picture), QUALITY),
            Self::Brightness(factor) => {
                let mut changed = picture.clone();
                for pixel in changed.pixels_mut() {
                    *pixel = Rgb(pixel
                        .0
                        .map(|value| (f32::from(value) * factor).round() as u8));
                }
                pictures::jpeg(&changed, QUALITY)
            }
            Self::Watermark => pictures::jpeg(&watermarked(picture), QUALITY),
            Self::Turned => pictures::jpeg(&imageops::rotate90(picture), QUALITY),
        }
    }
}

/// Letters of 5×7 dots across the lower third.
fn watermarked(picture: &RgbImage) -> RgbImage {
    const LETTERS: [[u8; 7]; 4] = [
        [0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11],
        [0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
        [0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11],
        [0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e],
    ];
    let (width, height) = picture.dimensions();
    let dot = (width / 40).max(1);
    let (left, top) = (width / 5, height * 2 / 3);
    let mut marked = picture.clone();
    for (x, y, pixel) in marked.enumerate_pixels_mut() {
        let (Some(x), Some(y)) = (x.checked_sub(left), y.checked_sub(top)) else {
            continue;
        };
        let (column, row) = (x / dot, y / dot);
        let letter = LETTERS.get(column as usize / 6);
        let dots = letter.and_then(|letter| letter.get(row as usize));
        if dots.is_some_and(|dots| column % 6 < 5 && dots >> (4 - column % 6) & 1 == 1) {
            *pixel = Rgb(pixel.0.map(|value| u8::midpoint(value, 255)));
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_makes_another_picture_of_the_right_size() {
        let picture = pictures::photo(120, 80, 1, [90, 120, 150]);
        let size = |change: Change| {
            let bytes = change.apply(&picture, 3).expect("encodes");
            let header = turbojpeg::read_header(&bytes).expect("is a JPEG");
            (header.width, header.height)
        };
        assert_eq!(size(Change::Encoded(20)), (120, 80));
        assert_eq!(size(Change::Resized(0.25)), (30, 20));
        assert_eq!(size(Change::Cropped(0.25)), (90, 60));
        assert_eq!(size(Change::Turned), (80, 120));
        assert_ne!(watermarked(&picture), picture);
        let named: std::collections::BTreeSet<_> = Change::ALL.map(Change::name).into();
        assert_eq!(named.len(), Change::ALL.len());
    }
}
