//! The answer: a head of fixed size that says what follows.

use super::wire::{Reader, Writer};
use super::{PREVIEW_BYTES, SAMPLE_BYTES, TEXT_BYTES};
use crate::error::{Reason, Refusal};
use crate::format::Format;
use crate::hashes::PerceptualHash;
use crate::orient::swaps_sides;
use crate::render::Order;
use crate::rendered::{Rendered, Rendition};
use crate::size::{PREVIEW_SIDE, SAMPLE_PIXELS};

/// Size of the head on the wire.
pub(crate) const HEAD_BYTES: usize = 92;

const ANSWER: u32 = u32::from_le_bytes(*b"kANS");
const DONE: u8 = 0;
const REFUSED: u8 = 1;
const ALPHA: u8 = 1;
const PARTIAL: u8 = 2;
const HASHED: u8 = 4;

/// What a child answers to an order.
pub(crate) type Answer = Result<Rendered, Refusal>;

/// Dimensions and length of a rendition that follows; all zero if none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Announced {
    width: u32,
    height: u32,
    bytes: u32,
}

/// A head, read but not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    outcome: u8,
    reason: u8,
    format: u8,
    flags: u8,
    orientation: u8,
    sides: [u32; 4],
    frames: u32,
    sample: Announced,
    preview: Announced,
    hash: PerceptualHash,
    text_bytes: u16,
    blur_bytes: u16,
}

/// An answer as the child writes it: the head with the short texts, then the renditions.
pub(crate) fn encode(answer: &Answer) -> Vec<u8> {
    match answer {
        Ok(rendered) => encode_rendered(rendered),
        Err(refusal) => encode_refusal(refusal),
    }
}

fn encode_rendered(rendered: &Rendered) -> Vec<u8> {
    let blur = rendered.blur_hash.as_deref().unwrap_or_default();
    let hash = rendered.hash.unwrap_or(PerceptualHash {
        bits: [0; 32],
        detail: 0,
    });
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let flags = flag(rendered.has_alpha, ALPHA)
        | flag(rendered.partial, PARTIAL)
        | flag(rendered.hash.is_some(), HASHED);
    let mut writer = Writer::default();
    writer.u32(ANSWER).u8(DONE).u8(0);
    writer.u8(rendered.format.to_wire()).u8(flags);
    writer.u8(rendered.orientation).u8(0).u16(hash.detail);
    writer.u32(rendered.width).u32(rendered.height);
    writer
        .u32(rendered.stored_width)
        .u32(rendered.stored_height);
    writer.u32(rendered.frames);
    for rendition in [&rendered.sample, &rendered.preview] {
        let (width, height, bytes) = rendition
            .as_ref()
            .map_or((0, 0, 0), |it| (it.width, it.height, it.jpeg.len() as u32));
        writer.u32(width).u32(height).u32(bytes);
    }
    writer.bytes(&hash.bits);
    writer.u16(0).u16(blur.len() as u16);
    writer.bytes(blur.as_bytes());
    for rendition in [&rendered.sample, &rendered.preview].into_iter().flatten() {
        writer.bytes(&rendition.jpeg);
    }
    writer.finish()
}

fn encode_refusal(refusal: &Refusal) -> Vec<u8> {
    let text = &refusal.detail[..refusal.detail.floor_char_boundary(TEXT_BYTES)];
    let mut writer = Writer::default();
    writer.u32(ANSWER).u8(REFUSED).u8(refusal.reason.to_wire());
    writer.bytes(&[0; HEAD_BYTES - 6 - 4]);
    writer.u16(text.len() as u16).u16(0);
    writer.bytes(text.as_bytes());
    writer.finish()
}

