//! PNG, GIF, WebP, BMP and TIFF by the `image` crate, first frame only.
//!
//! Its decoders are given limits, but not all of them count their output, so the output is
//! checked here before it is allocated; it is then brought to 8 bits on white in place, so that
//! a picture is never in memory twice.

use std::error::Error as _;
use std::io::{self, Cursor};

use image::error::{ImageError, LimitErrorKind};
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Bounds, Decoded, buffer, check_dimensions};
use crate::error::{Reason, Refusal};
use crate::format::Format;

pub(super) fn decode(format: Format, bytes: &[u8], bounds: Bounds) -> Result<Decoded, Refusal> {
    let failed = |error: ImageError| refusal(format, bytes, &error);
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(bounds.side);
    limits.max_image_height = Some(bounds.side);
    limits.max_alloc = Some(bounds.memory);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), crate_format(format));
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(failed)?;

    let (width, height) = decoder.dimensions();
    check_dimensions(width, height, bounds)?;
    let color = decoder.color_type();
    let mut pixels = buffer(decoder.total_bytes(), bounds)?;
    limits.max_alloc = Some(bounds.memory - pixels.len() as u64);
    decoder.set_limits(limits).map_err(failed)?;
    // A damaged orientation is no reason to refuse the picture.
    let orientation = match format {
        Format::Png => png_exif(bytes).and_then(Orientation::from_exif_chunk),
        _ => decoder.orientation().ok(),
    }
    .unwrap_or(Orientation::NoTransforms);
    decoder.read_image(&mut pixels).map_err(failed)?;
    let has_alpha = to_eight_bits_on_white(&mut pixels, color);
    Ok(Decoded {
        pixels,
        channels: if color.has_color() { 3 } else { 1 },
        size: (width, height),
        stored: (width, height),
        orientation: orientation.to_exif(),
        has_alpha,
        partial: false,
    })
}

fn crate_format(format: Format) -> ImageFormat {
    match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::Gif => ImageFormat::Gif,
        Format::WebP => ImageFormat::WebP,
        Format::Bmp => ImageFormat::Bmp,
        Format::Tiff => ImageFormat::Tiff,
    }
}

/// The `eXIf` chunk, wherever it is: some programs write it after the image data, where the
/// decoder, which stops at the header, does not see it.
fn png_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 8_usize;
    loop {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let body = at + 8;
        match bytes.get(at + 4..body)? {
            b"eXIf" => return bytes.get(body..body.checked_add(length)?),
            b"IEND" => return None,
            _ => at = body.checked_add(length)?.checked_add(4)?,
        }
    }
}

/// Brings pixels to 8 bits of grey or RGB in place; answers whether any was not opaque.
/// 16 bits lose the lower eight, floats are clamped to 0..=1, alpha is composited on white.
fn to_eight_bits_on_white(pixels: &mut Vec<u8>, color: ColorType) -> bool {
    match color {
        ColorType::L8 | ColorType::Rgb8 => false,
        ColorType::La8 => convert::<2, 1>(pixels, |bytes| bytes[0]),
        ColorType::Rgba8 => convert::<4, 1>(pixels, |bytes| bytes[0]),
        ColorType::L16 => convert::<1, 2>(pixels, high_byte),
        ColorType::La16 => convert::<2, 2>(pixels, high_byte),
        ColorType::Rgb16 => convert::<3, 2>(pixels, high_byte),
        ColorType::Rgba16 => convert::<4, 2>(pixels, high_byte),
        ColorType::Rgb32F => convert::<3, 4>(pixels, unit_float),
        _ => convert::<4, 4>(pixels, unit_float),
    }
}

fn high_byte(bytes: [u8; 2]) -> u8 {
    (u16::from_ne_bytes(bytes) >> 8) as u8
}

fn unit_float(bytes: [u8; 4]) -> u8 {
    // The cast sends NaN to 0.
    (f32::from_ne_bytes(bytes).clamp(0.0, 1.0) * 255.0 + 0.5) as u8
}

