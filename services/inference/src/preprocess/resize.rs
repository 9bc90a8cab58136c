//! Resizing as Pillow does it, since Pillow is what models are trained with.
//!
//! Pillow resamples rows first, rounds to bytes, then resamples columns (up to version 12; 13 takes
//! the columns of tall pictures first, but no model has been trained so). The resizer used here
//! would take the columns first, which differs by up to 50 of 255 on hard edges. So it is called
//! twice, once for each direction, and then agrees to ±1. Doing the two passes here also
//! lets the padding around a picture be made band by band: a tall picture on its square is never
//! held in memory.

use fast_image_resize as fir;
use fir::images::{TypedImage, TypedImageRef};
use fir::pixels::U8x3;
use fir::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::Picture;
use crate::error::{Error, Result};
use crate::model::spec::{Filter, Fit, InputSpec};

/// Bytes of padded rows made at a time.
const BAND: usize = 1 << 20;

/// Sides longer than this, and than 16 times the input, are first averaged down to it. No sample
/// of ordinary shape is that long; without this a picture of 10 × 65,535 would cost 90 MB.
const LONGEST: u32 = 8192;

/// The resizer with its buffers.
#[derive(Debug, Default)]
pub(super) struct Resize {
    resizer: Resizer,
    shrunk: Vec<u8>,
    band: Vec<u8>,
    rows_done: Vec<u8>,
    scaled: Vec<u8>,
    placed: Vec<u8>,
}

/// Where everything goes: the picture onto a canvas, the canvas to a size, that into the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// The canvas in source pixels, and the picture's place on it.
    canvas: (u32, u32),
    origin: (u32, u32),
    /// The canvas after resizing.
    scaled: (u32, u32),
}

/// Pixels with their dimensions.
#[derive(Debug, Clone, Copy)]
struct View<'a> {
    width: u32,
    height: u32,
    rgb: &'a [u8],
}

impl Resize {
    /// Fits a picture to the input's width and height.
    pub(super) fn fit(&mut self, picture: &Picture, input: &InputSpec) -> Result<&[u8]> {
        let mut shrunk = std::mem::take(&mut self.shrunk);
        let view = View {
            width: picture.width,
            height: picture.height,
            rgb: &picture.rgb,
        };
        let done = self
            .bounded(view, input, &mut shrunk)
            .and_then(|view| self.resample(view, input));
        self.shrunk = shrunk;
        let scaled = done?;
        if scaled == (input.width, input.height) {
            return Ok(&self.scaled);
        }
        place(&self.scaled, scaled, input, &mut self.placed);
        Ok(&self.placed)
    }

    /// Shortens sides that are out of all proportion, so that memory stays bounded.
    fn bounded<'a>(
        &mut self,
        view: View<'a>,
        input: &InputSpec,
        shrunk: &'a mut Vec<u8>,
    ) -> Result<View<'a>> {
        let longest = LONGEST.max(16 * input.width.max(input.height));
        let (mut width, mut height) = (view.width.min(longest), view.height.min(longest));
        if input.fit == Fit::Crop {
            // Only the middle survives the crop; 16 times the short side is far more than enough.
            width = width.min(height.saturating_mul(16));
            height = height.min(width.saturating_mul(16));
        }
        if (width, height) == (view.width, view.height) {
            return Ok(view);
        }
        shrunk.resize(bytes(width, height), 0);
        pass(
            &mut self.resizer,
            view,
            (width, height),
            shrunk,
            Filter::Box,
        )?;
        Ok(View {
            width,
            height,
            rgb: shrunk,
        })
    }

    fn resample(&mut self, view: View<'_>, input: &InputSpec) -> Result<(u32, u32)> {
        let plan = Plan::new((view.width, view.height), input);
        self.rows(view, &plan, input)?;
        let middle = View {
            width: plan.scaled.0,
            height: plan.canvas.1,
            rgb: &self.rows_done,
        };
        self.scaled.resize(bytes(plan.scaled.0, plan.scaled.1), 0);
        pass(
            &mut self.resizer,
            middle,
            plan.scaled,
            &mut self.scaled,
            input.filter,
        )?;
        Ok(plan.scaled)
    }

    /// The first pass: each row of the canvas to its final width.
    fn rows(&mut self, view: View<'_>, plan: &Plan, input: &InputSpec) -> Result<()> {
        let width = plan.scaled.0;
        self.rows_done.resize(bytes(width, plan.canvas.1), 0);
        let above = bytes(width, plan.origin.1);
        let mine = above..above + bytes(width, view.height);
        // A row of one colour stays that colour, so padding rows need no resampling.
        fill(&mut self.rows_done[..mine.start], input.pad_color);
        fill(&mut self.rows_done[mine.end..], input.pad_color);
        let target = &mut self.rows_done[mine];
        if plan.canvas.0 == view.width {
            return pass(
                &mut self.resizer,
                view,
                (width, view.height),
                target,
                input.filter,
            );
        }
        let row = bytes(plan.canvas.0, 1);
        let left = bytes(plan.origin.0, 1);
        let rows = (BAND / row).max(1);
        let source = view.rgb.chunks(bytes(view.width, 1) * rows);
        for (source, target) in source.zip(target.chunks_mut(bytes(width, 1) * rows)) {
            let height = u32::try_from(target.len() / bytes(width, 1)).unwrap_or(u32::MAX);
            self.band.resize(bytes(plan.canvas.0, height), 0);
            fill(&mut self.band, input.pad_color);
            let source = source.chunks_exact(bytes(view.width, 1));
            for (line, source) in self.band.chunks_exact_mut(row).zip(source) {
                line[left..left + source.len()].copy_from_slice(source);
            }
            let band = View {
                width: plan.canvas.0,
                height,
                rgb: &self.band,
            };
            pass(
                &mut self.resizer,
                band,
                (width, height),
                target,
                input.filter,
            )?;
        }
        Ok(())
    }
}

