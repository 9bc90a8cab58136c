//! Multi-index hashing: finding hashes that differ in few bits without comparing all with all.
//!
//! The 256 bits are dealt out to `count` chunks. If two hashes differ in at most r bits, they
//! differ in at most r / count bits of some chunk; so it is enough to look, for each chunk, at the
//! hashes whose chunk is the same or differs in that few bits. Bits are dealt out in turn, since
//! neighbouring frequencies of a picture depend on each other, and chunks of independent bits spread
//! hashes more evenly.

use crate::hashes::WORDS;

/// Chunks are at most so wide.
const WIDEST: u32 = 32;

/// Bits of the number of a key's bit in a filter: 2 MiB, which stays in a processor's cache.
const FILTER: u32 = 24;

/// How to cut hashes for a radius.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    count: u32,
    /// Bits in which chunks may differ.
    slack: u32,
    /// Bits of a bucket's number.
    bits: u32,
}

/// Hashes by one chunk.
pub(super) struct Table {
    plan: Plan,
    chunk: u32,
    /// Where each bucket begins in `entries`, and the end.
    starts: Vec<u32>,
    /// Chunk and place of each hash: few whose chunk is another are ever fetched.
    entries: Vec<(u32, u32)>,
    /// A bit for each key that there may be; empty if chunks must be the same.
    present: Vec<u64>,
}

/// Tables of all chunks.
pub(super) struct Chunks {
    tables: Vec<Table>,
}

impl Plan {
    /// The cheapest cut for a radius and a number of hashes.
    pub(super) fn new(radius: u32, hashes: usize) -> Self {
        let bits = (hashes.max(2) as u32).next_power_of_two().ilog2().min(24);
        (0..3)
            .map(|slack| Self {
                count: (radius + 1).div_ceil(slack + 1).max(256 / WIDEST),
                slack,
                bits,
            })
            .min_by(|a, b| a.cost(hashes).total_cmp(&b.cost(hashes)))
            .unwrap_or(Self {
                count: radius + 1,
                slack: 0,
                bits,
            })
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// All tables: 8 bytes a hash and chunk, and 4 to 8 for the buckets.
    pub(super) fn tables(&self, hashes: &[[u64; WORDS]]) -> Chunks {
        let tables = (0..self.count).map(|chunk| self.table(chunk, hashes));
        Chunks {
            tables: tables.collect(),
        }
    }

    /// The table of one chunk, by counting sort.
    pub(super) fn table(&self, chunk: u32, hashes: &[[u64; WORDS]]) -> Table {
        let keys: Vec<u32> = hashes.iter().map(|hash| self.key(chunk, hash)).collect();
        let mut starts = vec![0_u32; (1 << self.bits) + 1];
        let mut present = vec![0_u64; if self.slack > 0 { 1 << (FILTER - 6) } else { 0 }];
        for key in &keys {
            starts[self.bucket(*key) as usize] += 1;
            if let Some(word) = present.get_mut(filter(*key) as usize / 64) {
                *word |= 1 << (filter(*key) % 64);
            }
        }
        // Each becomes the end of its bucket, and is counted down to the beginning.
        let mut end = 0;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        let mut entries = vec![(0, 0); hashes.len()];
        for (at, key) in keys.iter().enumerate().rev() {
            let start = &mut starts[self.bucket(*key) as usize];
            *start -= 1;
            entries[*start as usize] = (*key, at as u32);
        }
        Table {
            plan: *self,
            chunk,
            starts,
            entries,
            present,
        }
    }

    /// Steps for one hash: buckets looked into, and hashes found there by chance.
    fn cost(&self, hashes: usize) -> f64 {
        let width = f64::from(256 / self.count);
        let near = [1.0, 1.0 + width, 1.0 + width + width * (width - 1.0) / 2.0];
        let chance = hashes as f64 / width.exp2();
        f64::from(self.count) * near[self.slack as usize] * (1.0 + chance)
    }

    /// Number of bits of a chunk.
    fn width(&self, chunk: u32) -> u32 {
        (256 - chunk).div_ceil(self.count)
    }

    /// The bits of a chunk: every `count`-th.
    fn key(&self, chunk: u32, hash: &[u64; WORDS]) -> u32 {
        (chunk..256)
            .step_by(self.count as usize)
            .enumerate()
            .fold(0, |key, (to, from)| {
                let bit = hash[from as usize / 64] >> (from % 64) & 1;
                key | (bit as u32) << to
            })
    }

    fn bucket(&self, key: u32) -> u32 {
        // Multiplying by the golden ratio spreads whatever the highest bits then select.
        (key.wrapping_mul(0x9e37_79b1) >> 1) >> (31 - self.bits)
    }
}

/// The number of a key's bit: the key itself, folded if it is wider.
fn filter(key: u32) -> u32 {
    (key ^ key >> FILTER << 3) & ((1 << FILTER) - 1)
}

impl Table {
    /// Keys and places of all hashes, neighbours in memory one after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.entries.iter().copied()
    }

