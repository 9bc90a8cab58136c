//! What a session holds of the process's memory, and giving it back.

/// Resident memory of this process in bytes; 0 where /proc does not say.
pub(super) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Gives freed memory back to the system when dropped. Being the last field of a session it does so
/// after the graph is gone; without it glibc keeps tens to hundreds of MB for itself.
#[derive(Debug)]
pub(super) struct Trim;

impl Drop for Trim {
    fn drop(&mut self) {
        #[cfg(target_env = "gnu")]
        // SAFETY: malloc_trim takes no pointer and may be called from any thread at any time.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
