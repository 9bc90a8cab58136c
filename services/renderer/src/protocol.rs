//! What client and child say to each other, byte for byte. All numbers are little-endian.
//!
//! Client: [`Setup`] → child: [`Hello`] → then for each picture, client: an order → child:
//! [`READY`] (until which no byte of the picture has left the client) → client: chunks of bytes (a length and so many bytes each, a zero length last) → child: an [`Answer`] head of
//! fixed size, then its text, blur hash, sample and preview, in the lengths the head gives.
//!
//! The child reads outside bytes, so the client believes nothing: every length has a cap that is
//! checked before anything is allocated, and an answer that is not exactly what was ordered is
//! treated as a crash.

mod answer;
mod wire;

pub(crate) use answer::{Answer, HEAD_BYTES, Head, encode as encode_answer, printable};

use crate::confine::{Confinement, Landlock};
use crate::render::Order;
use crate::rendered::Wanted;
use wire::{Reader, Writer};

/// Changes with every change of the bytes below.
pub(crate) const PROTOCOL: u32 = 1;

/// Most bytes in one chunk.
pub(crate) const CHUNK_BYTES: usize = 128 << 10;

/// Most bytes of a sample's JPEG: 2 Mpx of pure noise at our quality are under 3 MiB.
pub(crate) const SAMPLE_BYTES: u32 = 8 << 20;
/// Most bytes of a preview's JPEG.
pub(crate) const PREVIEW_BYTES: u32 = 512 << 10;
/// Most bytes of a refusal's text.
pub(crate) const TEXT_BYTES: usize = 512;

const SETUP: u32 = u32::from_le_bytes(*b"kSET");
const HELLO: u32 = u32::from_le_bytes(*b"kHEL");
const ORDER: u32 = u32::from_le_bytes(*b"kORD");

/// The child has read an order and is alive to serve it.
pub(crate) const READY: [u8; 4] = *b"kRDY";

/// The first message to a child, before it confines itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_milliseconds: u64,
}

pub(crate) const SETUP_BYTES: usize = 24;

impl Setup {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u32(SETUP).u32(PROTOCOL);
        writer.u64(self.memory_bytes).u64(self.cpu_milliseconds);
        writer.finish()
    }

    pub(crate) fn decode(bytes: &[u8; SETUP_BYTES]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.u32()? == SETUP && reader.u32()? == PROTOCOL).then_some(())?;
        Some(Self {
            memory_bytes: reader.u64()?,
            cpu_milliseconds: reader.u64()?,
        })
    }
}

/// The child's first message: it is confined, and of this revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) render_revision: u32,
    pub(crate) confinement: Confinement,
}

pub(crate) const HELLO_BYTES: usize = 24;

impl Hello {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .u32(HELLO)
            .u32(self.protocol)
            .u32(self.render_revision);
        writer.u32(match self.confinement.landlock {
            Landlock::Full => 0,
            Landlock::Partial => 1,
            Landlock::NotEnabled => 2,
            Landlock::NotImplemented => 3,
        });
        writer.u64(self.confinement.memory_bytes);
        writer.finish()
    }

    pub(crate) fn decode(bytes: &[u8; HELLO_BYTES]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        (reader.u32()? == HELLO).then_some(())?;
        Some(Self {
            protocol: reader.u32()?,
            render_revision: reader.u32()?,
            confinement: Confinement {
                landlock: match reader.u32()? {
                    0 => Landlock::Full,
                    1 => Landlock::Partial,
                    2 => Landlock::NotEnabled,
                    3 => Landlock::NotImplemented,
                    _ => return None,
                },
                memory_bytes: reader.u64()?,
            },
        })
    }
}

pub(crate) const ORDER_BYTES: usize = 36;

/// An order, and how many bytes will probably follow (0 if unknown).
pub(crate) fn encode_order(order: Order, size_hint: u64) -> Vec<u8> {
    let wanted = order.wanted;
    let mut writer = Writer::default();
    writer.u32(ORDER);
    writer.u32(
        u32::from(wanted.sample) | u32::from(wanted.preview) << 1 | u32::from(wanted.hashes) << 2,
    );
    writer.u32(order.side).u64(order.pixels);
    writer.u64(order.file_bytes).u64(size_hint);
    writer.finish()
}

pub(crate) fn decode_order(bytes: &[u8; ORDER_BYTES]) -> Option<(Order, u64)> {
    let mut reader = Reader::new(bytes);
    (reader.u32()? == ORDER).then_some(())?;
    let wanted = reader.u32()?;
    let order = Order {
        wanted: Wanted {
            sample: wanted & 1 != 0,
            preview: wanted & 2 != 0,
            hashes: wanted & 4 != 0,
        },
        side: reader.u32()?,
        pixels: reader.u64()?,
        file_bytes: reader.u64()?,
    };
    Some((order, reader.u64()?))
}

#[cfg(test)]
mod tests {
    use super::{Hello, PROTOCOL, Setup, decode_order, encode_order};
    use crate::confine::{Confinement, Landlock};
    use crate::render::Order;
    use crate::rendered::Wanted;

    #[test]
    fn messages_are_read_as_they_were_written() {
        let setup = Setup {
            memory_bytes: 7,
            cpu_milliseconds: 9,
        };
        let bytes = setup.encode().try_into().expect("a setup has its size");
        assert_eq!(Setup::decode(&bytes), Some(setup));
        let hello = Hello {
            protocol: PROTOCOL,
            render_revision: 3,
            confinement: Confinement {
                landlock: Landlock::NotEnabled,
                memory_bytes: 11,
            },
        };
        let bytes = hello.encode().try_into().expect("a hello has its size");
        assert_eq!(Hello::decode(&bytes), Some(hello));
        let order = Order {
            wanted: Wanted::SAMPLE,
            side: 5,
            pixels: 25,
            file_bytes: 100,
        };
        let bytes = encode_order(order, 99)
            .try_into()
            .expect("an order has its size");
        assert_eq!(decode_order(&bytes), Some((order, 99)));
        assert_eq!(decode_order(&[0; 36]), None);
    }
}