impl Head {
    /// Reads a head; `None` if it is none.
    pub(crate) fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.u32()? == ANSWER).then_some(())?;
        let (outcome, reason) = (reader.u8()?, reader.u8()?);
        let (format, flags) = (reader.u8()?, reader.u8()?);
        let orientation = reader.u8()?;
        reader.u8()?;
        let detail = reader.u16()?;
        let mut number = || reader.u32();
        let sides = [number()?, number()?, number()?, number()?];
        let frames = number()?;
        let mut announced = || {
            Some(Announced {
                width: number()?,
                height: number()?,
                bytes: number()?,
            })
        };
        let (sample, preview) = (announced()?, announced()?);
        let bits = reader.array()?;
        Some(Self {
            outcome,
            reason,
            format,
            flags,
            orientation,
            sides,
            frames,
            sample,
            preview,
            hash: PerceptualHash { bits, detail },
            text_bytes: reader.u16()?,
            blur_bytes: reader.u16()?,
        })
    }

    /// Lengths of what follows, in order: text, blur hash, sample, preview. `None` if one is
    /// beyond its cap.
    pub(crate) fn lengths(&self) -> Option<[usize; 4]> {
        let fits = usize::from(self.text_bytes) <= TEXT_BYTES
            && matches!(self.blur_bytes, 0 | 28)
            && self.sample.bytes <= SAMPLE_BYTES
            && self.preview.bytes <= PREVIEW_BYTES;
        fits.then_some([
            usize::from(self.text_bytes),
            usize::from(self.blur_bytes),
            self.sample.bytes as usize,
            self.preview.bytes as usize,
        ])
    }

    /// Joins head and body into an answer; `None` if it is not one to this order.
    pub(crate) fn join(self, body: [Vec<u8>; 4], order: Order) -> Option<Answer> {
        let [text, blur, sample, preview] = body;
        match self.outcome {
            DONE => self.rendered(blur, sample, preview, order).map(Ok),
            REFUSED => Some(Err(Refusal::new(
                Reason::from_wire(self.reason)?,
                printable(&text),
            ))),
            _ => None,
        }
    }

    fn rendered(
        &self,
        blur: Vec<u8>,
        sample: Vec<u8>,
        preview: Vec<u8>,
        order: Order,
    ) -> Option<Rendered> {
        let [width, height, stored_width, stored_height] = self.sides;
        let upright = if swaps_sides(self.orientation) {
            [stored_height, stored_width]
        } else {
            [stored_width, stored_height]
        };
        let pixels = u64::from(width) * u64::from(height);
        let sound = (1..=8).contains(&self.orientation)
            && upright == [width, height]
            && width.min(height) > 0
            && width.max(height) <= order.side
            && pixels <= order.pixels
            && (1..=65_535).contains(&self.frames)
            && (self.flags & HASHED != 0) == order.wanted.hashes
            && (self.blur_bytes != 0) == order.wanted.hashes
            && blur.iter().all(u8::is_ascii_graphic);
        sound.then_some(())?;
        Some(Rendered {
            format: Format::from_wire(self.format)?,
            width,
            height,
            stored_width,
            stored_height,
            frames: self.frames,
            has_alpha: self.flags & ALPHA != 0,
            orientation: self.orientation,
            partial: self.flags & PARTIAL != 0,
            sample: self
                .sample
                .rendition(sample, order.wanted.sample, SAMPLE_PIXELS)?,
            preview: self.preview.rendition(
                preview,
                order.wanted.preview,
                u64::from(PREVIEW_SIDE).pow(2),
            )?,
            hash: order.wanted.hashes.then_some(self.hash),
            blur_hash: if order.wanted.hashes {
                Some(String::from_utf8(blur).ok()?)
            } else {
                None
            },
            cpu_time: std::time::Duration::ZERO,
        })
    }
}

impl Announced {
    /// The outer option is soundness, the inner one whether there is a rendition.
    fn rendition(self, jpeg: Vec<u8>, wanted: bool, most: u64) -> Option<Option<Rendition>> {
        if !wanted {
            return (self == Self::default()).then_some(None);
        }
        let pixels = u64::from(self.width) * u64::from(self.height);
        let sound = (1..=most).contains(&pixels) && jpeg.starts_with(&[0xff, 0xd8, 0xff]);
        sound.then_some(Some(Rendition {
            jpeg,
            width: self.width,
            height: self.height,
        }))
    }
}

/// Text from a stranger, made safe for a terminal and a log.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests;
