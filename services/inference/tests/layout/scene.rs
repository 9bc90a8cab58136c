//! Scenes made from a seed: things on a ground, which can be moved; and what happens to pictures on
//! their way through the world.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::{Resizer, pixels::U8x3};
use kumo_inference::Picture;

use crate::noise::noise;

pub(crate) const WIDTH: u32 = 480;
pub(crate) const HEIGHT: u32 = 360;

type Rgb = [f32; 3];

/// A thing: an ellipse, a box or a triangle. Places and sizes in parts of the picture's sides.
struct Thing {
    shape: u64,
    at: (f32, f32),
    size: (f32, f32),
    colour: Rgb,
}

/// Things on a ground.
pub(crate) struct Scene {
    ground: u64,
    colours: [Rgb; 2],
    slope: (f32, f32),
    texture: u32,
    things: Vec<Thing>,
}

/// Numbers from a seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From `low` to `high`.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.roll() >> 40) as f32 / (1 << 24) as f32)
    }

    fn colour(&mut self) -> Rgb {
        [0; 3].map(|_: i32| self.between(0.0, 1.0))
    }
}

impl Scene {
    /// Three to eight things on a plain ground, a gradient or a texture.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let angle = dice.between(0.0, std::f32::consts::TAU);
        let count = 3 + dice.roll() % 6;
        Self {
            ground: seed % 3,
            colours: [dice.colour(), dice.colour()],
            slope: (angle.cos(), angle.sin()),
            texture: seed as u32,
            things: (0..count)
                .map(|_| Thing {
                    shape: dice.roll() % 3,
                    at: (dice.between(0.1, 0.9), dice.between(0.1, 0.9)),
                    size: (dice.between(0.05, 0.16), dice.between(0.05, 0.16)),
                    colour: dice.colour(),
                })
                .collect(),
        }
    }

    /// The same scene with each thing moved by `distance`, in parts of the side, some way or other.
    pub(crate) fn moved(mut self, distance: f32, dice: &mut Dice) -> Self {
        for thing in &mut self.things {
            let angle = dice.between(0.0, std::f32::consts::TAU);
            thing.at.0 += distance * angle.cos();
            thing.at.1 += distance * angle.sin();
        }
        self
    }

    pub(crate) fn paint(&self) -> Picture {
        let mut rgb = Vec::new();
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let pixel = self.at(x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32);
                rgb.extend(pixel.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8));
            }
        }
        Picture::new(WIDTH, HEIGHT, rgb).unwrap()
    }

    fn at(&self, x: f32, y: f32) -> Rgb {
        let covers = |thing: &&Thing| {
            let (dx, dy) = (
                (x - thing.at.0) / thing.size.0,
                (y - thing.at.1) / thing.size.1,
            );
            match thing.shape {
                0 => dx * dx + dy * dy < 1.0,
                1 => dx.abs() < 1.0 && dy.abs() < 1.0,
                _ => dy.abs() < 1.0 && dx.abs() < (dy + 1.0) / 2.0,
            }
        };
        if let Some(thing) = self.things.iter().rev().find(covers) {
            return thing.colour;
        }
        let [one, other] = self.colours;
        match self.ground {
            0 => one,
            1 => {
                let share = 0.5 + ((x - 0.5) * self.slope.0 + (y - 0.5) * self.slope.1) * 0.7;
                [0, 1, 2].map(|c| one[c] + (other[c] - one[c]) * share)
            }
            _ => {
                let light = 0.2 * noise(x, y, self.texture);
                [0, 1, 2]
                    .map(|c| one[c] + light + 0.05 * noise(x, y, self.texture * 7 + c as u32 + 1))
            }
        }
    }
}

/// Saved as JPEG, and read again.
pub(crate) fn jpeg(picture: &Picture, quality: i32) -> Picture {
    let pixels = turbojpeg::Image {
        pixels: picture.rgb(),
        width: picture.width() as usize,
        pitch: picture.width() as usize * 3,
        height: picture.height() as usize,
        format: turbojpeg::PixelFormat::RGB,
    };
    let bytes = turbojpeg::compress(pixels, quality, turbojpeg::Subsamp::Sub2x2).unwrap();
    let mut read = Picture::default();
    read.read_sample(&bytes).unwrap();
    read
}

/// Scaled by a factor.
pub(crate) fn resized(picture: &Picture, factor: f32) -> Picture {
    let side = |side: u32| (side as f32 * factor) as u32;
    let (width, height) = (side(picture.width()), side(picture.height()));
    let (across, down) = (picture.width(), picture.height());
    let from = TypedImageRef::<U8x3>::from_buffer(across, down, picture.rgb()).unwrap();
    let mut rgb = vec![0; (width * height * 3) as usize];
    let mut to = TypedImage::<U8x3>::from_buffer(width, height, &mut rgb).unwrap();
    Resizer::new().resize_typed(&from, &mut to, None).unwrap();
    Picture::new(width, height, rgb).unwrap()
}

/// Lighter or darker.
pub(crate) fn brightened(picture: &Picture, factor: f32) -> Picture {
    changed(picture, |_, _, pixel| pixel.map(|v| v * factor))
}

/// With a label over a corner: a light bar of 28 × 7 % with dark marks on it.
pub(crate) fn watermarked(picture: &Picture) -> Picture {
    changed(picture, |x, y, pixel| {
        if !(0.70..0.98).contains(&x) || !(0.90..0.97).contains(&y) {
            return pixel;
        }
        let marked = ((x * 45.0) as u32).is_multiple_of(2) && (0.915..0.955).contains(&y);
        let (ink, cover) = if marked { (0.0, 0.7) } else { (255.0, 0.6) };
        pixel.map(|v| v + (ink - v) * cover)
    })
}

fn changed(picture: &Picture, change: impl Fn(f32, f32, Rgb) -> Rgb) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let mut rgb = Vec::new();
    for (index, pixel) in (0u32..).zip(picture.rgb().chunks_exact(3)) {
        let (x, y) = ((index % width) as f32, (index / width) as f32);
        let pixel = [0, 1, 2].map(|c| f32::from(pixel[c]));
        let pixel = change(x / width as f32, y / height as f32, pixel);
        rgb.extend(pixel.map(|v| v.clamp(0.0, 255.0).round() as u8));
    }
    Picture::new(width, height, rgb).unwrap()
}
