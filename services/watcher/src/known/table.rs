//! The way to the known table: it lives on a thread of its own, and both tasks and blocking threads
//! ask it.

use std::path::PathBuf;

use kit::worker::Worker;
use tokio::runtime::Handle;

use super::{Error, Found, Known};

/// Questions that may wait for the table.
const QUEUE: usize = 64;

/// A handle on the known table.
#[derive(Debug, Clone)]
pub struct Table {
    worker: Worker<Known>,
    runtime: Handle,
}

impl Table {
    /// Opens the table in `folder` on its thread.
    ///
    /// # Errors
    /// What [`Known::open`] answers.
    pub async fn open(folder: PathBuf) -> Result<(Self, Found), crate::Error> {
        let (say, found) = std::sync::mpsc::sync_channel(1);
        let worker = Worker::spawn("known", QUEUE, move || {
            let (known, found) = Known::open(&folder)?;
            // The receiver waits below for as long as this runs.
            let _ = say.send(found);
            Ok::<_, Error>(known)
        })
        .await?;
        let found = found.try_recv().unwrap_or(Found::Kept);
        let runtime = Handle::current();
        Ok((Self { worker, runtime }, found))
    }

    /// Asks from a task.
    ///
    /// # Errors
    /// What the question answers, or that the thread has ended.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Known) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, crate::Error> {
        Ok(self.worker.call_when_free(question).await??)
    }

    /// Asks from a thread that may block, never from a task.
    ///
    /// # Errors
    /// As [`Table::ask`].
    pub fn ask_blocking<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Known) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, crate::Error> {
        self.runtime.block_on(self.ask(question))
    }
}
