//! How large a sample and a preview are.
//!
//! The sample is the picture reduced by the largest power of two that leaves its short side at
//! least [`SAMPLE_SHORT_SIDE`], and further only if it still has more than [`SAMPLE_PIXELS`].
//! A power of two because a JPEG then decodes straight to the sample's size (the decoder skips
//! the frequencies that would be thrown away), and because the rule looks at the dimensions
//! alone: the same picture gives the same sample size from every container.

/// The short side of a sample is at least this, or the original's if that is less, unless the
/// picture is so long that [`SAMPLE_PIXELS`] does not allow it. Pixels.
pub const SAMPLE_SHORT_SIDE: u32 = 512;

/// A sample has at most this many pixels.
pub const SAMPLE_PIXELS: u64 = 2_000_000;

/// The longest side of a preview, pixels. Smaller pictures are not enlarged.
pub const PREVIEW_SIDE: u32 = 320;

/// Width and height of the sample of a picture, both at least 1.
pub(crate) fn sample_size(width: u32, height: u32) -> (u32, u32) {
    let mut halvings = 0;
    while (width.min(height) >> (halvings + 1)) >= SAMPLE_SHORT_SIDE {
        halvings += 1;
    }
    let (width, height) = (
        width.div_ceil(1 << halvings).max(1),
        height.div_ceil(1 << halvings).max(1),
    );
    let pixels = u64::from(width) * u64::from(height);
    if pixels <= SAMPLE_PIXELS {
        return (width, height);
    }
    let factor = (SAMPLE_PIXELS as f64 / pixels as f64).sqrt();
    let scaled = |side: u32| ((f64::from(side) * factor) as u32).max(1);
    // A strip one pixel high cannot shrink there, so the long side takes what is left.
    let short = scaled(width.min(height));
    let long = scaled(width.max(height)).min((SAMPLE_PIXELS / u64::from(short)) as u32);
    if width >= height {
        (long, short)
    } else {
        (short, long)
    }
}

/// Width and height of the preview of a picture, both at least 1.
pub(crate) fn preview_size(width: u32, height: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= PREVIEW_SIDE {
        return (width, height);
    }
    let scaled = |side: u32| {
        let rounded = (u64::from(side) * u64::from(PREVIEW_SIDE) + u64::from(longest) / 2)
            / u64::from(longest);
        (rounded as u32).max(1)
    };
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::{PREVIEW_SIDE, SAMPLE_PIXELS, preview_size, sample_size};

    #[test]
    fn the_sample_keeps_the_two_promises_for_every_shape() {
        for width in [1, 2, 63, 511, 512, 1023, 1024, 2048, 5000, 12_247, 32_768] {
            for height in [1, 100, 512, 700, 1025, 1536, 4000, 12_247, 32_768] {
                let (w, h) = sample_size(width, height);
                assert!(w >= 1 && h >= 1 && w <= width && h <= height);
                assert!(u64::from(w) * u64::from(h) <= SAMPLE_PIXELS);
                let aspect = f64::from(width.max(height)) / f64::from(width.min(height));
                // 512 × 512 × 7.6 is the budget.
                if aspect < 7.6 {
                    assert!(w.min(h) >= width.min(height).min(512), "{width}×{height}");
                }
            }
        }
    }

    #[test]
    fn common_sizes_halve_exactly() {
        assert_eq!(sample_size(2048, 1536), (1024, 768));
        assert_eq!(sample_size(1920, 1080), (960, 540));
        assert_eq!(sample_size(1000, 800), (1000, 800));
        assert_eq!(sample_size(4001, 3001), (1001, 751));
    }

    #[test]
    fn a_turned_picture_has_a_turned_sample() {
        for (width, height) in [(3000, 900), (32_768, 7), (4001, 3001)] {
            let (w, h) = sample_size(width, height);
            assert_eq!(sample_size(height, width), (h, w));
            let (w, h) = preview_size(width, height);
            assert_eq!(preview_size(height, width), (h, w));
            assert_eq!(w.max(h), PREVIEW_SIDE);
        }
    }
}
