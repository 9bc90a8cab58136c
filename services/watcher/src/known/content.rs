//! Contents in the known table: what was rendered from each, with the checksums that tell a whole
//! file from a damaged one.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Error, Known, Sha256};

/// Size and checksum of a file that we rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenditionCheck {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: Sha256,
}

/// What was rendered from a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    /// Media type of the original.
    pub media_type: String,
    /// Render revision of both renditions.
    pub revision: u32,
    /// The sample; `None` if it was evicted.
    pub sample: Option<RenditionCheck>,
    /// The preview.
    pub preview: Option<RenditionCheck>,
}

impl Known {
    /// What was rendered from a content; `None` if nothing is known of it.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn checks(&mut self, sha256: &Sha256) -> Result<Option<Checks>, Error> {
        self.run(|db| {
            db.prepare_cached(
                "SELECT media_type, revision, sample_bytes, sample_sha256, preview_bytes,
                        preview_sha256
                 FROM content WHERE sha256 = ?1",
            )?
            .query_row([sha256], |row| {
                Ok(Checks {
                    media_type: row.get(0)?,
                    revision: row.get(1)?,
                    sample: check(row, 2)?,
                    preview: check(row, 4)?,
                })
            })
            .optional()
        })
    }

    /// Remembers what was rendered from a content. The answer is how many bytes more than before
    /// its sample takes.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn set_checks(&mut self, sha256: &Sha256, checks: &Checks) -> Result<i64, Error> {
        self.run(|db| put(db, sha256, checks))
    }

    /// Bytes of all samples on disk.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn sample_bytes(&mut self) -> Result<u64, Error> {
        self.run(|db| {
            db.query_row(
                "SELECT coalesce(sum(sample_bytes), 0) FROM content WHERE sample_bytes > 0",
                [],
                |row| row.get::<_, i64>(0),
            )
        })
        .map(i64::cast_unsigned)
    }

    /// The contents that have been known longest and have a sample: its render revision and size.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn oldest_samples(&mut self, limit: u32) -> Result<Vec<(Sha256, u32, u64)>, Error> {
        self.run(|db| {
            let mut query = db.prepare_cached(
                "SELECT sha256, revision, sample_bytes FROM content WHERE sample_bytes > 0
                 ORDER BY id LIMIT ?1",
            )?;
            let rows = query.query_map([limit], |row| {
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    row.get::<_, i64>(2)?.cast_unsigned(),
                ))
            })?;
            rows.collect()
        })
    }

    /// Remembers that samples were evicted.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn evicted(&mut self, contents: &[Sha256]) -> Result<(), Error> {
        self.run(|db| {
            for sha256 in contents {
                db.prepare_cached("UPDATE content SET sample_bytes = 0 WHERE sha256 = ?1")?
                    .execute([sha256])?;
            }
            Ok(())
        })
    }

    /// Whether the store has, at some place, this content.
    ///
    /// # Errors
    /// If the table cannot be used.
    pub fn is_held(&mut self, sha256: &Sha256) -> Result<bool, Error> {
        self.run(|db| {
            db.prepare_cached(
                "SELECT 1 FROM content JOIN file ON file.content = content.id
                 WHERE content.sha256 = ?1 LIMIT 1",
            )?
            .exists([sha256])
        })
    }
}

/// Writes what was rendered from a content; gives how many bytes more its sample takes.
pub(super) fn put(db: &Transaction<'_>, sha256: &Sha256, checks: &Checks) -> rusqlite::Result<i64> {
    let id = content(db, sha256)?;
    let before: i64 = db
        .prepare_cached("SELECT sample_bytes FROM content WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    let (sample_bytes, sample_sum) = columns(checks.sample);
    let (preview_bytes, preview_sum) = columns(checks.preview);
    db.prepare_cached(
        "UPDATE content SET media_type = ?2, revision = ?3, sample_bytes = ?4,
         sample_sha256 = ?5, preview_bytes = ?6, preview_sha256 = ?7 WHERE id = ?1",
    )?
    .execute(params![
        id,
        checks.media_type,
        checks.revision,
        sample_bytes,
        sample_sum,
        preview_bytes,
        preview_sum
    ])?;
    Ok(sample_bytes - before)
}

/// The number of a content, added if it is new.
pub(super) fn content(db: &Transaction<'_>, sha256: &Sha256) -> rusqlite::Result<i64> {
    let found = db
        .prepare_cached("SELECT id FROM content WHERE sha256 = ?1")?
        .query_row([sha256], |row| row.get(0))
        .optional()?;
    match found {
        Some(id) => Ok(id),
        None => {
            db.prepare_cached("INSERT INTO content (sha256) VALUES (?1)")?
                .execute([sha256])?;
            Ok(db.last_insert_rowid())
        }
    }
}

fn check(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Option<RenditionCheck>> {
    let bytes = row.get::<_, i64>(first)?.cast_unsigned();
    if bytes == 0 {
        return Ok(None);
    }
    let sha256 = row.get(first + 1)?;
    Ok(Some(RenditionCheck { bytes, sha256 }))
}

fn columns(check: Option<RenditionCheck>) -> (i64, Vec<u8>) {
    check.map_or((0, Vec::new()), |check| {
        (check.bytes.cast_signed(), check.sha256.to_vec())
    })
}
