//! Colours: which are where, roughly. 36 bytes a post.
//!
//! The BlurHash of a post (4×3 components) is decoded and drawn as 4×3 cells in sRGB, the numbers
//! that eyes find evenly spaced; light itself would make all dark pictures alike. The difference of
//! two pictures is the sum of the differences of these 36 numbers.

use std::f64::consts::PI;

use crate::column::{Column, ROWS, place};

/// Components of the text across and down, and cells that are drawn.
const ACROSS: usize = 4;
const DOWN: usize = 3;
/// Numbers of a picture: three for each cell.
const NUMBERS: usize = 3 * ACROSS * DOWN;
/// Characters of the text.
const LENGTH: usize = 28;
/// The character that says 4×3.
const SIZE: u32 = (ACROSS - 1 + (DOWN - 1) * 9) as u32;

/// A mean difference of so many of 255 levels, as between unrelated pictures, scores 0.
const UNRELATED: u32 = 64;

const DIGITS: &[u8; 83] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/// The colours of a picture: 4×3 cells row by row, of each red, green and blue in sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours([u8; NUMBERS]);

/// Colours by slot; in a block lies the first number of all rows, then the second, and so on.
#[derive(Clone, Debug)]
pub(crate) struct Mosaics {
    column: Column,
}

impl Colours {
    /// Of a BlurHash with 4×3 components; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
        if number(&text[..1])? != SIZE {
            return None;
        }
        let scale = f64::from(number(&text[1..2])? + 1) / 166.0;
        let constant = number(&text[2..6]).filter(|colour| *colour < 1 << 24)?;
        let mut waves = [[0.0; 3]; ACROSS * DOWN];
        waves[0] = [constant >> 16, constant >> 8 & 255, constant & 255].map(to_linear);
        for (wave, digits) in waves[1..].iter_mut().zip(text[6..].chunks_exact(2)) {
            let packed = number(digits).filter(|packed| *packed < 19 * 19 * 19)?;
            *wave = [packed / (19 * 19), packed / 19 % 19, packed % 19].map(|level| {
                let root = (f64::from(level) - 9.0) / 9.0;
                root * root.abs() * scale
            });
        }
        Some(Self(draw(&waves)))
    }

    /// Sum of the differences, 0 to 9,180.
    #[must_use]
    pub fn difference(&self, other: &Self) -> u32 {
        self.0
            .iter()
            .zip(other.0)
            .map(|(a, b)| u32::from(a.abs_diff(b)))
            .sum()
    }
}

impl Mosaics {
    pub(crate) fn new() -> Self {
        Self {
            column: Column::new(NUMBERS),
        }
    }

    pub(crate) fn column(&self) -> &Column {
        &self.column
    }

    pub(crate) fn column_mut(&mut self) -> &mut Column {
        &mut self.column
    }

    pub(crate) fn set(&mut self, slot: u32, colours: &Colours) {
        let (block, at) = place(slot);
        let block = self.column.block_mut(block);
        for (index, value) in colours.0.iter().enumerate() {
            block[index * ROWS + at] = *value;
        }
    }

    pub(crate) fn get(&self, slot: u32) -> Colours {
        let (block, at) = place(slot);
        let block = self.column.block(block);
        let mut values = [0; NUMBERS];
        for (index, value) in values.iter_mut().enumerate() {
            *value = block[index * ROWS + at];
        }
        Colours(values)
    }

    /// Differences of all rows of a block from a picture's.
    pub(crate) fn differences(&self, block: usize, asked: &Colours, out: &mut [u16; ROWS]) {
        differences(self.column.block(block), asked, out);
    }
}

/// Score of a difference: 1 for the same colours.
pub(crate) fn score(difference: u32) -> f32 {
    let zero = UNRELATED * NUMBERS as u32;
    zero.saturating_sub(difference) as f32 / zero as f32
}

fn differences(block: &[u8], asked: &Colours, out: &mut [u16; ROWS]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: this processor was just seen to have what the function is compiled for.
        return unsafe { wide::differences(block, asked, out) };
    }
    portable(block, asked, out);
}

/// Plain code that compilers turn into wide instructions where they may use them.
#[inline(always)]
fn portable(block: &[u8], asked: &Colours, out: &mut [u16; ROWS]) {
    out.fill(0);
    for (values, asked) in block.as_chunks::<ROWS>().0.iter().zip(asked.0) {
        for (sum, value) in out.iter_mut().zip(values) {
            *sum += u16::from(value.abs_diff(asked));
        }
    }
}

/// The same code, compiled for processors that can do more at once.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{Colours, ROWS, portable};

    #[target_feature(enable = "avx2")]
    pub(super) fn differences(block: &[u8], asked: &Colours, out: &mut [u16; ROWS]) {
        portable(block, asked, out);
    }
}

/// A number of at most four digits to the base of 83.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        let value = DIGITS.iter().position(|known| known == digit)?;
        Some(number * 83 + value as u32)
    })
}

