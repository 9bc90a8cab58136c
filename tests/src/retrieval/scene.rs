//! Pictures of a template: a textured ground with objects on it. Siblings have the same ground and
//! the same objects, each moved by 5 to 20 % of the side.

use std::f32::consts::TAU;

use image::{Rgb, RgbImage};

use crate::pictures::{self, Colour, Dice};

/// How far the objects of a sibling are moved, as shares of the shorter side.
const MOVED: std::ops::Range<f32> = 0.05..0.20;

/// What a picture shows.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    width: u32,
    height: u32,
    ground: Ground,
    objects: Vec<Object>,
}

#[derive(Debug, Clone)]
enum Ground {
    /// Texture around a colour.
    Texture(u64, Colour),
    /// From one colour to another.
    Gradient(Colour, Colour),
    /// One colour.
    Plain(Colour),
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Disc,
    Box,
    Ring,
    Triangle,
}

/// Sizes and places are shares of the shorter side.
#[derive(Debug, Clone, Copy)]
struct Object {
    form: Form,
    x: f32,
    y: f32,
    size: f32,
    colour: Colour,
}

impl Scene {
    /// The template of a number.
    pub(super) fn template(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x7e3_91a7e);
        let sizes = [(480, 360), (360, 480), (400, 400), (512, 288), (480, 320)];
        let (width, height) = sizes[dice.below(sizes.len() as u64) as usize];
        let ground = match dice.below(5) {
            0 => Ground::Plain(colour(&mut dice)),
            1 => Ground::Gradient(colour(&mut dice), colour(&mut dice)),
            _ => Ground::Texture(dice.roll(), colour(&mut dice)),
        };
        let mut scene = Self {
            width,
            height,
            ground,
            objects: Vec::new(),
        };
        let (right, bottom) = scene.extent();
        for _ in 0..4 + dice.below(4) {
            scene.objects.push(Object {
                form: [Form::Disc, Form::Box, Form::Ring, Form::Triangle][dice.below(4) as usize],
                x: dice.unit() * right,
                y: dice.unit() * bottom,
                size: 0.08 + dice.unit() * 0.16,
                colour: colour(&mut dice),
            });
        }
        scene
    }

    /// The same with every object moved; another one for every seed.
    pub(super) fn sibling(&self, seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x51b_1196);
        let (right, bottom) = self.extent();
        let mut sibling = self.clone();
        for object in &mut sibling.objects {
            // A place outside the picture would hide the object: try another direction.
            for _ in 0..32 {
                let length = MOVED.start + dice.unit() * (MOVED.end - MOVED.start);
                let (down, across) = (dice.unit() * TAU).sin_cos();
                let (x, y) = (object.x + across * length, object.y + down * length);
                if (0.0..right).contains(&x) && (0.0..bottom).contains(&y) {
                    (object.x, object.y) = (x, y);
                    break;
                }
            }
        }
        sibling
    }

    /// Draws it.
    pub(super) fn draw(&self) -> RgbImage {
        let mut picture = match self.ground {
            Ground::Texture(seed, colour) => pictures::photo(self.width, self.height, seed, colour),
            Ground::Gradient(from, to) => pictures::gradient(self.width, self.height, from, to),
            Ground::Plain(colour) => pictures::solid(self.width, self.height, colour),
        };
        for object in &self.objects {
            object.draw(&mut picture, self.side());
        }
        picture
    }

    fn side(&self) -> f32 {
        self.width.min(self.height) as f32
    }

    fn extent(&self) -> (f32, f32) {
        (
            self.width as f32 / self.side(),
            self.height as f32 / self.side(),
        )
    }
}

impl Object {
    fn draw(&self, picture: &mut RgbImage, side: f32) {
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let across = (x as f32 / side - self.x) / self.size;
            let down = (y as f32 / side - self.y) / self.size;
            if self.form.covers(across, down) {
                *pixel = Rgb(self.colour);
            }
        }
    }
}

impl Form {
    /// Whether a point lies in the form of size 1 around 0.
    fn covers(self, across: f32, down: f32) -> bool {
        match self {
            Self::Disc => across.hypot(down) < 1.0,
            Self::Box => across.abs() < 0.9 && down.abs() < 0.7,
            Self::Ring => (0.6..1.0).contains(&across.hypot(down)),
            Self::Triangle => (-0.8..0.8).contains(&down) && across.abs() < (down + 0.8) / 1.6,
        }
    }
}

fn colour(dice: &mut Dice) -> Colour {
    [0; 3].map(|_: u8| dice.below(256) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_have_the_same_ground_and_every_object_elsewhere() {
        for seed in 0..20 {
            let template = Scene::template(seed);
            let sibling = template.sibling(seed + 100);
            let mut moved = 0;
            for (one, other) in template.objects.iter().zip(&sibling.objects) {
                let way = (one.x - other.x).hypot(one.y - other.y);
                assert!(way < 0.2001, "{way}");
                moved += usize::from(way > 0.0499);
            }
            assert_eq!(moved, template.objects.len(), "template {seed}");
            assert_ne!(template.draw(), sibling.draw());
            assert_eq!(template.draw(), Scene::template(seed).draw());
        }
    }
}
