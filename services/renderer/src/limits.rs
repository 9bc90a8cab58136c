//! What one picture may cost.

use std::time::Duration;

/// Bounds for one picture. The defaults admit everything a camera or a scanner makes, and let a
/// hostile file cost no more than [`Limits::memory_bytes`] and [`Limits::time`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, bytes. 256 MiB.
    pub file_bytes: u64,
    /// Longest side as stored, pixels. 32,768.
    pub side: u32,
    /// Most pixels in one frame. 150,000,000.
    pub pixels: u64,
    /// Address space of a child (`RLIMIT_AS`), bytes: program, stack, the file and the decoded
    /// picture together. 640 MiB: 150 Mpx of RGB are 429 MiB, the largest file is 256 MiB, and
    /// the two hardly ever come together; a few at once still fit a small machine.
    pub memory_bytes: u64,
    /// Wall time for one picture, from its first byte sent to its last byte answered, less the
    /// time in which its source had nothing to send; CPU time is bounded by the same figure,
    /// rounded up to whole seconds. 20 s.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 256 << 20,
            side: 32_768,
            pixels: 150_000_000,
            memory_bytes: 640 << 20,
            time: Duration::from_secs(20),
        }
    }
}
