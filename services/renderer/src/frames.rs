//! Counting the frames of an animation by walking its container: nothing is decoded.

use crate::format::Format;

/// Counting stops here; the answer then means "at least".
const MOST: u32 = 65_535;

/// How many frames the file has; 1 for still pictures and for containers that end early.
pub(crate) fn count(format: Format, bytes: &[u8]) -> u32 {
    let frames = match format {
        Format::Gif => gif(bytes),
        Format::Png => apng(bytes),
        Format::WebP => webp(bytes),
        Format::Jpeg | Format::Bmp | Format::Tiff => None,
    };
    frames.unwrap_or(1).clamp(1, MOST)
}

/// Bytes of a GIF colour table, from the flags that announce it.
fn colour_table(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

fn gif(bytes: &[u8]) -> Option<u32> {
    let mut at = 13 + colour_table(*bytes.get(10)?);
    let mut frames = 0;
    while frames < MOST {
        match bytes.get(at) {
            Some(0x21) => at += 2,
            Some(0x2c) => {
                let Some(flags) = bytes.get(at + 9) else {
                    break;
                };
                frames += 1;
                at += 10 + colour_table(*flags) + 1;
            }
            _ => break,
        }
        // Every block ends in sub-blocks: a length and so many bytes, until the length is 0.
        while let Some(length) = bytes.get(at) {
            at += 1 + usize::from(*length);
            if *length == 0 {
                break;
            }
        }
    }
    Some(frames)
}

/// What `acTL` announces; it must come before the first `IDAT`.
fn apng(bytes: &[u8]) -> Option<u32> {
    let mut at = 8;
    loop {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        match bytes.get(at + 4..at + 8)? {
            b"acTL" => {
                return Some(u32::from_be_bytes(
                    bytes.get(at + 8..at + 12)?.try_into().ok()?,
                ));
            }
            b"IDAT" | b"IEND" => return None,
            _ => at = at.checked_add(12)?.checked_add(length as usize)?,
        }
    }
}

fn webp(bytes: &[u8]) -> Option<u32> {
    let mut at = 12_usize;
    let mut frames = 0;
    while frames < MOST {
        let Some(header) = bytes.get(at..at + 8) else {
            break;
        };
        if header.starts_with(b"ANMF") {
            frames += 1;
        }
        let length = u32::from_le_bytes(header[4..8].try_into().ok()?) as usize;
        at = at
            .checked_add(8)?
            .checked_add(length)?
            .checked_add(length & 1)?;
    }
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::count;
    use crate::format::Format;

    #[test]
    fn gif_frames_are_counted_without_decoding() {
        let mut gif = b"GIF89a\x01\0\x01\0\x80\0\0".to_vec();
        gif.extend([0; 6]);
        for _ in 0..3 {
            gif.extend(b"\x21\xf9\x04\0\0\0\0\0");
            gif.extend(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0");
        }
        gif.push(0x3b);
        assert_eq!(count(Format::Gif, &gif), 3);
        assert_eq!(count(Format::Gif, &gif[..30]), 1);
    }

    #[test]
    fn animated_png_and_webp_announce_their_frames() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\x08acTL\0\0\0\x07\0\0\0\0crc!\0\0\0\0IDAT";
        assert_eq!(count(Format::Png, png), 7);
        let webp = b"RIFF\0\0\0\0WEBPANMF\x01\0\0\0a\0ANMF\x02\0\0\0ab";
        assert_eq!(count(Format::WebP, webp), 2);
    }

    #[test]
    fn nonsense_counts_as_one() {
        for format in Format::ALL {
            assert_eq!(count(format, b""), 1);
            assert_eq!(count(format, &[0xff; 64]), 1);
        }
    }
}
