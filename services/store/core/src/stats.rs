//! Figures about the store: how much there is, how big it is, what is wanted.

use rusqlite::params;

use crate::capacity::{Capacity, Demand, Work};
use crate::model::ModelKind;
use crate::store::Store;
use crate::task::TaskCounts;
use crate::{Error, ModelId, Now, index};

/// Counts and sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Posts outside the trash.
    pub posts: u64,
    /// Posts in the trash.
    pub posts_trashed: u64,
    /// Tags in the table.
    pub tags: u64,
    /// Pairs of post and effective tag.
    pub associations: u64,
    /// Locations present.
    pub locations_present: u64,
    /// Locations missing.
    pub locations_missing: u64,
    /// Tasks by model.
    pub tasks: Vec<(ModelId, TaskCounts)>,
    /// Files that could not become posts.
    pub ingest_failures: u64,
    /// Results of tagging models stored.
    pub predictions: u64,
    /// Vectors stored, of all models.
    pub embeddings: u64,
    /// Tags added or removed, and ratings set, by people.
    pub edits: u64,
    /// Source records.
    pub source_records: u64,
    /// Contents that are rejected.
    pub rejected: u64,
    /// Size of the database file, bytes.
    pub database_bytes: u64,
    /// Size of its write-ahead log, bytes.
    pub wal_bytes: u64,
    /// Memory by part, bytes.
    pub memory: Memory,
    /// Posts that some active model's backfill has yet to look at, at most.
    pub backfill_left: u64,
    /// Posts outside the trash that have a result of the active model that is furthest behind, so
    /// at least as many as have one of every active model; 0 if no model is active.
    pub posts_done: u64,
}

/// What is held in memory, by part, in bytes, without the allocator's own overhead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The search index.
    pub index: index::Memory,
    /// Names of tags.
    pub tag_names: usize,
    /// Labels of models.
    pub labels: usize,
    /// SQLite's own, page cache included.
    pub sqlite: usize,
}

impl Store {
    /// Counts and sizes. Takes milliseconds in big libraries: for a status page.
    pub fn stats(&self) -> Result<Stats, Error> {
        let memory = self.memory();
        let models = self.models()?;
        let mut tasks = Vec::with_capacity(models.len());
        let (mut predictions, mut embeddings, mut backfill_left) = (0, 0, 0);
        let mut least_done = None::<u64>;
        for model in models.iter() {
            tasks.push((model.id, self.task_counts(model.id)?));
            let progress = self.progress(model.id)?;
            match model.kind {
                ModelKind::Tag => predictions += progress.done,
                ModelKind::Embed => embeddings += progress.done,
            }
            backfill_left += progress.backfill_left;
            if model.active {
                least_done =
                    Some(least_done.map_or(progress.done_live, |d| d.min(progress.done_live)));
            }
        }
        let roots = self.roots()?;
        let (database_bytes, wal_bytes) = self.file_sizes();
        Ok(Stats {
            posts: memory.index.live,
            posts_trashed: memory.index.trashed,
            tags: self.tags.len() as u64,
            associations: memory.index.associations,
            locations_present: roots.iter().map(|root| root.present).sum(),
            locations_missing: roots.iter().map(|root| root.missing).sum(),
            tasks,
            ingest_failures: self.count_ingest_failures()?,
            predictions,
            embeddings,
            edits: self.count_facts("edit")?,
            source_records: self.count_facts("source_record")?,
            rejected: self.count_facts("rejected")?,
            database_bytes,
            wal_bytes,
            memory,
            backfill_left,
            posts_done: least_done.unwrap_or(0),
        })
    }

    fn count_facts(&self, fact: &str) -> Result<u64, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT n FROM fact_count WHERE fact = ?1")?;
        let count: i64 = select.query_row(params![fact], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }

    /// Memory by part.
    pub fn memory(&self) -> Memory {
        Memory {
            index: self.index.memory(),
            tag_names: self.tags.memory(),
            labels: self.models.borrow().memory(),
            sqlite: sqlite_memory(),
        }
    }

    /// How much inference is wanted, by model: the one figure for starting and stopping nodes.
    pub fn demand(&self, now: Now) -> Result<Vec<Demand>, Error> {
        let models = self.models()?;
        let mut work = Vec::with_capacity(models.len());
        for model in models.iter().filter(|model| model.active) {
            let counts = self.leases.counts(model.id);
            work.push(Work {
                kind: model.kind,
                model: model.id,
                leasable: counts.leasable + counts.backed_off,
                leased: counts.leased,
                parked: counts.parked,
                backfill_left: self.progress(model.id)?.backfill_left,
            });
        }
        Ok(self.capacity.demand(&work, now.mono_ms))
    }

    /// A person, told apart by any number, wants nodes of a kind. Counts for ten minutes.
    pub fn request_capacity(&mut self, kind: ModelKind, caller: u64, now: Now) {
        self.capacity.request(kind, caller, now.mono_ms);
    }

    /// Who asked for capacity, for those who wait for demand to change by time alone.
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }
}

fn sqlite_memory() -> usize {
    // SAFETY: the function takes no argument, reads a counter of its library and may be called at
    // any time after the library is initialised, which opening the connection did.
    let bytes = unsafe { rusqlite::ffi::sqlite3_memory_used() };
    usize::try_from(bytes).unwrap_or(0)
}