    /// The first hash that passes, of those whose chunk is near enough to a key.
    pub(super) fn find(&self, key: u32, mut passes: impl FnMut(u32) -> bool) -> Option<u32> {
        let width = self.plan.width(self.chunk);
        let mut found = self.look(key, &mut passes);
        for first in 0..width {
            if self.plan.slack == 0 || found.is_some() {
                return found;
            }
            let once = key ^ 1 << first;
            found = self.look(once, &mut passes);
            for second in first + 1..width {
                if self.plan.slack == 1 || found.is_some() {
                    break;
                }
                found = self.look(once ^ 1 << second, &mut passes);
            }
        }
        found
    }

    fn look(&self, key: u32, passes: &mut impl FnMut(u32) -> bool) -> Option<u32> {
        let filter = filter(key);
        if let Some(word) = self.present.get(filter as usize / 64)
            && word >> (filter % 64) & 1 == 0
        {
            return None;
        }
        let bucket = self.plan.bucket(key) as usize;
        let span = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        self.entries[span]
            .iter()
            .filter(|(chunk, _)| *chunk == key)
            .map(|(_, at)| *at)
            .find(|at| passes(*at))
    }
}

impl Chunks {
    /// Shows all that may be near; some of it several times, and some that is not.
    pub(super) fn visit(&self, hash: &[u64; WORDS], mut f: impl FnMut(u32)) {
        for table in &self.tables {
            let key = table.plan.key(table.chunk, hash);
            table.find(key, |other| {
                f(other);
                false
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Plan;
    use crate::hashes::{WORDS, distance};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_near_is_missed(
            seeds in prop::collection::vec(any::<[u64; WORDS]>(), 1..4),
            flips in prop::collection::vec((0_usize..4, prop::collection::vec(0_usize..256, 0..40)), 1..60),
            radius in 0_u32..33,
            pretended in prop::sample::select(vec![1_usize, 1000, 1_000_000, 100_000_000]),
        ) {
            let hashes: Vec<[u64; WORDS]> = flips
                .iter()
                .map(|(seed, bits)| {
                    let mut hash = seeds[seed % seeds.len()];
                    for bit in bits {
                        hash[bit / 64] ^= 1 << (bit % 64);
                    }
                    hash
                })
                .collect();
            // Other counts choose other cuts; the buckets are those of the real one.
            let plan = Plan { bits: 6, ..Plan::new(radius, pretended) };
            let tables = plan.tables(&hashes);
            for hash in &hashes {
                let mut seen = vec![false; hashes.len()];
                tables.visit(hash, |other| seen[other as usize] = true);
                for (other, seen) in hashes.iter().zip(seen) {
                    prop_assert!(seen || distance(hash, other) > radius);
                }
            }
        }
    }

    #[test]
    fn cuts_suit_the_radius() {
        let cut = |radius, hashes| {
            let plan = Plan::new(radius, hashes);
            (plan.count, plan.slack)
        };
        assert_eq!(cut(10, 1_000_000), (11, 0));
        assert_eq!(cut(0, 1_000_000), (8, 0));
        assert_eq!(cut(32, 1_000_000), (11, 2));
    }
}
