//! Pictures of known colours, as PNG files.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

pub(crate) fn png(paint: impl Fn(f32, f32) -> [u8; 3]) -> Vec<u8> {
    let (width, height) = (640, 480);
    let image = RgbImage::from_fn(width, height, |x, y| {
        Rgb(paint(x as f32 / width as f32, y as f32 / height as f32))
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// An ellipse in the middle of a plain ground.
pub(crate) fn figure(ground: [u8; 3], color: [u8; 3]) -> Vec<u8> {
    png(|x, y| {
        let inside = ((x - 0.5) / 0.22).powi(2) + ((y - 0.55) / 0.32).powi(2) < 1.0;
        if inside { color } else { ground }
    })
}
