//! JPEG, scaled while decoding: frequencies that the sample would lose are never computed.
//!
//! A JPEG that was cut short after its first image data still decodes (what is missing is grey):
//! it counts as a picture and is marked `partial`, as is one with damaged data. One that ends
//! before any image data is refused.

use super::turbo::{Header, Layout, Message, Turbo};
use super::{Bounds, Decoded, buffer, check_dimensions};
use crate::error::{Reason, Refusal};
use image::metadata::Orientation;

/// A real progressive file has about ten scans; each one costs a pass over the coefficients.
const MOST_SCANS: i32 = 200;

pub(super) fn decode(
    bytes: &[u8],
    bounds: Bounds,
    target: fn(u32, u32) -> (u32, u32),
) -> Result<Decoded, Refusal> {
    let segments = Segments::walk(bytes);
    let failed = |message: Message| refusal(&message, bytes);
    let mut turbo = Turbo::new(bytes).map_err(failed)?;
    let (header, header_warning) = turbo.header().map_err(failed)?;
    check_dimensions(header.width, header.height, bounds)?;
    if header.precision != 8 {
        return Err(Refusal::new(
            Reason::UnsupportedFormat,
            format!("a JPEG with {} bits a sample", header.precision),
        ));
    }
    let denominator = denominator(header, target(header.width, header.height));
    let size = (
        header.width.div_ceil(denominator),
        header.height.div_ceil(denominator),
    );
    let length = u64::from(size.0) * u64::from(size.1) * header.layout.channels() as u64;
    let mut pixels = buffer(length, bounds)?;
    turbo.scale(denominator).map_err(failed)?;
    turbo
        .bound(bounds.memory.saturating_sub(length), MOST_SCANS)
        .map_err(failed)?;
    let warning = turbo.decode(header, &mut pixels).map_err(failed)?;
    if warning.is_some() && segments.scan_bytes <= 4 {
        return Err(Refusal::new(
            Reason::Truncated,
            "the JPEG ends before its first image data",
        ));
    }
    // A warning about the header alone comes back while decoding, and costs no pixels.
    let partial = warning.is_some() && (warning != header_warning || !ends_properly(bytes));
    let channels = match header.layout {
        Layout::Grey => 1,
        Layout::Rgb => 3,
        Layout::Cmyk => {
            cmyk_to_rgb(&mut pixels, segments.adobe);
            3
        }
    };
    Ok(Decoded {
        pixels,
        channels,
        size,
        stored: (header.width, header.height),
        orientation: segments.orientation,
        has_alpha: false,
        partial,
    })
}

/// The strongest reduction that still covers the target; a lossless JPEG cannot be scaled.
fn denominator(header: Header, target: (u32, u32)) -> u32 {
    if header.lossless {
        return 1;
    }
    [8, 4, 2]
        .into_iter()
        .find(|denominator| {
            header.width.div_ceil(*denominator) >= target.0
                && header.height.div_ceil(*denominator) >= target.1
        })
        .unwrap_or(1)
}

/// Converts in place. Adobe's programs store ink inverted (255 is none), all others do not.
fn cmyk_to_rgb(pixels: &mut Vec<u8>, adobe: bool) {
    let count = pixels.len() / 4;
    for index in 0..count {
        let mut ink = [0; 4];
        ink.copy_from_slice(&pixels[4 * index..4 * index + 4]);
        let paper = if adobe {
            ink
        } else {
            ink.map(|value| 255 - value)
        };
        for channel in 0..3 {
            let value = u32::from(paper[channel]) * u32::from(paper[3]);
            pixels[3 * index + channel] = ((value + 127) / 255) as u8;
        }
    }
    pixels.truncate(3 * count);
}

/// Whether the end-of-image marker is there; some programs append a little after it.
fn ends_properly(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(1024)..];
    tail.windows(2).any(|pair| pair == [0xff, 0xd9])
}

fn refusal(message: &Message, bytes: &[u8]) -> Refusal {
    let text = message.0.as_str();
    let lower = text.to_ascii_lowercase();
    let reason = if lower.contains("memory") {
        Reason::OutOfMemory
    } else if lower.contains("unsupported")
        || lower.contains("not supported")
        || lower.contains("not implemented")
        || lower.contains("could not determine")
    {
        Reason::UnsupportedFormat
    } else if ends_properly(bytes) {
        Reason::Corrupt
    } else {
        Reason::Truncated
    };
    Refusal::new(reason, format!("JPEG: {text}"))
}

/// What the marker segments before the image data say.
#[derive(Debug, PartialEq, Eq)]
struct Segments {
    orientation: u8,
    adobe: bool,
    /// Bytes after the first scan's header.
    scan_bytes: usize,
}

impl Segments {
    fn walk(bytes: &[u8]) -> Self {
        let mut found = Self {
            orientation: 1,
            adobe: false,
            scan_bytes: 0,
        };
        let mut at = 2;
        while let Some([0xff, marker]) = bytes.get(at..at + 2) {
            if *marker == 0xff {
                at += 1;
                continue;
            }
            let Some(length) = bytes.get(at + 2..at + 4) else {
                break;
            };
            let end = at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            let body = bytes.get(at + 4..end).unwrap_or_default();
            match marker {
                0xe1 => {
                    let exif = body.strip_prefix(b"Exif\0\0");
                    if let Some(found_here) = exif.and_then(Orientation::from_exif_chunk) {
                        found.orientation = found_here.to_exif();
                    }
                }
                0xee => found.adobe |= body.starts_with(b"Adobe"),
                0xda => {
                    found.scan_bytes = bytes.len().saturating_sub(end);
                    break;
                }
                0xd9 => break,
                _ => {}
            }
            at = end;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Segments, cmyk_to_rgb};

    #[test]
    fn segments_are_walked_up_to_the_first_scan() {
        let mut jpeg = vec![0xff, 0xd8];
        jpeg.extend(b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0");
        jpeg.extend(b"\xff\xee\0\x07Adobe\xff\xda\0\x02data!");
        assert_eq!(
            Segments::walk(&jpeg),
            Segments {
                orientation: 6,
                adobe: true,
                scan_bytes: 5
            }
        );
        for end in 0..jpeg.len() {
            Segments::walk(&jpeg[..end]);
        }
    }

    #[test]
    fn ink_is_read_the_way_its_program_wrote_it() {
        let mut adobe = vec![255, 0, 0, 255, 10, 20, 30, 0];
        cmyk_to_rgb(&mut adobe, true);
        assert_eq!(adobe, [255, 0, 0, 0, 0, 0]);
        let mut plain = vec![0, 255, 255, 0, 10, 20, 30, 255];
        cmyk_to_rgb(&mut plain, false);
        assert_eq!(plain, [255, 0, 0, 0, 0, 0]);
    }
}
