//! Keeping the samples within their bound: the oldest go first, and are made again when needed.

use std::sync::Arc;

use kit::Tasks;

use crate::{Error, known::Table, renditions::Renditions};

/// Samples evicted at once.
const PAGE: u32 = 256;

/// How much the samples take, and how much they may.
#[derive(Debug)]
pub(super) struct Cache {
    bytes: u64,
    most: u64,
}

impl Cache {
    /// Sums up what is there.
    pub(super) async fn open(table: &Table, most: u64) -> Result<Self, Error> {
        let bytes = table.ask(crate::known::Known::sample_bytes).await?;
        Ok(Self { bytes, most })
    }

    /// The samples take so many bytes more; evicts as many as are too many.
    pub(super) async fn add(
        &mut self,
        bytes: i64,
        table: &Table,
        renditions: &Arc<Renditions>,
        tasks: &Tasks,
    ) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add_signed(bytes);
        while self.bytes > self.most {
            let oldest = table.ask(|known| known.oldest_samples(PAGE)).await?;
            let mut excess = self.bytes - self.most;
            let mut out = Vec::new();
            for (sha256, revision, bytes) in oldest {
                if excess == 0 {
                    break;
                }
                excess = excess.saturating_sub(bytes);
                self.bytes = self.bytes.saturating_sub(bytes);
                out.push((sha256, revision));
            }
            if out.is_empty() {
                // Nothing is left; the sum was wrong, which a restart mends.
                self.bytes = 0;
                return Ok(());
            }
            let evicted = out.iter().map(|(sha256, _)| *sha256).collect::<Vec<_>>();
            // Forgotten first: a sample that is known but not there would look damaged.
            table.ask(move |known| known.evicted(&evicted)).await?;
            let renditions = renditions.clone();
            let removing = tasks.spawn_blocking(move || {
                for (sha256, revision) in out {
                    if let Err(error) = renditions.remove_sample(&sha256, revision) {
                        tracing::warn!("cannot remove an old sample: {error}");
                    }
                }
            });
            removing.await.map_err(|_| Error::PartEnded("evicting"))?;
        }
        Ok(())
    }
}