/// Draws the waves, in light, as cells in sRGB.
fn draw(waves: &[[f64; 3]; ACROSS * DOWN]) -> [u8; NUMBERS] {
    let wave = |frequency: usize, at: usize, of: usize| {
        (PI * frequency as f64 * (at as f64 + 0.5) / of as f64).cos()
    };
    let mut cells = [0; NUMBERS];
    for (cell, pixel) in cells.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let mut light = [0.0; 3];
        for (index, strengths) in waves.iter().enumerate() {
            let basis = wave(index % ACROSS, cell % ACROSS, ACROSS)
                * wave(index / ACROSS, cell / ACROSS, DOWN);
            for (light, strength) in light.iter_mut().zip(strengths) {
                *light += basis * strength;
            }
        }
        *pixel = light.map(to_srgb);
    }
    cells
}

fn to_linear(level: u32) -> f64 {
    let value = f64::from(level) / 255.0;
    if value <= 0.04045 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

fn to_srgb(light: f64) -> u8 {
    let light = light.clamp(0.0, 1.0);
    let encoded = if light <= 0.003_130_8 {
        light * 12.92
    } else {
        1.055 * light.powf(1.0 / 2.4) - 0.055
    };
    (encoded * 255.0 + 0.5) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Colours, DIGITS, Mosaics, NUMBERS, ROWS, portable, score};

    const BLACK: &str = "L00000fQfQfQfQfQfQfQfQfQfQfQ";
    const RED: &str = "L~TI:j|^j[fQ|^j[fQj[|^j[fQj[";

    #[test]
    fn a_plain_colour_is_in_every_cell() {
        assert_eq!(Colours::parse(BLACK), Some(Colours([0; NUMBERS])));
        let white = "L00000fQfQfQfQfQfQfQfQfQfQfQ".replacen("0000", "TSUA", 1);
        let white = Colours::parse(&white.replacen("L0TSUA0", "L0TSUA", 1));
        let black = Colours([0; NUMBERS]);
        if let Some(white) = white {
            assert_eq!(score(black.difference(&white)), 0.0);
        }
    }

    #[test]
    fn the_cells_lie_where_the_colours_do() {
        // A picture that is light on the left: the first wave across alone is positive.
        let text = format!(
            "LU{}{}{}",
            digits(0x80_80_80, 4),
            digits(18 * 380, 2),
            "fQ".repeat(10)
        );
        let colours = Colours::parse(&text).expect("it is one").0;
        let row: Vec<u8> = (0..4).map(|cell| colours[3 * cell]).collect();
        assert!(row.is_sorted_by(|a, b| a > b), "{row:?}");
        assert_eq!(colours[..12], colours[12..24], "rows are alike");
        assert_eq!(colours[0], colours[1]);
    }

    #[test]
    fn other_texts_have_no_colours() {
        let sixteen_million_and_one = format!("L0{}{}", digits(1 << 24, 4), "fQ".repeat(11));
        let too_strong = format!("L00000{}{}", digits(19 * 19 * 19, 2), "fQ".repeat(10));
        for text in [
            "",
            "L",
            &BLACK[..27],
            &format!("{BLACK}0"),
            &BLACK.replacen('L', "M", 1),
            &BLACK.replacen('f', "\"", 1),
            &BLACK.replacen("fQ", "é", 1),
            &sixteen_million_and_one,
            &too_strong,
        ] {
            assert_eq!(Colours::parse(text), None, "{text:?}");
        }
        assert!(Colours::parse(BLACK).is_some());
        assert_eq!(RED.len(), 28);
    }

    fn digits(value: usize, count: u32) -> String {
        let digit = |place| char::from(DIGITS[value / 83_usize.pow(place) % 83]);
        (0..count).rev().map(digit).collect()
    }

    fn colours() -> impl Strategy<Value = Colours> {
        prop::collection::vec(any::<u8>(), NUMBERS)
            .prop_map(|values| Colours(values.try_into().expect("as many as asked")))
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}|L[ -~]{27}") {
            let _ = Colours::parse(&text);
        }

        #[test]
        fn a_block_says_what_its_rows_say(
            rows in prop::collection::vec((0_u32..1024, colours()), 1..20),
            asked in colours(),
        ) {
            let mut mosaics = Mosaics::new();
            mosaics.column_mut().grow();
            let (mut out, mut plain) = ([0; ROWS], [0; ROWS]);
            for (slot, colours) in &rows {
                mosaics.set(*slot, colours);
                prop_assert_eq!(mosaics.get(*slot), *colours);
            }
            mosaics.differences(0, &asked, &mut out);
            portable(mosaics.column().block(0), &asked, &mut plain);
            prop_assert_eq!(out, plain);
            for (slot, difference) in (0..).zip(out) {
                let exact = mosaics.get(slot).difference(&asked);
                prop_assert_eq!(u32::from(difference), exact);
            }
        }
    }
}
