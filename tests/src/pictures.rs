//! Pictures made from a seed, so that no test needs a file from elsewhere.
//!
//! [`photo`] has the texture of a photograph: value noise summed over octaves whose amplitude falls
//! with frequency (about 1/f), and line art over it. Smooth gradients would flatter the decoder.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use image::{Rgb, RgbImage};

/// A colour.
pub type Colour = [u8; 3];

/// Random numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that always fall the same way for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// The next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from 0 up to, not including, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// A number from 0 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.roll() >> 40) as f32 / (1_u64 << 24) as f32
    }
}

/// One colour everywhere.
#[must_use]
pub fn solid(width: u32, height: u32, colour: Colour) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb(colour))
}

/// From one colour at the left to another at the right.
#[must_use]
pub fn gradient(width: u32, height: u32, from: Colour, to: Colour) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| {
        let share = x as f32 / width.max(2).saturating_sub(1) as f32;
        let mix =
            |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * share).round() as u8;
        Rgb([
            mix(from[0], to[0]),
            mix(from[1], to[1]),
            mix(from[2], to[2]),
        ])
    })
}

/// A disc of one colour in the middle of another.
#[must_use]
pub fn disc(width: u32, height: u32, background: Colour, object: Colour) -> RgbImage {
    let radius = f64::from(width.min(height)) * 0.3;
    RgbImage::from_fn(width, height, |x, y| {
        let dx = f64::from(x) - f64::from(width) / 2.0;
        let dy = f64::from(y) - f64::from(height) / 2.0;
        Rgb(if dx.hypot(dy) < radius {
            object
        } else {
            background
        })
    })
}

/// Texture like a photograph's around a colour, with line art over it; another one for every seed.
#[must_use]
pub fn photo(width: u32, height: u32, seed: u64, base: Colour) -> RgbImage {
    let mut dice = Dice::new(seed);
    let mut texture = Texture::new(&mut dice, width);
    let mut picture = RgbImage::new(width, height);
    for (y, row) in picture.rows_mut().enumerate() {
        texture.start_row(y as u32);
        for (x, pixel) in row.enumerate() {
            let (light, tint) = texture.at(x as u32);
            let channel =
                |base: u8, tint: f32| (f32::from(base) + light + tint).clamp(0.0, 255.0) as u8;
            *pixel = Rgb([
                channel(base[0], tint),
                channel(base[1], 0.0),
                channel(base[2], -tint),
            ]);
        }
    }
    let dark = base.map(|channel| channel / 5);
    for _ in 0..24 {
        draw_curve(&mut picture, &mut dice, dark);
    }
    picture
}

/// A sum of noise lattices, each twice as fine and about half as strong as the one before.
struct Texture {
    octaves: Vec<Octave>,
    rows: Vec<(usize, usize, f32)>,
}

struct Octave {
    cell: u32,
    columns: usize,
    strength: f32,
    values: Vec<f32>,
}

const LATTICE_ROWS: usize = 64;

impl Texture {
    fn new(dice: &mut Dice, width: u32) -> Self {
        let mut octaves = Vec::new();
        for (cell, strength) in [(256, 70.0), (64, 36.0), (16, 20.0), (4, 13.0), (1, 9.0)] {
            let columns = (width / cell) as usize + 2;
            let values = (0..columns * LATTICE_ROWS)
                .map(|_| (dice.unit() - 0.5) * 2.0)
                .collect();
            octaves.push(Octave {
                cell,
                columns,
                strength,
                values,
            });
        }
        Self {
            octaves,
            rows: Vec::new(),
        }
    }

    fn start_row(&mut self, y: u32) {
        self.rows.clear();
        for octave in &self.octaves {
            let above = (y / octave.cell) as usize % LATTICE_ROWS;
            let below = (above + 1) % LATTICE_ROWS;
            let share = (y % octave.cell) as f32 / octave.cell as f32;
            self.rows
                .push((above * octave.columns, below * octave.columns, share));
        }
    }

    /// Light and tint at a column of the row.
    fn at(&self, x: u32) -> (f32, f32) {
        let mut light = 0.0;
        let mut tint = 0.0;
        for (index, (octave, (above, below, down))) in
            self.octaves.iter().zip(&self.rows).enumerate()
        {
            let column = (x / octave.cell) as usize;
            let across = (x % octave.cell) as f32 / octave.cell as f32;
            let value = |row: usize, step: usize| octave.values[row + column + step];
            let top = value(*above, 0) + (value(*above, 1) - value(*above, 0)) * across;
            let bottom = value(*below, 0) + (value(*below, 1) - value(*below, 0)) * across;
            let noise = (top + (bottom - top) * down) * octave.strength;
            light += noise;
            if index < 2 {
                tint += noise * 0.3;
            }
        }
        (light, tint)
    }
}

