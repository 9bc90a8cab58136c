//! Turning a picture upright: the eight EXIF orientations.

/// A picture of 8-bit RGB, rows without padding.
#[derive(Debug)]
pub(crate) struct Rgb {
    pub(crate) pixels: Vec<u8>,
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Whether an orientation exchanges width and height.
pub(crate) fn swaps_sides(orientation: u8) -> bool {
    orientation >= 5
}

/// Applies an EXIF orientation (1 to 8; 1 is upright already and costs nothing).
pub(crate) fn upright(picture: Rgb, orientation: u8) -> Rgb {
    let Rgb {
        pixels: source,
        width,
        height,
    } = picture;
    // Where the row of a target pixel begins in the source, and how far its columns step.
    let (right, below) = (3, 3 * width.cast_signed());
    let (last_x, last_y) = (
        right * (width.cast_signed() - 1),
        below * (height.cast_signed() - 1),
    );
    let (start, column, row) = match orientation {
        2 => (last_x, -right, below),
        3 => (last_x + last_y, -right, -below),
        4 => (last_y, right, -below),
        5 => (0, below, right),
        6 => (last_y, -below, right),
        7 => (last_x + last_y, -below, -right),
        8 => (last_x, below, -right),
        _ => {
            return Rgb {
                pixels: source,
                width,
                height,
            };
        }
    };
    let (new_width, new_height) = if swaps_sides(orientation) {
        (height, width)
    } else {
        (width, height)
    };
    let mut pixels = Vec::with_capacity(source.len());
    for y in 0..new_height.cast_signed() {
        let mut at = start + y * row;
        for _ in 0..new_width {
            let from = at.cast_unsigned();
            pixels.extend_from_slice(&source[from..from + 3]);
            at += column;
        }
    }
    Rgb {
        pixels,
        width: new_width,
        height: new_height,
    }
}

#[cfg(test)]
mod tests {
    use super::{Rgb, upright};

    /// Three columns, two rows: `abc` over `def`.
    fn turned(orientation: u8) -> Vec<String> {
        let pixels = b"abcdef".iter().flat_map(|letter| [*letter; 3]).collect();
        let turned = upright(
            Rgb {
                pixels,
                width: 3,
                height: 2,
            },
            orientation,
        );
        assert_eq!(turned.pixels.len(), 18);
        turned
            .pixels
            .chunks(3 * turned.width)
            .map(|row| row.chunks(3).map(|pixel| char::from(pixel[1])).collect())
            .collect()
    }

    #[test]
    fn each_orientation_is_what_exif_says() {
        assert_eq!(turned(1), ["abc", "def"]);
        assert_eq!(turned(2), ["cba", "fed"]);
        assert_eq!(turned(3), ["fed", "cba"]);
        assert_eq!(turned(4), ["def", "abc"]);
        assert_eq!(turned(5), ["ad", "be", "cf"]);
        assert_eq!(turned(6), ["da", "eb", "fc"]);
        assert_eq!(turned(7), ["fc", "eb", "da"]);
        assert_eq!(turned(8), ["cf", "be", "ad"]);
    }
}
