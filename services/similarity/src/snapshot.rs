//! The index on disk, for a quick start. It can be lost: the store has everything.
//!
//! One file: a header of 128 bytes, then sections in a fixed order, each a number, its blocks as
//! they are in memory, and a CRC-32 of both. The header says how many rows there are, so the length
//! of the file is known before anything is read, and nothing larger than a block is reserved on the
//! word of the file. Numbers are little-endian. A new one is written beside the old one, synced, and
//! takes its place in one step.

mod header;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use crc32fast::Hasher;

use crate::{
    column::{Column, ROWS},
    index::{Index, Model},
    slots::{blocks, has},
    vectors::{Centre, finite},
};
use header::Header;

/// Version of the layout, and of how codes and colours are computed.
const FORMAT: u32 = 1;

/// Bytes that small reads and writes are gathered to.
const BUFFER: usize = 256 * 1024;

/// How far the store's feed had been followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Life of the database.
    pub epoch: u64,
    /// Last change taken in.
    pub seq: u64,
}

/// Why there is no snapshot to start from, or none could be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("there is no snapshot yet")]
    Absent,
    /// It is not what was written.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// Another version of this program wrote it.
    #[error("the snapshot has format {0}, this program writes {FORMAT}")]
    Stale(u32),
    /// The system refuses.
    #[error("the snapshot cannot be read or written: {0}")]
    Io(io::Error),
}

/// Parts of the file in their order; columns by the width of their rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Posts = 1,
    Kinds,
    Hashes,
    Colours,
    Codes,
    Vectors,
    Centre,
}

impl Error {
    /// What happened, in one word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Absent => "ABSENT",
            Self::Damaged(_) => "DAMAGED",
            Self::Stale(_) => "STALE",
            Self::Io(_) => "UNREADABLE",
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends too early"),
            _ => Self::Io(error),
        }
    }
}

impl Index {
    /// Writes everything to a file, in place of what is there, and syncs it. Returns its bytes.
    /// Call it on a clone, so that nothing waits for the disk.
    ///
    /// # Errors
    /// If the system refuses; then the old file is as before.
    pub fn save(&self, path: &Path, position: Position) -> Result<u64, Error> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        let saved = self.write(&part, position).and_then(|bytes| {
            fs::rename(&part, path)?;
            // Without this a power cut may bring the old one back, which would be no harm, or none.
            match path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty())
            {
                Some(folder) => File::open(folder)?.sync_all()?,
                None => File::open(".")?.sync_all()?,
            }
            Ok(bytes)
        });
        if saved.is_err() {
            // What cannot be written can perhaps not be removed either; the next one replaces it.
            let _ = fs::remove_file(&part);
        }
        saved.map_err(Error::Io)
    }

    /// Reads a file written by [`Index::save`].
    ///
    /// # Errors
    /// If there is none, it is damaged, of another format, or the system refuses.
    pub fn load(path: &Path) -> Result<(Self, Position), Error> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(Error::Damaged("it is no file"));
        }
        let mut reader = BufReader::with_capacity(BUFFER, file);
        let header = Header::read(&mut reader)?;
        if header.file_bytes() != Some(metadata.len()) {
            return Err(Error::Damaged("it is not as long as its header says"));
        }
        let mut index = Self::new(header.model.clone());
        for (section, column) in index.columns_mut() {
            read_column(&mut reader, section, column, blocks(header.rows))?;
        }
        let mean = read_centre(&mut reader, &header)?;
        if let Some(mean) = mean {
            index
                .vectors
                .restore_centre(Centre::new(mean, header.centre_of));
        }
        index.restore_rows(&header)?;
        Ok((index, header.position))
    }

    fn write(&self, path: &Path, position: Position) -> io::Result<u64> {
        let centre = self.vectors.centre();
        let header = Header {
            position,
            model: self.model.clone(),
            rows: self.slots.rows(),
            posts: self.posts(),
            vectors: self.vectors(),
            centre_of: centre.map_or(0, Centre::of),
        };
        let file = File::create(path)?;
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        header.write(&mut writer)?;
        for (section, column) in self.columns() {
            write_section(&mut writer, section, column.blocks())?;
        }
        let mean: Vec<u8> = centre
            .iter()
            .flat_map(|centre| centre.mean())
            .flat_map(|value| value.to_le_bytes())
            .collect();
        write_section(&mut writer, Section::Centre, [mean.as_slice()].into_iter())?;
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }

    /// Columns in the order of the file.
    fn columns(&self) -> [(Section, &Column); 6] {
        let [posts, kinds] = self.rows.columns();
        [
            (Section::Posts, posts),
            (Section::Kinds, kinds),
            (Section::Hashes, self.hashes.column()),
            (Section::Colours, self.colours.column()),
            (Section::Codes, self.vectors.codes().column()),
            (Section::Vectors, self.vectors.halves()),
        ]
    }

    fn columns_mut(&mut self) -> [(Section, &mut Column); 6] {
        let [posts, kinds] = self.rows.columns_mut();
        let [halves, codes] = self.vectors.columns_mut();
        [
            (Section::Posts, posts),
            (Section::Kinds, kinds),
            (Section::Hashes, self.hashes.column_mut()),
            (Section::Colours, self.colours.column_mut()),
            (Section::Codes, codes),
            (Section::Vectors, halves),
        ]
    }

    /// Finds posts by the rows that were read, believing none of them.
    fn restore_rows(&mut self, header: &Header) -> Result<(), Error> {
        for slot in 0..header.rows {
            let (post, kind) = (self.rows.post(slot), self.rows.kind(slot));
            if kind == 0 {
                self.slots.restore(slot, None);
                continue;
            }
            let holds = |part| kind & part != 0;
            let fit = holds(has::POST)
                && kind & !has::ANYTHING == 0
                && (holds(has::HASH) || !holds(has::NEAR_BLANK))
                && (self.vectors.dimensions() > 0 || !holds(has::VECTOR));
            if !fit || post == 0 || self.contains(post) {
                return Err(Error::Damaged("a row is no post"));
            }
            self.slots.restore(slot, Some(post));
            self.embedded += u64::from(holds(has::VECTOR));
        }
        let beyond = header.rows..(blocks(header.rows) * ROWS) as u32;
        if beyond.into_iter().any(|slot| self.rows.kind(slot) != 0) {
            return Err(Error::Damaged("there are posts beyond the last"));
        }
        if (self.posts(), self.vectors()) != (header.posts, header.vectors) {
            return Err(Error::Damaged("it holds other posts than its header says"));
        }
        self.grow();
        self.centre();
        Ok(())
    }
}