fn draw_curve(picture: &mut RgbImage, dice: &mut Dice, ink: Colour) {
    let (width, height) = picture.dimensions();
    let mut point = || {
        let x = dice.unit() * width as f32;
        (x, dice.unit() * height as f32)
    };
    let (from, bend, to) = (point(), point(), point());
    let steps = width + height;
    for step in 0..=steps {
        let t = step as f32 / steps as f32;
        let along =
            |a: f32, b: f32, c: f32| (1.0 - t).powi(2) * a + 2.0 * t * (1.0 - t) * b + t * t * c;
        let (x, y) = (
            along(from.0, bend.0, to.0) as u32,
            along(from.1, bend.1, to.1) as u32,
        );
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            if x + dx < width && y + dy < height {
                picture.put_pixel(x + dx, y + dy, Rgb(ink));
            }
        }
    }
}

/// The picture as JPEG.
///
/// # Errors
/// If the encoder fails.
pub fn jpeg(picture: &RgbImage, quality: i32) -> Result<Vec<u8>> {
    let pixels = turbojpeg::Image {
        pixels: picture.as_raw().as_slice(),
        width: picture.width() as usize,
        pitch: picture.width() as usize * 3,
        height: picture.height() as usize,
        format: turbojpeg::PixelFormat::RGB,
    };
    let bytes = turbojpeg::compress(pixels, quality, turbojpeg::Subsamp::Sub2x2)?;
    Ok(bytes.to_vec())
}

/// The picture as PNG.
///
/// # Errors
/// If the encoder fails.
pub fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// A JPEG for benches: about 3 Mpx, 0.6 to 1.5 MB at quality 90.
///
/// # Errors
/// If the encoder fails.
pub fn bench_jpeg(seed: u64) -> Result<Vec<u8>> {
    let mut dice = Dice::new(seed ^ 0xb0_0c);
    let base = [0; 3].map(|_: u8| 60 + dice.below(136) as u8);
    jpeg(&photo(2048, 1536, seed, base), 90)
}

/// A JPEG for benches that need many files and not much of each.
///
/// # Errors
/// If the encoder fails.
pub fn tiny_jpeg(seed: u64) -> Result<Vec<u8>> {
    let mut dice = Dice::new(seed ^ 0x71_4e);
    let base = [0; 3].map(|_: u8| 60 + dice.below(136) as u8);
    jpeg(&photo(64, 48, seed, base), 80)
}

/// The pictures of the demo folder: something for every tag of the built-in tagger.
///
/// # Errors
/// If the folder cannot be written.
pub fn write_demo(folder: &Path) -> Result<usize> {
    let colours: [(&str, Colour); 8] = [
        ("red", [205, 40, 40]),
        ("orange", [235, 140, 30]),
        ("yellow", [235, 215, 50]),
        ("green", [50, 150, 60]),
        ("blue", [40, 80, 200]),
        ("purple", [130, 60, 180]),
        ("pink", [240, 150, 190]),
        ("brown", [120, 75, 40]),
    ];
    let mut count = 0;
    let mut write = |name: String, bytes: Vec<u8>| -> Result<()> {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        count += 1;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    for (index, (name, colour)) in colours.into_iter().enumerate() {
        let seed = index as u64;
        write(
            format!("scenes/{name}.jpg"),
            jpeg(&photo(1600, 1200, seed, colour), 90)?,
        )?;
        write(
            format!("objects/{name}-on-white.png"),
            png(&disc(800, 800, [255; 3], colour))?,
        )?;
        write(
            format!("gradients/{name}.jpg"),
            jpeg(&gradient(1200, 800, colour, [250; 3]), 92)?,
        )?;
    }
    write(
        "scenes/night.jpg".into(),
        jpeg(&photo(1600, 1200, 90, [18, 18, 26]), 90)?,
    )?;
    write(
        "scenes/fog.jpg".into(),
        jpeg(
            &image::DynamicImage::from(photo(1600, 1200, 91, [128; 3]))
                .to_luma8()
                .into_rgb(),
            90,
        )?,
    )?;
    write(
        "objects/black-and-white.png".into(),
        png(&disc(800, 800, [255; 3], [0; 3]))?,
    )?;
    Ok(count)
}

/// A grey picture as one of three equal channels.
trait IntoRgb {
    fn into_rgb(self) -> RgbImage;
}

impl IntoRgb for image::GrayImage {
    fn into_rgb(self) -> RgbImage {
        image::DynamicImage::from(self).into_rgb8()
    }
}
