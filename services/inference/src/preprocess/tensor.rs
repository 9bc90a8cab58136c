//! Packing pixels into the tensor: scale, mean, std, channel order and layout in one pass.

use crate::model::spec::{Channels, InputSpec, Layout, Range};

/// Writes tensors of one kind. A channel has only 256 values, so the arithmetic is done once for
/// each of them, exactly as the reference does it for each pixel.
#[derive(Debug)]
pub(super) struct Packer {
    layout: Layout,
    /// For each channel of the tensor: which byte of a pixel it is, and what each value becomes.
    channels: [(usize, [f32; 256]); 3],
}

impl Packer {
    pub(super) fn new(input: &InputSpec) -> Self {
        let channel = |index: usize| {
            let byte = match input.channels {
                Channels::Rgb => index,
                Channels::Bgr => 2 - index,
            };
            let full = match input.range {
                Range::Unit => 255.0,
                Range::Byte => 1.0,
            };
            let mut table = [0.0; 256];
            for (entry, value) in table.iter_mut().zip(0u8..=255) {
                *entry = (f32::from(value) / full - input.mean[index]) / input.std[index];
            }
            (byte, table)
        };
        Self {
            layout: input.layout,
            channels: [channel(0), channel(1), channel(2)],
        }
    }

    /// Writes `rgb` into `slot`; both have the same length.
    pub(super) fn pack(&self, rgb: &[u8], slot: &mut [f32]) {
        let [a, b, c] = &self.channels;
        match self.layout {
            Layout::Nhwc => {
                for (values, pixel) in slot.chunks_exact_mut(3).zip(rgb.chunks_exact(3)) {
                    values[0] = a.1[usize::from(pixel[a.0])];
                    values[1] = b.1[usize::from(pixel[b.0])];
                    values[2] = c.1[usize::from(pixel[c.0])];
                }
            }
            Layout::Nchw => {
                let plane = slot.len() / 3;
                for (values, (byte, table)) in slot.chunks_exact_mut(plane).zip(&self.channels) {
                    for (value, pixel) in values.iter_mut().zip(rgb.chunks_exact(3)) {
                        *value = table[usize::from(pixel[*byte])];
                    }
                }
            }
        }
    }
}
