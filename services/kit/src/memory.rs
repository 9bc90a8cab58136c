//! Where the memory of a process goes, and giving back what it does not need.

use std::{
    fmt, fs, io,
    sync::{Arc, Mutex, PoisonError},
};

/// Resident memory in bytes, as the kernel counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resident {
    /// All of it.
    pub rss: u64,
    /// Private memory: heap and stacks.
    pub anonymous: u64,
    /// Pages of mapped files.
    pub file: u64,
    /// Shared memory.
    pub shared: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Resident {
    /// Of this process.
    ///
    /// # Errors
    /// If the kernel does not show it.
    pub fn read() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Of a process of this machine.
    ///
    /// # Errors
    /// If there is none, or the kernel does not show it.
    pub fn of(pid: u32) -> io::Result<Self> {
        fs::read_to_string(format!("/proc/{pid}/status")).map(|text| Self::parse(&text))
    }

    fn parse(status: &str) -> Self {
        let mut resident = Self::default();
        for line in status.lines() {
            let Some((key, value)) = line.split_once(':') else {
                continue;
            };
            let field = match key {
                "VmRSS" => &mut resident.rss,
                "RssAnon" => &mut resident.anonymous,
                "RssFile" => &mut resident.file,
                "RssShmem" => &mut resident.shared,
                "VmHWM" => &mut resident.peak,
                _ => continue,
            };
            let kib = value.trim().trim_end_matches(" kB").parse::<u64>();
            *field = kib.unwrap_or(0) * 1024;
        }
        resident
    }
}

/// Heaps that the allocator of a process may have. glibc allows eight for each processor, and a thread
/// that finds its heap locked makes another, which keeps what that thread once needed: an idle
/// watcher was 2 MiB larger by it. Two are enough for programs whose threads seldom allocate at once.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// Lets all threads share [`ARENAS`] heaps. Only threads that start later obey.
pub(crate) fn share_heaps() {
    // An operator who sets it himself knows better.
    #[cfg(target_env = "gnu")]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        // SAFETY: mallopt takes no pointer; it is called before the process has a second thread.
        // It can only fail for a parameter that glibc does not know; then all is as it was.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        }
    }
}

/// Gives what the allocator holds but nobody uses back to the system. Costs milliseconds, so it is
/// for the end of a busy time; without it glibc keeps tens of MB of every thread's past.
pub fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer and may be called from any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

type Count = Box<dyn Fn() -> u64 + Send + Sync>;

/// The parts of the process that say how much they hold.
#[derive(Clone, Default)]
pub struct Parts {
    parts: Arc<Mutex<Vec<(&'static str, Count)>>>,
}

impl Parts {
    /// Adds a part; `count` gives its bytes whenever somebody asks, and must not block.
    pub fn add(&self, name: &'static str, count: impl Fn() -> u64 + Send + Sync + 'static) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.push((name, Box::new(count)));
    }

    /// All parts and their bytes now.
    #[must_use]
    pub fn read(&self) -> Vec<(&'static str, u64)> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(name, count)| (*name, count())).collect()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.read()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_text_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\nRssAnon:\t 60 kB\nRssFile:\t 40 kB\nRssShmem:\t 0 kB\n";
        let resident = Resident::parse(status);
        assert_eq!((resident.rss, resident.anonymous), (102_400, 61_440));
        assert_eq!(
            (resident.file, resident.shared, resident.peak),
            (40_960, 0, 204_800)
        );
    }

    #[test]
    fn this_process_has_memory() {
        let resident = Resident::read().expect("the kernel shows it");
        assert!(resident.rss > 0 && resident.peak >= resident.rss / 2);
    }
}
