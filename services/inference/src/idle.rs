//! Giving memory back when there is nothing to do.

/// Gives what the allocator holds but nobody uses back to the system. Costs milliseconds, so it is
/// for the end of a busy time; without it glibc keeps tens of MB of every thread's past.
pub(crate) fn release_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer and may be called from any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