fn write_section<'a>(
    writer: &mut impl Write,
    section: Section,
    blocks: impl Iterator<Item = &'a [u8]>,
) -> io::Result<()> {
    let number = (section as u32).to_le_bytes();
    let mut sum = Hasher::new();
    sum.update(&number);
    writer.write_all(&number)?;
    for block in blocks {
        sum.update(block);
        writer.write_all(block)?;
    }
    writer.write_all(&sum.finalize().to_le_bytes())
}

/// The number of a section, as the first of what is summed.
fn begin(reader: &mut impl Read, section: Section) -> Result<Hasher, Error> {
    let mut number = [0; 4];
    reader.read_exact(&mut number)?;
    if u32::from_le_bytes(number) != section as u32 {
        return Err(Error::Damaged("its sections are not in order"));
    }
    let mut sum = Hasher::new();
    sum.update(&number);
    Ok(sum)
}

fn finish(reader: &mut impl Read, sum: Hasher) -> Result<(), Error> {
    let mut written = [0; 4];
    reader.read_exact(&mut written)?;
    if u32::from_le_bytes(written) != sum.finalize() {
        return Err(Error::Damaged("a checksum does not match"));
    }
    Ok(())
}

fn read_column(
    reader: &mut impl Read,
    section: Section,
    column: &mut Column,
    blocks: usize,
) -> Result<(), Error> {
    let mut sum = begin(reader, section)?;
    for _ in 0..blocks {
        let mut block = vec![0; column.width() * ROWS];
        reader.read_exact(&mut block)?;
        sum.update(&block);
        if section == Section::Vectors && !finite(&block) {
            return Err(Error::Damaged("a vector has numbers that are not finite"));
        }
        if block.iter().all(|byte| *byte == 0) {
            // A new block costs no memory until something is written to it.
            column.grow();
        } else {
            column.push(block);
        }
    }
    finish(reader, sum)
}

fn read_centre(reader: &mut impl Read, header: &Header) -> Result<Option<Vec<f32>>, Error> {
    let mut sum = begin(reader, Section::Centre)?;
    let mut bytes = vec![0; header.centre_bytes()];
    reader.read_exact(&mut bytes)?;
    sum.update(&bytes);
    finish(reader, sum)?;
    let values = bytes.as_chunks::<4>().0.iter();
    let mean: Vec<f32> = values.map(|value| f32::from_le_bytes(*value)).collect();
    if !mean.iter().all(|value| value.is_finite()) {
        return Err(Error::Damaged("the centre has numbers that are not finite"));
    }
    Ok((!mean.is_empty()).then_some(mean))
}

impl Header {
    /// Bytes of the whole file; `None` if no file can have so many.
    fn file_bytes(&self) -> Option<u64> {
        let empty = Index::new(self.model.clone());
        let row: usize = empty
            .columns()
            .iter()
            .map(|(_, column)| column.width())
            .sum();
        let rows = (blocks(self.rows) * ROWS) as u64;
        // A number and a checksum for each section.
        let frame = 8 * (empty.columns().len() as u64 + 1);
        rows.checked_mul(row as u64)?
            .checked_add(Self::BYTES as u64 + frame + self.centre_bytes() as u64)
    }

    fn centre_bytes(&self) -> usize {
        let dimensions = self
            .model
            .as_ref()
            .map_or(0, |model: &Model| model.dimensions);
        if self.centre_of > 0 {
            4 * dimensions
        } else {
            0
        }
    }
}
