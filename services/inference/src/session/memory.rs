//! What a session holds of the process's memory, and giving it back.

use kit::memory::Resident;

/// Resident memory of this process in bytes; 0 where /proc does not say.
pub(super) fn resident() -> u64 {
    Resident::read().unwrap_or_default().rss
}

/// Gives freed memory back to the system when dropped. Being the last field of a session it does so
/// after the graph is gone; without it glibc keeps tens to hundreds of MB for itself.
#[derive(Debug)]
pub(super) struct Trim;

impl Drop for Trim {
    fn drop(&mut self) {
        kit::memory::release();
    }
}
