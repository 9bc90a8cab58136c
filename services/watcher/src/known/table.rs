//! The way to the known table: it lives on a thread of its own, and both tasks and blocking threads
//! ask it.

use std::{path::PathBuf, time::Duration};

use kit::{Condition, Shutdown, worker::Worker};
use tokio::runtime::Handle;

use super::{Error, Found, Known};

/// Questions that may wait for the table.
const QUEUE: usize = 64;
/// How long to wait before writing to a full disk again.
const PAUSE: Duration = Duration::from_secs(1);

/// A handle on the known table.
#[derive(Debug, Clone)]
pub struct Table {
    worker: Worker<Known>,
    runtime: Handle,
    disk: Condition,
    shutdown: Shutdown,
}

impl Table {
    /// Opens the table in `folder` on its thread. `disk` shows when there is no room to write it;
    /// whoever asks waits then, until there is or the shutdown begins.
    ///
    /// # Errors
    /// What [`Known::open`] answers.
    pub async fn open(
        folder: PathBuf,
        disk: Condition,
        shutdown: Shutdown,
    ) -> Result<(Self, Found), crate::Error> {
        let (say, found) = std::sync::mpsc::sync_channel(1);
        let worker = Worker::spawn("known", QUEUE, move || {
            let (known, found) = Known::open(&folder)?;
            // The receiver waits below for as long as this runs.
            let _ = say.send(found);
            Ok::<_, Error>(known)
        })
        .await?;
        let found = found.try_recv().unwrap_or(Found::Kept);
        disk.ready();
        let table = Self {
            worker,
            runtime: Handle::current(),
            disk,
            shutdown,
        };
        Ok((table, found))
    }

    /// Asks from a task. A question that finds the disk full has changed nothing, and is asked
    /// again: others, which only read, are answered meanwhile.
    ///
    /// # Errors
    /// What the question answers, that the thread has ended, or that the shutdown has begun while
    /// the disk was full.
    pub async fn ask<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Known) -> Result<R, Error> + Clone + Send + 'static,
    ) -> Result<R, crate::Error> {
        let mut waited = false;
        loop {
            match self.worker.call_when_free(question.clone()).await? {
                Err(error) if error.is_disk_full() => {
                    waited = true;
                    if self.disk.waiting(error.to_string()) {
                        tracing::error!("{error}; waiting");
                    }
                    let pause = tokio::time::sleep(PAUSE);
                    if self.shutdown.or(pause).await.is_none() {
                        return Err(crate::Error::StoppedUnwritten(error));
                    }
                }
                answer => {
                    if waited {
                        self.disk.ready();
                    }
                    return Ok(answer?);
                }
            }
        }
    }

    /// Asks from a thread that may block, never from a task.
    ///
    /// # Errors
    /// As [`Table::ask`].
    pub fn ask_blocking<R: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Known) -> Result<R, Error> + Clone + Send + 'static,
    ) -> Result<R, crate::Error> {
        self.runtime.block_on(self.ask(question))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_makes_writers_wait_and_nobody_fail() {
        let folder = tempfile::tempdir().expect("a folder");
        let health = kit::Health::new();
        let (table, _) = Table::open(
            folder.path().to_owned(),
            health.condition("known"),
            Shutdown::new(),
        )
        .await
        .expect("opens");
        let pages = |most: u32| {
            move |known: &mut Known| {
                let limit = known
                    .db
                    .pragma_update_and_check(None, "max_page_count", most, |row| {
                        row.get::<_, i64>(0)
                    });
                limit.map_err(|source| known.fault(source))
            }
        };
        table.ask(pages(1)).await.expect("leaves no room");
        let long = vec![b'a'; 100_000];
        let writing = table.ask(move |known| known.root(&long));
        let reading = async {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
            while health.reasons().is_empty() {
                assert!(tokio::time::Instant::now() < deadline, "nobody waits");
                table.ask(Known::watched_roots).await.expect("reads");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            table.ask(pages(1_000_000)).await.expect("makes room");
        };
        let (written, ()) = tokio::join!(writing, reading);
        written.expect("writes when there is room");
        assert_eq!(health.reasons(), Vec::<String>::new());
    }
}
