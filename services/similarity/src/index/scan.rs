//! What a scan of all rows compares: codes, hashes or colours.

use super::Index;
use crate::{colours, column::ROWS, hashes, slots::has};

/// A channel's part of a scan.
pub(super) trait Scan {
    /// Keys of all rows of a block: the smaller, the nearer. `false` if none can be within the bound;
    /// then the keys are meaningless.
    fn block(&self, index: usize, bound: u32, out: &mut [u16; ROWS]) -> bool;
    /// Key of one row.
    fn row(&self, slot: u32) -> u32;
    /// Whether a row takes part, by what it holds.
    fn fits(&self, kind: u8) -> bool;
}

/// Within so many bits the first quarter of a hash alone excludes nearly every post: of strangers half
/// of its 64 bits differ.
const TELLING: u32 = 12;

/// Calls `f` for the rows of a block whose keys do not exceed a bound; it gives the bound from then
/// on.
pub(super) fn visit(keys: &[u16; ROWS], mut bound: u32, mut f: impl FnMut(usize, u32) -> u32) {
    const STEP: usize = 32;
    for (group, keys) in keys.as_chunks::<STEP>().0.iter().enumerate() {
        // Nearly every group ends here, after a few instructions for all of it.
        let limit = bound.min(u32::from(u16::MAX)) as u16;
        let near = keys
            .iter()
            .fold(0, |near, key| near | u16::from(*key <= limit));
        if near == 0 {
            continue;
        }
        for (at, key) in keys.iter().enumerate() {
            if u32::from(*key) <= bound {
                bound = f(group * STEP + at, u32::from(*key));
            }
        }
    }
}

/// Every vector, none nearer than another.
pub(super) struct Everything;

impl Scan for Everything {
    fn block(&self, _: usize, _: u32, out: &mut [u16; ROWS]) -> bool {
        out.fill(0);
        true
    }

    fn row(&self, _: u32) -> u32 {
        0
    }

    fn fits(&self, kind: u8) -> bool {
        kind & has::VECTOR != 0
    }
}

/// By binary codes.
pub(super) struct CodeScan<'a>(pub(super) &'a Index, pub(super) Vec<u64>);

impl Scan for CodeScan<'_> {
    fn block(&self, index: usize, _: u32, out: &mut [u16; ROWS]) -> bool {
        self.0.vectors.codes().distances(index, &self.1, out);
        true
    }

    fn row(&self, slot: u32) -> u32 {
        self.0.vectors.codes().distance(slot, &self.1)
    }

    fn fits(&self, kind: u8) -> bool {
        kind & has::VECTOR != 0
    }
}

/// By perceptual hashes.
pub(super) struct HashScan<'a>(pub(super) &'a Index, pub(super) [u64; hashes::WORDS]);

impl Scan for HashScan<'_> {
    fn block(&self, index: usize, bound: u32, out: &mut [u16; ROWS]) -> bool {
        let hashes = &self.0.hashes;
        if bound <= TELLING && !hashes.may_be_within(index, &self.1, bound) {
            return false;
        }
        hashes.distances(index, &self.1, out);
        true
    }

    fn row(&self, slot: u32) -> u32 {
        self.0.hashes.distance(slot, &self.1)
    }

    fn fits(&self, kind: u8) -> bool {
        kind & (has::HASH | has::NEAR_BLANK) == has::HASH
    }
}

/// By colours.
pub(super) struct ColourScan<'a>(pub(super) &'a Index, pub(super) colours::Colours);

impl Scan for ColourScan<'_> {
    fn block(&self, index: usize, _: u32, out: &mut [u16; ROWS]) -> bool {
        self.0.colours.differences(index, &self.1, out);
        true
    }

    fn row(&self, slot: u32) -> u32 {
        self.0.colours.get(slot).difference(&self.1)
    }

    fn fits(&self, kind: u8) -> bool {
        kind & has::COLOURS != 0
    }
}
