//! Rows of bits, and how many of them differ: the scan under binary codes and perceptual hashes.
//!
//! Within a block lie word 0 of all rows, then word 1, and so on: what is scanned is read from front
//! to back, and neighbouring rows are summed at once by wide instructions.

use crate::column::{Column, ROWS, place};

const WORD: usize = size_of::<u64>();

/// Bit rows of a number of 64-bit words.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    column: Column,
    words: usize,
}

impl Words {
    pub(crate) fn new(words: usize) -> Self {
        Self {
            column: Column::new(words * WORD),
            words,
        }
    }

    pub(crate) fn column(&self) -> &Column {
        &self.column
    }

    pub(crate) fn column_mut(&mut self) -> &mut Column {
        &mut self.column
    }

    pub(crate) fn set(&mut self, slot: u32, row: &[u64]) {
        let (block, at) = place(slot);
        let block = self.column.block_mut(block);
        for (index, word) in row.iter().take(self.words).enumerate() {
            let start = (index * ROWS + at) * WORD;
            block[start..start + WORD].copy_from_slice(&word.to_le_bytes());
        }
    }

    pub(crate) fn get(&self, slot: u32) -> impl Iterator<Item = u64> {
        let (block, at) = place(slot);
        let block = self.column.block(block);
        (0..self.words).map(move |index| word(&block[(index * ROWS + at) * WORD..]))
    }

    /// Bits in which a row differs from a query of as many words.
    pub(crate) fn distance(&self, slot: u32, query: &[u64]) -> u32 {
        self.get(slot)
            .zip(query)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum()
    }

    /// The same of every row of a block.
    pub(crate) fn distances(&self, block: usize, query: &[u64], out: &mut [u16; ROWS]) {
        distances(self.column.block(block), query, out);
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

fn distances(block: &[u8], query: &[u64], out: &mut [u16; ROWS]) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vpopcntdq")
        {
            // SAFETY: this processor was just seen to have what the function is compiled for.
            return unsafe { wide::distances_512(block, query, out) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            // SAFETY: as above.
            return unsafe { wide::distances_256(block, query, out) };
        }
    }
    portable(block, query, out);
}

/// Plain code that compilers turn into wide instructions where they may use them.
#[inline(always)]
fn portable(block: &[u8], query: &[u64], out: &mut [u16; ROWS]) {
    let mut sums = [0_u64; ROWS];
    for (words, asked) in block.as_chunks::<{ ROWS * WORD }>().0.iter().zip(query) {
        for (sum, bytes) in sums.iter_mut().zip(words.as_chunks::<WORD>().0) {
            *sum += u64::from((u64::from_le_bytes(*bytes) ^ asked).count_ones());
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        // At most 64 bits a word and 256 words: it fits.
        *out = sum as u16;
    }
}

/// The same code, compiled for processors that can do more at once.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{ROWS, portable};

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vpopcntdq")]
    pub(super) fn distances_512(block: &[u8], query: &[u64], out: &mut [u16; ROWS]) {
        portable(block, query, out);
    }

    #[target_feature(enable = "avx2,popcnt")]
    pub(super) fn distances_256(block: &[u8], query: &[u64], out: &mut [u16; ROWS]) {
        portable(block, query, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ROWS, Words, portable};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_block_says_what_its_rows_say(
            words in 1_usize..9,
            seed in any::<u64>(),
            slots in prop::collection::vec(0_u32..2048, 1..40),
        ) {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state ^ (state >> 29)
            };
            let mut rows = Words::new(words);
            rows.column_mut().grow();
            rows.column_mut().grow();
            let query: Vec<u64> = (0..words).map(|_| next()).collect();
            let mut model = vec![vec![0; words]; 2 * ROWS];
            for slot in slots {
                let row: Vec<u64> = (0..words).map(|_| next()).collect();
                rows.set(slot, &row);
                model[slot as usize] = row;
            }
            let naive = |row: &[u64]| -> u32 {
                row.iter().zip(&query).map(|(a, b)| (a ^ b).count_ones()).sum()
            };
            for block in 0..2 {
                let (mut out, mut plain) = ([0; ROWS], [0; ROWS]);
                rows.distances(block, &query, &mut out);
                portable(rows.column().block(block), &query, &mut plain);
                prop_assert_eq!(out, plain);
                for (at, distance) in out.iter().enumerate() {
                    let slot = block * ROWS + at;
                    prop_assert_eq!(u32::from(*distance), naive(&model[slot]));
                    prop_assert_eq!(rows.distance(slot as u32, &query), u32::from(*distance));
                }
            }
        }
    }
}
