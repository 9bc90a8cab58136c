//! The only way to start a task: named, in its span, and joined at shutdown.

use std::{io, thread};

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Keeps count of what runs in the background.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task. It should end by itself when the shutdown begins; it is waited for then.
    pub fn spawn<F>(&self, name: &'static str, work: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker
            .spawn(work.instrument(tracing::info_span!("task", name)))
    }

    /// Runs something that blocks on a thread of the blocking pool, and waits for it at shutdown.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.tracker.spawn_blocking(work)
    }

    /// Starts a named thread for something that blocks for as long as the process lives. It is not
    /// waited for: its owner ends it by closing what it reads from.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn spawn_thread<F>(name: &str, work: F) -> io::Result<thread::JoinHandle<()>>
    where
        F: FnOnce() + Send + 'static,
    {
        thread::Builder::new()
            .name(name.to_owned())
            .stack_size(1 << 20)
            .spawn(work)
    }

    /// How many run now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Waits until all have ended. No new ones should be started after this is called.
    pub async fn joined(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
