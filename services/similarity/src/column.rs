//! Packed rows of one width in blocks of fixed size.
//!
//! A column grows by whole blocks, so that a gigabyte is never moved to a larger place, and a block
//! is shared between an index and its frozen views until one of them writes to it. New blocks are
//! zero and cost memory only where they are written. Numbers in them are little-endian, which is
//! also how they go to disk.

use std::sync::Arc;

/// Rows of a block.
pub(crate) const ROWS: usize = 1024;

/// Rows of `width` bytes each.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    width: usize,
    blocks: Vec<Arc<Vec<u8>>>,
}

/// The block of a slot, and its row there.
pub(crate) fn place(slot: u32) -> (usize, usize) {
    (slot as usize / ROWS, slot as usize % ROWS)
}

impl Column {
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width,
            blocks: Vec::new(),
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Number of blocks.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes of all blocks.
    pub(crate) fn bytes(&self) -> u64 {
        (self.blocks.len() * self.width * ROWS) as u64
    }

    /// Adds a block of zeros.
    pub(crate) fn grow(&mut self) {
        self.push(vec![0; self.width * ROWS]);
    }

    /// Adds a block that holds something; exactly `width × ROWS` bytes.
    pub(crate) fn push(&mut self, block: Vec<u8>) {
        debug_assert_eq!(block.len(), self.width * ROWS);
        self.blocks.push(Arc::new(block));
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().map(|block| block.as_slice())
    }

    pub(crate) fn block(&self, index: usize) -> &[u8] {
        &self.blocks[index]
    }

    /// The block, copied first if a frozen view shares it.
    pub(crate) fn block_mut(&mut self, index: usize) -> &mut [u8] {
        Arc::make_mut(&mut self.blocks[index]).as_mut_slice()
    }

    /// A row of a column whose rows lie one after the other.
    pub(crate) fn row(&self, slot: u32) -> &[u8] {
        let (block, row) = place(slot);
        &self.blocks[block][row * self.width..(row + 1) * self.width]
    }

    /// The same, to be written.
    pub(crate) fn row_mut(&mut self, slot: u32) -> &mut [u8] {
        let (block, row) = place(slot);
        let span = row * self.width..(row + 1) * self.width;
        &mut self.block_mut(block)[span]
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, ROWS};

    #[test]
    fn a_frozen_view_does_not_see_later_writes() {
        let mut column = Column::new(3);
        column.grow();
        column.grow();
        column.row_mut(5).copy_from_slice(&[1, 2, 3]);
        let frozen = column.clone();
        column.row_mut(5)[0] = 9;
        column.row_mut(ROWS as u32)[2] = 7;
        assert_eq!(frozen.row(5), [1, 2, 3]);
        assert_eq!(frozen.row(ROWS as u32), [0, 0, 0]);
        assert_eq!(column.row(5), [9, 2, 3]);
        assert_eq!(column.bytes(), 2 * 3 * ROWS as u64);
    }
}
