//! The library in which pictures are looked for again.

use std::{fs, path::Path, thread};

use anyhow::{Context, Result};
use image::RgbImage;

use super::scene::Scene;
use crate::pictures::{self, Dice};

/// How it is made up. Everything follows from the seed.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    /// Templates; each is one picture that is looked for.
    pub templates: u64,
    /// Siblings of each.
    pub siblings: u64,
    /// Further pictures that have nothing to do with any other.
    pub others: u64,
    /// Other seeds give other libraries.
    pub seed: u64,
}

impl Library {
    /// Pictures in all.
    #[must_use]
    pub fn pictures(&self) -> u64 {
        self.templates * (1 + self.siblings) + self.others
    }

    /// Writes all pictures into a folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let threads = thread::available_parallelism()?.get() as u64;
        thread::scope(|scope| {
            let makers: Vec<_> = (0..threads)
                .map(|first| scope.spawn(move || self.write_part(folder, first, threads)))
                .collect();
            makers
                .into_iter()
                .try_for_each(|maker| maker.join().expect("a maker panicked"))
        })
    }

    fn write_part(&self, folder: &Path, first: u64, step: u64) -> Result<()> {
        for number in (first..self.templates).step_by(step as usize) {
            let template = Scene::template(self.seed ^ (number << 16));
            fs::write(folder.join(name(number)), encoded(&template.draw())?)?;
            for sibling in 0..self.siblings {
                let picture = template
                    .sibling(self.seed ^ (number << 16) ^ sibling)
                    .draw();
                let name = format!("{number:04}-{sibling:02}.jpg");
                fs::write(folder.join(name), encoded(&picture)?)?;
            }
        }
        for number in (first..self.others).step_by(step as usize) {
            let mut dice = Dice::new(self.seed ^ 0x07e5 ^ (number << 16));
            let base = [0; 3].map(|_: u8| 40 + dice.below(176) as u8);
            let picture = pictures::photo(480, 360, dice.roll(), base);
            fs::write(
                folder.join(format!("other-{number:04}.jpg")),
                encoded(&picture)?,
            )?;
        }
        Ok(())
    }

    /// The picture of a template, as it is in the library.
    ///
    /// # Errors
    /// If it does not decode.
    pub fn template(&self, number: u64) -> Result<RgbImage> {
        let picture = Scene::template(self.seed ^ (number << 16)).draw();
        let decoded = turbojpeg::decompress(&encoded(&picture)?, turbojpeg::PixelFormat::RGB)?;
        // The decoder may pad rows; what it gives here is cut to the picture.
        let width = 3 * decoded.width;
        let rows = decoded
            .pixels
            .chunks(decoded.pitch)
            .flat_map(|row| &row[..width]);
        let (across, down) = (
            u32::try_from(decoded.width)?,
            u32::try_from(decoded.height)?,
        );
        RgbImage::from_raw(across, down, rows.copied().collect()).context("a whole picture")
    }
}

/// File name of a template.
#[must_use]
pub(super) fn name(number: u64) -> String {
    format!("{number:04}.jpg")
}

fn encoded(picture: &RgbImage) -> Result<Vec<u8>> {
    pictures::jpeg(picture, 92)
}
