//! Sources: who says something of posts, and whose word goes before whose.

use rusqlite::{OptionalExtension, Row, params};

use crate::Error;
use crate::store::{Store, Write};

/// Number of a source, from 1, ascending in the order in which sources became known.
pub type SourceId = u32;

/// Highest priority.
pub const MAX_PRIORITY: u32 = 1_000;
/// Priority of a source that nobody has given another.
const DEFAULT_PRIORITY: u32 = 100;
/// Longest name, bytes.
const MAX_NAME: usize = 100;

/// A booru, or anything else that says something of posts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its number.
    pub id: SourceId,
    /// Its name, such as `danbooru`.
    pub name: String,
    /// 0 to [`MAX_PRIORITY`]; the highest rates first.
    pub priority: u32,
    /// Records of it.
    pub records: u64,
}

fn read(row: &Row<'_>) -> Result<Source, Error> {
    Ok(Source {
        id: row.get(0)?,
        name: row.get(1)?,
        priority: row.get(2)?,
        records: row.get::<_, i64>(3)?.cast_unsigned(),
    })
}

impl Store {
    /// All sources, by descending priority, then by acquaintance.
    pub fn sources_of_records(&self) -> Result<Vec<Source>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT id, name, priority, records FROM source ORDER BY priority DESC, id",
        )?;
        select.query_and_then([], read)?.collect()
    }

    fn source(&self, name: &str) -> Result<Option<Source>, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT id, name, priority, records FROM source WHERE name = ?1")?;
        let mut rows = select.query_and_then(params![name], read)?;
        rows.next().transpose()
    }
}

impl Write<'_> {
    /// Changes the priority of a source. Its posts are derived anew in slices by
    /// [`Write::upkeep`].
    pub fn update_source(&mut self, name: &str, priority: u32) -> Result<Source, Error> {
        if priority > MAX_PRIORITY {
            return Err(Error::invalid("priority", &priority, "0 to 1000"));
        }
        let source = self
            .source(name)?
            .ok_or_else(|| Error::not_found("source", name))?;
        if source.priority == priority {
            return Ok(source);
        }
        self.conn
            .prepare_cached("UPDATE source SET priority = ?2 WHERE id = ?1")?
            .execute(params![source.id, priority])?;
        if source.records > 0 {
            self.derive_all_again()?;
        }
        Ok(Source { priority, ..source })
    }

    /// The source of a name, made if it is new.
    pub(super) fn source_named(&mut self, name: &str) -> Result<SourceId, Error> {
        let known = self
            .conn
            .prepare_cached("SELECT id FROM source WHERE name = ?1")?
            .query_row(params![name], |row| row.get(0))
            .optional()?;
        if let Some(id) = known {
            return Ok(id);
        }
        let id = self
            .conn
            .prepare_cached("INSERT INTO source (name, priority) VALUES (?1, ?2)")?
            .insert(params![name, DEFAULT_PRIORITY])?;
        SourceId::try_from(id).map_err(|_| Error::Exhausted {
            noun: "source",
            limit: u64::from(SourceId::MAX),
        })
    }
}

/// Refuses what cannot be the name of a source.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(fits) {
        let rule = "1 to 100 of lower-case letters, digits, `.`, `_`, `-`";
        return Err(Error::invalid("source", name, rule));
    }
    Ok(())
}