/// `CHANNELS` samples of `BYTES` bytes each become 1 or 3 bytes, an even channel being alpha.
fn convert<const CHANNELS: usize, const BYTES: usize>(
    pixels: &mut Vec<u8>,
    eight_bits: impl Fn([u8; BYTES]) -> u8,
) -> bool {
    let colours = if CHANNELS > 2 { 3 } else { 1 };
    let count = pixels.len() / (CHANNELS * BYTES);
    let mut least_alpha = 255;
    for index in 0..count {
        let mut samples = [255_u8; 4];
        for (channel, sample) in samples.iter_mut().take(CHANNELS).enumerate() {
            let at = (index * CHANNELS + channel) * BYTES;
            let mut bytes = [0; BYTES];
            bytes.copy_from_slice(&pixels[at..at + BYTES]);
            *sample = eight_bits(bytes);
        }
        let alpha = if CHANNELS.is_multiple_of(2) {
            samples[CHANNELS - 1]
        } else {
            255
        };
        least_alpha = alpha.min(least_alpha);
        for channel in 0..colours {
            pixels[index * colours + channel] = on_white(samples[channel], alpha);
        }
    }
    pixels.truncate(count * colours);
    least_alpha < 255
}

fn on_white(value: u8, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

fn refusal(format: Format, bytes: &[u8], error: &ImageError) -> Refusal {
    let reason = match error {
        ImageError::Limits(limit) => match limit.kind() {
            LimitErrorKind::DimensionError => Reason::DimensionsTooLarge,
            _ => Reason::OutOfMemory,
        },
        ImageError::Unsupported(_) => Reason::UnsupportedFormat,
        _ if ends_early(error) || (format == Format::WebP && riff_is_cut(bytes)) => {
            Reason::Truncated
        }
        _ => Reason::Corrupt,
    };
    Refusal::new(reason, format!("{}: {error}", format.name()))
}

/// Whether a WebP is shorter than its container says: its decoder calls that an invalid chunk.
fn riff_is_cut(bytes: &[u8]) -> bool {
    bytes
        .get(4..8)
        .and_then(|size| size.try_into().ok())
        .is_none_or(|size| u64::from(u32::from_le_bytes(size)) + 8 > bytes.len() as u64)
}

/// Whether the bytes ran out; some decoders say so only in words.
fn ends_early(error: &ImageError) -> bool {
    if let ImageError::IoError(error) = error {
        return error.kind() == io::ErrorKind::UnexpectedEof;
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = error.source();
    }
    let text = error.to_string().to_ascii_lowercase();
    [
        "unexpected end",
        "unexpected eof",
        "end of file",
        "failed to fill whole buffer",
    ]
    .iter()
    .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::{ColorType, to_eight_bits_on_white};

    fn converted(color: ColorType, bytes: Vec<u8>) -> (Vec<u8>, bool) {
        let mut pixels = bytes;
        let has_alpha = to_eight_bits_on_white(&mut pixels, color);
        (pixels, has_alpha)
    }

    #[test]
    fn every_layout_becomes_eight_bits_on_white() {
        let wide = |values: &[u16]| values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        let float = |values: &[f32]| values.iter().flat_map(|v| v.to_ne_bytes()).collect();
        for (color, bytes, expected, has_alpha) in [
            (ColorType::La8, vec![10, 255, 10, 0], vec![10, 255], true),
            (ColorType::Rgba8, vec![1, 2, 3, 255], vec![1, 2, 3], false),
            (ColorType::Rgba8, vec![0, 0, 0, 51], vec![204; 3], true),
            (
                ColorType::L16,
                wide(&[0x12ff, 0xffff]),
                vec![0x12, 255],
                false,
            ),
            (ColorType::La16, wide(&[0, 0]), vec![255], true),
            (
                ColorType::Rgba16,
                wide(&[256, 512, 768, 65535]),
                vec![1, 2, 3],
                false,
            ),
            (
                ColorType::Rgb32F,
                float(&[-1.0, 2.0, f32::NAN]),
                vec![0, 255, 0],
                false,
            ),
            (
                ColorType::Rgba32F,
                float(&[0.5, 0.0, 1.0, 1.0]),
                vec![128, 0, 255],
                false,
            ),
        ] {
            assert_eq!(converted(color, bytes), (expected, has_alpha), "{color:?}");
        }
    }
}