impl Plan {
    fn new((width, height): (u32, u32), input: &InputSpec) -> Self {
        let whole = |scaled| Self {
            canvas: (width, height),
            origin: (0, 0),
            scaled,
        };
        // `a × b ÷ c`, rounded down as the reference implementations do.
        let ratio = |a: u32, b: u32, c: u32| {
            u32::try_from(u64::from(a) * u64::from(b) / u64::from(c)).unwrap_or(u32::MAX)
        };
        match input.fit {
            Fit::Squash => whole((input.width, input.height)),
            Fit::Pad => {
                let side = width.max(height);
                Self {
                    canvas: (side, side),
                    origin: ((side - width) / 2, (side - height) / 2),
                    scaled: (input.width, input.height),
                }
            }
            Fit::Letterbox => {
                let wide = u64::from(width) * u64::from(input.height)
                    >= u64::from(height) * u64::from(input.width);
                whole(if wide {
                    (input.width, ratio(height, input.width, width).max(1))
                } else {
                    (ratio(width, input.height, height).max(1), input.height)
                })
            }
            Fit::Crop => {
                let short = input.crop_from.unwrap_or(input.width.max(input.height));
                whole(if width <= height {
                    (short, ratio(height, short, width))
                } else {
                    (ratio(width, short, height), short)
                })
            }
        }
    }
}

/// Places a scaled picture in the middle of the input: padded where it is smaller, cut where it is
/// larger.
fn place(scaled: &[u8], (width, height): (u32, u32), input: &InputSpec, placed: &mut Vec<u8>) {
    placed.resize(bytes(input.width, input.height), 0);
    fill(placed, input.pad_color);
    let (across, down) = (width.min(input.width), height.min(input.height));
    let middle = |outer: u32, inner: u32| ((outer - inner) / 2) as usize;
    let from = (middle(width, across), middle(height, down));
    let to = (middle(input.width, across), middle(input.height, down));
    let source = scaled.chunks_exact(bytes(width, 1)).skip(from.1);
    let target = placed.chunks_exact_mut(bytes(input.width, 1)).skip(to.1);
    for (source, target) in source.zip(target).take(down as usize) {
        let length = bytes(across, 1);
        target[to.0 * 3..][..length].copy_from_slice(&source[from.0 * 3..][..length]);
    }
}

/// One call of the resizer.
fn pass(
    resizer: &mut Resizer,
    view: View<'_>,
    (width, height): (u32, u32),
    target: &mut [u8],
    filter: Filter,
) -> Result<()> {
    let filter = match filter {
        Filter::Bicubic => FilterType::CatmullRom,
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Lanczos => FilterType::Lanczos3,
        Filter::Box => FilterType::Box,
    };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .use_alpha(false);
    let source = TypedImageRef::<U8x3>::from_buffer(view.width, view.height, view.rgb)
        .map_err(Error::picture)?;
    let mut target =
        TypedImage::<U8x3>::from_buffer(width, height, target).map_err(Error::picture)?;
    resizer
        .resize_typed(&source, &mut target, &options)
        .map_err(Error::picture)
}

fn fill(pixels: &mut [u8], color: [u8; 3]) {
    for pixel in pixels.chunks_exact_mut(3) {
        pixel.copy_from_slice(&color);
    }
}

fn bytes(width: u32, height: u32) -> usize {
    width as usize * height as usize * 3
}
