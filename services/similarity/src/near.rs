//! Hashes within few bits of one, found without looking at every post: multi-index hashing.
//!
//! The bits of a hash are dealt out to 16 parts of 16. Two hashes that differ in fewer than 16 bits
//! have a part in common; in fewer than 32, a part that differs in one bit at most. So only rows are
//! compared that share such a part.
//!
//! Rows are taken in groups, each with a table of its own. A table is made once a group was asked
//! often enough since its hashes last changed: a library that nobody asks this pays nothing, and one
//! that is growing makes no table twice. A group without a table is scanned, for the same answer.
//! Groups are shared with frozen views as long as neither changes.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use crate::{column::ROWS, hashes::WORDS};

/// Blocks of a group: as many as there can be for its rows to be counted in 16 bits.
pub(crate) const BLOCKS: usize = 63;

/// The largest distance that tables help with.
pub(crate) const FARTHEST: u32 = 2 * PARTS as u32 - 1;

const PARTS: usize = 16;
const KEYS: usize = 1 << 16;

/// Making a table takes about as long as scanning its rows so many times. Tests ask less often.
const WORTH: u32 = if cfg!(test) { 1 } else { 32 };

/// Of more than one in so many rows a scan is faster.
const MANY: usize = 8;

/// The tables of all rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Near {
    groups: Vec<Arc<Group>>,
}

/// The table of [`BLOCKS`] blocks, if it was worth making.
#[derive(Debug, Default)]
pub(crate) struct Group {
    asked: AtomicU32,
    table: OnceLock<Table>,
}

/// Rows by the parts of their hashes: 64 bytes a row, and 2 MiB.
#[derive(Debug)]
pub(crate) struct Table {
    /// Where the rows of each key begin, and the end: one part after the other.
    starts: Vec<u16>,
    /// The rows of each part by key, one part after the other.
    rows: Vec<u16>,
}

impl Near {
    /// Groups for so many blocks.
    pub(crate) fn grow(&mut self, blocks: usize) {
        let groups = blocks.div_ceil(BLOCKS).max(self.groups.len());
        self.groups.resize_with(groups, Arc::default);
    }

    /// The hash of a row is another, or has come, or is gone.
    pub(crate) fn changed(&mut self, slot: u32) {
        if let Some(group) = self.groups.get_mut(slot as usize / ROWS / BLOCKS) {
            // A frozen view keeps the one that fits what it froze, also if that has no table yet.
            match Arc::get_mut(group) {
                Some(alone) => *alone = Group::default(),
                None => *group = Arc::default(),
            }
        }
    }

    /// All groups in the order of their blocks.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().map(Arc::as_ref)
    }

    /// Bytes of the tables there are.
    pub(crate) fn bytes(&self) -> u64 {
        let tables = self.groups.iter().filter_map(|group| group.table.get());
        let numbers = tables.map(|table| table.starts.len() + table.rows.len());
        (numbers.sum::<usize>() * size_of::<u16>()) as u64
    }
}

impl Group {
    /// The table, made of these rows and their hashes if it is time to.
    pub(crate) fn table<I>(&self, rows: impl FnOnce() -> I) -> Option<&Table>
    where
        I: Iterator<Item = (u16, [u64; WORDS])>,
    {
        // Relaxed: it is no matter if one of several that ask at once is not counted.
        let asked = self.asked.load(Ordering::Relaxed);
        if asked < WORTH {
            self.asked.store(asked + 1, Ordering::Relaxed);
            return None;
        }
        Some(self.table.get_or_init(|| Table::new(rows())))
    }
}

impl Table {
    fn new(hashes: impl Iterator<Item = (u16, [u64; WORDS])>) -> Self {
        let hashes: Vec<_> = hashes.map(|(row, hash)| (row, parts(&hash))).collect();
        let mut starts = Vec::with_capacity(PARTS * (KEYS + 1));
        let mut rows = vec![0; PARTS * hashes.len()];
        for part in 0..PARTS {
            // Counts by key become the ends of the keys' rows, and are counted down to the beginnings.
            let mut begin = vec![0_u16; KEYS + 1];
            for (_, keys) in &hashes {
                begin[usize::from(keys[part])] += 1;
            }
            let mut end = 0;
            for start in &mut begin {
                end += *start;
                *start = end;
            }
            let sorted = &mut rows[part * hashes.len()..][..hashes.len()];
            for (row, keys) in hashes.iter().rev() {
                let start = &mut begin[usize::from(keys[part])];
                *start -= 1;
                sorted[usize::from(*start)] = *row;
            }
            starts.append(&mut begin);
        }
        Self { starts, rows }
    }

