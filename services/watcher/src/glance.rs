//! A glance at a name and the first bytes, to leave alone what neither is nor claims to be a
//! picture: sidecars, films, archives. Nothing is parsed here; the renderer alone does that.

/// Bytes of a file that are enough for [`looks_like_a_picture`].
pub const HEAD: usize = 16;

/// Extensions of files that claim to be pictures, decodable here or not.
const EXTENSIONS: &[&[u8]] = &[
    b"jpg", b"jpeg", b"jpe", b"jfif", b"png", b"apng", b"gif", b"webp", b"bmp", b"dib", b"tif",
    b"tiff", b"avif", b"heic", b"heif", b"jxl", b"jp2", b"qoi",
];

/// Whether the name claims to be a picture's.
#[must_use]
pub fn claims_to_be_a_picture(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else {
        return false;
    };
    let extension = name[dot + 1..].to_ascii_lowercase();
    EXTENSIONS.contains(&extension.as_slice())
}

/// Whether the first bytes are those of a format that the renderer decodes.
#[must_use]
pub fn looks_like_a_picture(head: &[u8]) -> bool {
    const SIGNATURES: &[&[u8]] = &[
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF87a",
        b"GIF89a",
        b"II*\0",
        b"MM\0*",
    ];
    let webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
    // "BM" begins many texts; a bitmap's two reserved fields are zero.
    let bitmap = head.starts_with(b"BM") && head.get(6..10) == Some(&[0; 4]);
    webp || bitmap
        || SIGNATURES
            .iter()
            .any(|signature| head.starts_with(signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_claim_by_their_extension_whatever_its_case() {
        for name in [b"a.jpg".as_slice(), b"d/b.JPEG", b"x.tar.png", b"\xff.WebP"] {
            assert!(claims_to_be_a_picture(name));
        }
        for name in [
            b"a.json".as_slice(),
            b"d.jpg/readme",
            b"jpg",
            b"a.mkv",
            b"a.",
        ] {
            assert!(!claims_to_be_a_picture(name));
        }
    }

    #[test]
    fn bytes_claim_by_their_signature() {
        for head in [
            b"\xff\xd8\xff\xe0".as_slice(),
            b"RIFF\x01\x02\x03\x04WEBPVP8 ",
            b"BM\x01\x02\x03\x04\0\0\0\0\x36\0\0\0\x28\0",
        ] {
            assert!(looks_like_a_picture(head));
        }
        for head in [
            b"".as_slice(),
            b"{\"a\": 1}",
            b"BMW is a car",
            b"RIFF\0\0\0\0WAVE",
            b"\xff\xd8",
        ] {
            assert!(!looks_like_a_picture(head));
        }
    }
}
