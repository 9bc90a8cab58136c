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

    /// The same, if it is not more than so many.
    pub(crate) fn within(&self, slot: u32, query: &[u64], most: u32) -> Option<u32> {
        // Words lie far apart, and of strangers the first one tells.
        self.get(slot).zip(query).try_fold(0, |sum, (a, b)| {
            let sum = sum + (a ^ b).count_ones();
            (sum <= most).then_some(sum)
        })
    }

    /// The same of every row of a block.
    pub(crate) fn distances(&self, block: usize, query: &[u64], out: &mut [u16; ROWS]) {
        distances(self.column.block(block), query, out);
    }

    /// Whether a row of a block may differ from a query in at most so many bits: some first word does.
    pub(crate) fn may_be_within(&self, block: usize, query: &[u64], bits: u32) -> bool {
        let first = query.get(..1).unwrap_or_default();
        let mut out = [0; ROWS];
        distances(self.column.block(block), first, &mut out);
        let bits = bits.min(u32::from(u16::MAX)) as u16;
        // No way out half-way: that is what keeps the comparison wide.
        out.iter().fold(false, |near, bit| near | (*bit <= bits))
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
        if is_x86_feature_detected!("avx2") {
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

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi8, _mm256_add_epi64, _mm256_and_si256, _mm256_loadu_si256,
        _mm256_sad_epu8, _mm256_set1_epi8, _mm256_set1_epi64x, _mm256_setr_epi8,
        _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_storeu_si256,
        _mm256_xor_si256,
    };

    use super::{ROWS, WORD, portable};

    /// Rows whose words fill a line of the cache.
    const STEP: usize = 8;

    /// Counts are added up in bytes: of so many words at most, or they overflow.
    const IN_BYTES: usize = 31;

    /// The plain code, compiled for processors that count the bits of eight words at once.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vpopcntdq")]
    pub(super) fn distances_512(block: &[u8], query: &[u64], out: &mut [u16; ROWS]) {
        portable(block, query, out);
    }

    /// Bits are counted by looking up half bytes. Words of a row are summed as bytes first, because
    /// adding up the bytes of a word is the dearest step.
    #[target_feature(enable = "avx2")]
    pub(super) fn distances_256(block: &[u8], query: &[u64], out: &mut [u16; ROWS]) {
        let planes = block.as_chunks::<{ ROWS * WORD }>().0;
        for (group, out) in out.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
            let mut sums = [_mm256_setzero_si256(); 2];
            for (planes, query) in planes.chunks(IN_BYTES).zip(query.chunks(IN_BYTES)) {
                let mut counts = [_mm256_setzero_si256(); 2];
                for (plane, asked) in planes.iter().zip(query) {
                    let line = &plane.as_chunks::<{ STEP * WORD }>().0[group];
                    let asked = _mm256_set1_epi64x(asked.cast_signed());
                    for (count, half) in counts.iter_mut().zip(line.as_chunks::<32>().0) {
                        *count = _mm256_add_epi8(*count, differ(half, asked));
                    }
                }
                for (sum, count) in sums.iter_mut().zip(counts) {
                    let of_words = _mm256_sad_epu8(count, _mm256_setzero_si256());
                    *sum = _mm256_add_epi64(*sum, of_words);
                }
            }
            for (out, sum) in out.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
                let mut lanes = [0_u64; 4];
                // SAFETY: the array is as large as a register; no alignment is asked.
                unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), sum) };
                *out = lanes.map(|lane| lane as u16);
            }
        }
    }

    /// In how many bits each byte differs.
    #[target_feature(enable = "avx2")]
    fn differ(words: &[u8; 32], asked: __m256i) -> __m256i {
        #[rustfmt::skip]
        let ones = _mm256_setr_epi8(
            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
            0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
        );
        let low = _mm256_set1_epi8(0x0f);
        // SAFETY: the array is as large as a register; no alignment is asked.
        let words = unsafe { _mm256_loadu_si256(words.as_ptr().cast::<__m256i>()) };
        let bits = _mm256_xor_si256(words, asked);
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bits), low);
        let low = _mm256_and_si256(bits, low);
        _mm256_add_epi8(
            _mm256_shuffle_epi8(ones, low),
            _mm256_shuffle_epi8(ones, high),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[cfg(target_arch = "x86_64")]
    use super::wide;
    use super::{ROWS, Words, portable};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_block_says_what_its_rows_say(
            words in prop::sample::select(vec![1_usize, 2, 4, 8, 31, 32, 70]),
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
                let first = |at: usize| (model[block * ROWS + at][0] ^ query[0]).count_ones();
                let nearest = (0..ROWS).map(first).min().expect("a block has rows");
                prop_assert!(rows.may_be_within(block, &query, nearest));
                prop_assert!(nearest == 0 || !rows.may_be_within(block, &query, nearest - 1));
                portable(rows.column().block(block), &query, &mut plain);
                prop_assert_eq!(out, plain);
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: this processor was just seen to have what it is compiled for.
                    unsafe { wide::distances_256(rows.column().block(block), &query, &mut out) };
                    prop_assert_eq!(out, plain, "without wider instructions");
                }
                for (at, distance) in out.iter().enumerate() {
                    let slot = block * ROWS + at;
                    prop_assert_eq!(u32::from(*distance), naive(&model[slot]));
                    prop_assert_eq!(rows.distance(slot as u32, &query), u32::from(*distance));
                }
            }
        }
    }
}
