//! What the bytes are, by their first bytes and never by a name.

use crate::error::{Reason, Refusal};
use crate::format::Format;

/// Signatures of what is decoded here.
const SIGNATURES: &[(&[u8], Format)] = &[
    (&[0xff, 0xd8, 0xff], Format::Jpeg),
    (b"\x89PNG\r\n\x1a\n", Format::Png),
    (b"GIF87a", Format::Gif),
    (b"GIF89a", Format::Gif),
    (b"II*\0", Format::Tiff),
    (b"MM\0*", Format::Tiff),
    (b"II+\0", Format::Tiff),
    (b"MM\0+", Format::Tiff),
];

/// Signatures of pictures and films that a library may well hold but that are not decoded here.
const STRANGERS: &[(&[u8], &str)] = &[
    (&[0xff, 0x0a], "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (&[0xff, 0x4f, 0xff, 0x51], "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"qoif", "QOI"),
    (b"\0\0\x01\0", "icon"),
    (b"gimp xcf", "GIMP"),
    (b"DDS ", "DDS"),
    (b"#?RADIANCE", "Radiance HDR"),
    (&[0x76, 0x2f, 0x31, 0x01], "OpenEXR"),
    (b"%PDF-", "PDF"),
    (&[0x1a, 0x45, 0xdf, 0xa3], "WebM or Matroska"),
];

/// Brands of the ISO media container that are pictures; the rest are films.
const BRANDS: &[(&[u8], &str)] = &[
    (b"avif", "AVIF"),
    (b"avis", "AVIF"),
    (b"heic", "HEIC"),
    (b"heix", "HEIC"),
    (b"hevc", "HEIC"),
    (b"mif1", "HEIF"),
    (b"msf1", "HEIF"),
];

/// Tells the format, or why there is none.
pub(crate) fn sniff(bytes: &[u8]) -> Result<Format, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::new(Reason::EmptyFile, "the file is empty"));
    }
    for (signature, format) in SIGNATURES {
        if bytes.starts_with(signature) {
            return Ok(*format);
        }
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Ok(Format::WebP);
    }
    if is_bitmap(bytes) {
        return Ok(Format::Bmp);
    }
    if let Some(name) = stranger(bytes) {
        return Err(Refusal::new(
            Reason::UnsupportedFormat,
            format!("{name} is not decoded here"),
        ));
    }
    if SIGNATURES
        .iter()
        .any(|(signature, _)| signature.starts_with(bytes))
    {
        return Err(Refusal::new(
            Reason::Truncated,
            format!("the file ends after {} bytes", bytes.len()),
        ));
    }
    Err(Refusal::new(
        Reason::NotAPicture,
        "the first bytes are of no picture format",
    ))
}

/// "BM" alone begins too many texts, so the header's size must also be one that exists.
fn is_bitmap(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BM")
        && bytes.get(14..18).is_some_and(|size| {
            matches!(
                u32::from_le_bytes([size[0], size[1], size[2], size[3]]),
                12 | 16 | 40 | 52 | 56 | 64 | 108 | 124
            )
        })
}

fn stranger(bytes: &[u8]) -> Option<&'static str> {
    for (signature, name) in STRANGERS {
        if bytes.starts_with(signature) {
            return Some(name);
        }
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        let brand = bytes.get(8..12)?;
        let picture = BRANDS.iter().find(|(known, _)| *known == brand);
        return Some(picture.map_or("MP4 or QuickTime", |(_, name)| name));
    }
    let head = &bytes[..bytes.len().min(1024)];
    let text = head.trim_ascii_start();
    let is_svg = text.starts_with(b"<") && head.windows(4).any(|tag| tag == b"<svg");
    is_svg.then_some("SVG")
}

#[cfg(test)]
mod tests {
    use super::sniff;
    use crate::error::Reason;
    use crate::format::Format;

    #[test]
    fn formats_are_told_by_content() {
        assert_eq!(sniff(b"\xff\xd8\xff\xe0rest"), Ok(Format::Jpeg));
        assert_eq!(sniff(b"RIFF\0\0\0\0WEBPVP8 "), Ok(Format::WebP));
        assert_eq!(sniff(b"MM\0*\0\0\0\x08"), Ok(Format::Tiff));
    }

    #[test]
    fn strangers_are_named_and_the_rest_is_no_picture() {
        for (bytes, reason) in [
            (&b""[..], Reason::EmptyFile),
            (b"\x89PN", Reason::Truncated),
            (b"\0\0\0\x1cftypavif\0\0\0\0", Reason::UnsupportedFormat),
            (b"<?xml version=\"1.0\"?><svg/>", Reason::UnsupportedFormat),
            (b"BM is how this letter begins", Reason::NotAPicture),
            (b"<html>RIFF", Reason::NotAPicture),
        ] {
            assert_eq!(sniff(bytes).map_err(|refusal| refusal.reason), Err(reason));
        }
    }
}
