//! The first 128 bytes of a snapshot.

use std::io::{self, Read, Write};

use super::{Error, FORMAT, Position};
use crate::index::{MOST_DIMENSIONS, Model};

const MAGIC: &[u8; 8] = b"KUMOLIKE";

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) position: Position,
    pub(super) model: Option<Model>,
    /// Rows in use or free.
    pub(super) rows: u32,
    pub(super) posts: u64,
    pub(super) vectors: u64,
    /// Vectors that the centre was taken from; 0 if there is none.
    pub(super) centre_of: u64,
}

impl Header {
    /// Bytes of a header: fields, zeros, and a checksum at the end.
    pub(super) const BYTES: usize = 128;

    const SUM: usize = Self::BYTES - 4;

    pub(super) fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        let (revision, dimensions) = match &self.model {
            Some(model) => (model.revision, model.dimensions as u32),
            None => ([0; 32], 0),
        };
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(dimensions.to_le_bytes());
        bytes.extend(self.position.epoch.to_le_bytes());
        bytes.extend(self.position.seq.to_le_bytes());
        bytes.extend(revision);
        bytes.extend(self.posts.to_le_bytes());
        bytes.extend(self.vectors.to_le_bytes());
        bytes.extend(self.centre_of.to_le_bytes());
        bytes.extend(self.rows.to_le_bytes());
        bytes.resize(Self::SUM, 0);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        writer.write_all(&bytes)
    }

    pub(super) fn read(reader: &mut impl Read) -> Result<Self, Error> {
        let mut bytes = [0; Self::BYTES];
        reader.read_exact(&mut bytes)?;
        if !bytes.starts_with(MAGIC) {
            return Err(Error::Damaged("it is no snapshot"));
        }
        let mut fields = Fields(&bytes[MAGIC.len()..]);
        let format = fields.u32();
        if format != FORMAT {
            return Err(Error::Stale(format));
        }
        let sum = Fields(&bytes[Self::SUM..]).u32();
        if sum != crc32fast::hash(&bytes[..Self::SUM]) {
            return Err(Error::Damaged("the header's checksum does not match"));
        }
        let dimensions = fields.u32() as usize;
        let position = Position {
            epoch: fields.u64(),
            seq: fields.u64(),
        };
        let revision = fields.take();
        let header = Self {
            position,
            model: (dimensions > 0).then_some(Model {
                revision,
                dimensions,
            }),
            posts: fields.u64(),
            vectors: fields.u64(),
            centre_of: fields.u64(),
            rows: fields.u32(),
        };
        if dimensions > MOST_DIMENSIONS {
            return Err(Error::Damaged("vectors have too many dimensions"));
        }
        Ok(header)
    }
}

/// Numbers one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            // Beyond the end there is nothing.
            None => [0; N],
        }
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}