    /// Shows all rows that may lie within so many bits of a hash, with the part by which they were
    /// found; of several parts of one row [`first`] says which counts. `false`, and nothing is shown,
    /// where that would be so many that a scan is faster.
    pub(crate) fn visit(
        &self,
        hash: &[u64; WORDS],
        bits: u32,
        mut show: impl FnMut(usize, u16),
    ) -> bool {
        let keys = parts(hash);
        let probes = || {
            keys.iter().enumerate().flat_map(move |(part, key)| {
                let flips = (0..u16::BITS).map(|bit| 1 << bit);
                let flips = flips.take(if slack(bits) > 0 { PARTS } else { 0 });
                let keys = std::iter::once(0).chain(flips).map(move |flip| key ^ flip);
                keys.map(move |key| (part, self.rows(part, key)))
            })
        };
        let rows: usize = probes().map(|(_, rows)| rows.len()).sum();
        if rows > self.rows.len() / PARTS / MANY + PARTS {
            return false;
        }
        for (part, rows) in probes() {
            rows.iter().for_each(|row| show(part, *row));
        }
        true
    }

    fn rows(&self, part: usize, key: u16) -> &[u16] {
        let at = part * (KEYS + 1) + usize::from(key);
        let span = usize::from(self.starts[at])..usize::from(self.starts[at + 1]);
        let of_part = self.rows.len() / PARTS;
        &self.rows[part * of_part..][span]
    }
}

/// The first part by which one hash is found as lying within so many bits of another.
pub(crate) fn first(a: &[u64; WORDS], b: &[u64; WORDS], bits: u32) -> Option<usize> {
    let mut differ = *a;
    differ.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
    let near = |part: &u16| part.count_ones() <= slack(bits);
    parts(&differ).iter().position(near)
}

/// Bits in which some part differs at most.
fn slack(bits: u32) -> u32 {
    bits / PARTS as u32
}

/// A hash as its parts: every 16th bit, since neighbouring frequencies of a picture depend on each
/// other, and parts of independent bits spread the rows more evenly.
fn parts(hash: &[u64; WORDS]) -> [u16; PARTS] {
    const STEPS: usize = u64::BITS as usize / PARTS;
    let mut parts = [0; PARTS];
    for (part, key) in parts.iter_mut().enumerate() {
        for (at, word) in hash.iter().enumerate() {
            for step in 0..STEPS {
                let bit = (word >> (part + PARTS * step)) as u16 & 1;
                *key |= bit << (at * STEPS + step);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FARTHEST, Table, first};
    use crate::hashes::{WORDS, distance};

    fn flipped(mut hash: [u64; WORDS], bits: &[usize]) -> [u64; WORDS] {
        for bit in bits {
            hash[bit / 64] ^= 1 << (bit % 64);
        }
        hash
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_near_hash_is_shown_and_counts_once(
            asked in any::<[u64; WORDS]>(),
            others in prop::collection::vec(any::<[u64; WORDS]>(), 1000),
            flips in prop::collection::vec(prop::collection::vec(0_usize..256, 0..40), 1..4),
            bits in 0..=FARTHEST,
        ) {
            let near = flips.iter().map(|bits| flipped(asked, bits));
            let hashes: Vec<_> = near.chain(others).collect();
            let table = Table::new((0..).zip(hashes.iter().copied()));
            let mut counted = vec![0; hashes.len()];
            let shown = table.visit(&asked, bits, |part, row| {
                let row = usize::from(row);
                let counts = first(&asked, &hashes[row], bits) == Some(part);
                counted[row] += u32::from(counts);
            });
            prop_assert!(shown, "few of many are near");
            for (hash, counted) in hashes.iter().zip(counted) {
                prop_assert!(counted <= 1);
                prop_assert!(counted == 1 || distance(&asked, hash) > bits);
            }
        }
    }

    #[test]
    fn hashes_that_are_all_the_same_are_left_to_a_scan() {
        let table = Table::new((0..5_000).map(|row| (row, [7; WORDS])));
        assert!(!table.visit(&[7; WORDS], 10, |_, _| unreachable!()));
        let mut shown = 0;
        assert!(table.visit(&[!7; WORDS], 10, |_, _| shown += 1));
        assert_eq!(shown, 0);
    }
}
