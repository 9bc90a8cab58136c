//! From a picture to one row of the input tensor, the way the model's makers did it in training.

mod decode;
mod resize;
mod tensor;

use crate::error::{Error, Result};
use crate::model::spec::InputSpec;
use resize::Resize;
use tensor::Packer;

/// Most pixels a picture may have here. Samples have at most 2 million; the rest is slack for
/// pictures that callers make themselves.
const MAX_PIXELS: u64 = 16 << 20;

/// A decoded picture: rows from the top, three bytes a pixel, red first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

/// Turns pictures into input tensors. Keeps its buffers, so one is kept by each decoding thread.
#[derive(Debug)]
pub struct Preprocessor {
    input: InputSpec,
    resize: Resize,
    packer: Packer,
}

impl Picture {
    /// A picture of pixels in memory.
    ///
    /// # Errors
    /// [`Error::PictureDamaged`] if the dimensions are 0, too many, or do not fit the bytes.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self> {
        check_size(width, height)?;
        if rgb.len() as u64 != u64::from(width) * u64::from(height) * 3 {
            return Err(Error::picture(format!(
                "{} bytes are not {width} × {height} pixels of 3",
                rgb.len()
            )));
        }
        Ok(Self { width, height, rgb })
    }

    /// Decodes a sample (a JPEG that the cluster encoded itself) into this picture, reusing its
    /// memory. The caller has verified the sample's checksum; what does not decode is an error all
    /// the same. After an error the picture is empty.
    ///
    /// # Errors
    /// [`Error::PictureDamaged`].
    pub fn read_sample(&mut self, jpeg: &[u8]) -> Result<()> {
        decode::jpeg(jpeg, self)
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

impl Preprocessor {
    /// Prepares for one kind of input.
    #[must_use]
    pub fn new(input: &InputSpec) -> Self {
        Self {
            input: input.clone(),
            resize: Resize::default(),
            packer: Packer::new(input),
        }
    }

    /// Writes the tensor of `picture` into `slot`, a row of a [`crate::Batch`].
    ///
    /// # Errors
    /// [`Error::PictureDamaged`] for a picture without pixels; [`Error::ShapeMismatch`] if `slot`
    /// is not of this input.
    pub fn prepare(&mut self, picture: &Picture, slot: &mut [f32]) -> Result<()> {
        if slot.len() != self.input.values() {
            return Err(Error::ShapeMismatch {
                what: "slot",
                got: slot.len(),
                expected: self.input.values(),
            });
        }
        check_size(picture.width, picture.height)?;
        let fitted = self.resize.fit(picture, &self.input)?;
        self.packer.pack(fitted, slot);
        Ok(())
    }
}

fn check_size(width: u32, height: u32) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS {
        return Err(Error::picture(format!(
            "{width} × {height} pixels; 1 to {MAX_PIXELS} are allowed"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
