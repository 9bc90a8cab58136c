//! Source records: what boorus, and others, say of posts. Kept verbatim beside what was read from
//! them.
//!
//! On disk about 60 bytes, 1 to 3 for each tag, and the record itself as it was received.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Row, params};

use crate::effective::Claim;
use crate::error::at_most;
use crate::packed::{pack_ascending, unpack_ascending};
use crate::store::{Store, Write};
use crate::tag::{MAX_NEW_TAGS, normalize};
use crate::{Category, Error, Now, PostId, Rating, TagId};

mod source;

pub use source::{MAX_PRIORITY, Source, SourceId};

/// Most records in one call of [`Write::put_source_records`] or
/// [`Write::delete_source_records`].
pub const MAX_RECORDS: usize = 500;
/// Most tags of one record.
pub const MAX_TAGS: usize = 5_000;
/// Most tags of a post that gets a record: with the longest names it still fits into an answer.
pub const MAX_POST_TAGS: usize = 10_000;
/// Longest record as it was received, bytes.
pub const MAX_RAW: usize = 1 << 20;
/// Most records of one post.
pub const MAX_PER_POST: usize = 100;
/// Longest identifier at the source, bytes.
const MAX_EXTERNAL_ID: usize = 200;

/// Bytes of records that may still go in a request: SQLite walks through each page of what it deletes.
#[derive(Debug)]
pub(crate) struct Room(i64);

impl Default for Room {
    fn default() -> Self {
        Self(4 << 20)
    }
}

/// A record to keep, checked and with its names in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    source: String,
    external_id: String,
    tags: Vec<(String, Category)>,
    rating: Option<Rating>,
    raw: Vec<u8>,
    fetched_ms: Option<i64>,
}

/// What a source says of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRecord {
    /// The source, by name.
    pub source: String,
    /// What the source calls the post.
    pub external_id: String,
    /// Tags, ascending by number.
    pub tags: Vec<TagId>,
    /// Rating, if it says one.
    pub rating: Option<Rating>,
    /// When it was received, unix milliseconds.
    pub fetched_ms: i64,
    /// As it was received; empty if it was not asked for.
    pub raw: Vec<u8>,
}

/// Names a record, or all records of a post by one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordKey {
    /// The post.
    pub post: PostId,
    /// The source, by name.
    pub source: String,
    /// What the source calls the post; `None` for all.
    pub external_id: Option<String>,
}

impl NewRecord {
    /// Checks what somebody sent, and brings its names to their normal form. A tag that comes twice
    /// counts once. `fetched_ms` is unix milliseconds; `None` means when it is put.
    ///
    /// # Errors
    /// If anything is not as it must be.
    pub fn new(
        source: String,
        external_id: String,
        tags: Vec<(String, Category)>,
        rating: Option<Rating>,
        raw: Vec<u8>,
        fetched_ms: Option<i64>,
    ) -> Result<Self, Error> {
        source::check_name(&source)?;
        if external_id.len() > MAX_EXTERNAL_ID || external_id.chars().any(char::is_control) {
            let rule = "at most 200 bytes, no control characters";
            return Err(Error::invalid("external id", &external_id, rule));
        }
        if raw.len() > MAX_RAW {
            return Err(Error::invalid(
                "record of bytes",
                &raw.len(),
                "at most 1 MiB",
            ));
        }
        at_most("tags of one record", tags.len(), MAX_TAGS)?;
        let mut tags = tags
            .into_iter()
            .map(|(name, category)| Ok((normalize(&name)?, category)))
            .collect::<Result<Vec<_>, Error>>()?;
        tags.sort_unstable();
        tags.dedup_by(|a, b| a.0 == b.0);
        Ok(Self {
            source,
            external_id,
            tags,
            rating,
            raw,
            fetched_ms,
        })
    }

    /// Its tags: names in normal form, and their categories at the source.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = (&str, Category)> {
        self.tags
            .iter()
            .map(|(name, category)| (&**name, *category))
    }

    /// Bytes of it as it was received.
    pub fn raw_len(&self) -> usize {
        self.raw.len()
    }
}

fn read(row: &Row<'_>) -> Result<SourceRecord, Error> {
    let external_id: String = row.get(1)?;
    let damaged = || Error::corrupt(format!("source record {external_id:?} is unreadable"));
    let tags = unpack_ascending(row.get_ref(2)?.as_blob().unwrap_or_default());
    Ok(SourceRecord {
        source: row.get(0)?,
        tags: tags.ok_or_else(damaged)?,
        rating: rating(row.get(3)?).ok_or_else(damaged)?,
        fetched_ms: row.get(4)?,
        raw: row.get(5)?,
        external_id,
    })
}

/// A rating from its column; `None` if it holds no rating's number.
#[expect(
    clippy::option_option,
    reason = "no rating is not the same as no sense"
)]
fn rating(code: Option<u8>) -> Option<Option<Rating>> {
    match code {
        Some(code) => Rating::from_code(code).map(Some),
        None => Some(None),
    }
}

impl Store {
    /// What sources say of a post, by source and identifier, without the records as received.
    pub fn source_records(&self, post: PostId) -> Result<Vec<SourceRecord>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT s.name, r.external_id, r.tags, r.rating, r.fetched_ms, x'' \
             FROM source_record r JOIN source s ON s.id = r.source WHERE r.post = ?1 \
             ORDER BY s.name, r.external_id",
        )?;
        select.query_and_then(params![post], read)?.collect()
    }

    /// The record of a post behind the first `skipped`, by source and identifier, as it was
    /// received; `None` if there are no more. One at a time, because one may be a mebibyte.
    pub fn source_record(&self, post: PostId, skipped: u32) -> Result<Option<SourceRecord>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT s.name, r.external_id, r.tags, r.rating, r.fetched_ms, r.raw \
             FROM (SELECT r.id, s.name FROM source_record r JOIN source s ON s.id = r.source \
               WHERE r.post = ?1 ORDER BY s.name, r.external_id LIMIT 1 OFFSET ?2) s \
             JOIN source_record r ON r.id = s.id",
        )?;
        let mut rows = select.query_and_then(params![post, skipped], read)?;
        rows.next().transpose()
    }

    /// What sources say of a post, as facts.
    pub(crate) fn claims(&self, post: PostId) -> Result<Vec<Claim>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT r.source, s.priority, r.fetched_ms, r.tags, r.rating \
             FROM source_record r JOIN source s ON s.id = r.source WHERE r.post = ?1",
        )?;
        let rows = select.query_and_then(params![post], |row| {
            let damaged = || Error::corrupt(format!("a source record of post {post}"));
            let tags = unpack_ascending(row.get_ref(3)?.as_blob().unwrap_or_default());
            Ok(Claim {
                source: row.get(0)?,
                priority: row.get(1)?,
                fetched_ms: row.get(2)?,
                tags: tags.ok_or_else(damaged)?,
                rating: rating(row.get(4)?).ok_or_else(damaged)?,
            })
        })?;
        rows.collect()
    }
}

impl Write<'_> {
    /// Keeps records, each in place of the former one of the same post, source and identifier;
    /// makes the sources and tags that lack. Posts of which anything changed move up the feed.
    /// Returns the indexes of those whose post does not exist. Many new tags take time: make them
    /// before, in requests of their own ([`Write::create_tags`]).
    pub fn put_source_records(
        &mut self,
        records: &[(PostId, NewRecord)],
        now: Now,
    ) -> Result<Vec<u32>, Error> {
        at_most("source records", records.len(), MAX_RECORDS)?;
        let mut unmatched = Vec::new();
        let mut touched = BTreeSet::new();
        for (index, (post, record)) in (0u32..).zip(records) {
            if self.post(*post)?.is_none() {
                unmatched.push(index);
            } else if self.put_record(*post, record, now)? {
                touched.insert(*post);
            }
        }
        for post in touched {
            let before = self.existing(post)?;
            let had = before.tags.len();
            let after = self.rederived(before)?;
            if after.tags.len() > had {
                at_most("tags of one post", after.tags.len(), MAX_POST_TAGS)?;
            }
        }
        Ok(unmatched)
    }

    /// Forgets records, until too many bytes went for one request. Returns how many records there
    /// were, and how many of the keys are done; the others come in the next call.
    pub fn delete_source_records(&mut self, keys: &[RecordKey]) -> Result<(u64, usize), Error> {
        at_most("source records", keys.len(), MAX_RECORDS)?;
        let (mut deleted, mut done, mut room) = (0, 0, Room::default());
        let mut touched = BTreeSet::new();
        for key in keys {
            let select = "SELECT id, length(raw) FROM source_record WHERE post = ?1 \
                 AND source = (SELECT id FROM source WHERE name = ?2) \
                 AND (?3 IS NULL OR external_id = ?3)";
            let of_key = params![key.post, key.source, key.external_id];
            let (gone, more) = self.drop_records(select, of_key, &mut room)?;
            if gone > 0 {
                deleted += gone;
                touched.insert(key.post);
            }
            if more {
                break;
            }
            done += 1;
        }
        for post in touched {
            self.rederive(post)?;
        }
        Ok((deleted, done))
    }

    /// Forgets the records that a query names with their bytes, while there is room. Returns how many
    /// went, and whether any are left.
    pub(crate) fn drop_records(
        &mut self,
        select: &str,
        of: impl rusqlite::Params,
        room: &mut Room,
    ) -> Result<(u64, bool), Error> {
        let mut named = self.conn.prepare_cached(select)?;
        let named =
            named.query_map(of, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        let named: Vec<(i64, i64)> = named.collect::<Result<_, _>>()?;
        let mut gone = 0;
        for (id, bytes) in named {
            if room.0 <= 0 {
                return Ok((gone, true));
            }
            self.conn
                .prepare_cached("DELETE FROM source_record WHERE id = ?1")?
                .execute(params![id])?;
            room.0 -= bytes;
            gone += 1;
        }
        Ok((gone, false))
    }

    /// Whether anything changed.
    fn put_record(&mut self, post: PostId, new: &NewRecord, now: Now) -> Result<bool, Error> {
        let source = self.source_named(&new.source)?;
        let tags = pack_ascending(&self.tags_of(new)?);
        let rating = new.rating.map(Rating::code);
        let same: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT fetched_ms FROM source_record WHERE post = ?1 AND source = ?2 \
                 AND external_id = ?3 AND tags = ?4 AND rating IS ?5 AND raw = ?6",
            )?
            .query_row(
                params![post, source, new.external_id, tags, rating, new.raw],
                |row| row.get(0),
            )
            .optional()?;
        if same.is_some_and(|kept| new.fetched_ms.is_none_or(|told| told == kept)) {
            return Ok(false);
        }
        self.conn
            .prepare_cached(
                "INSERT INTO source_record (post, source, external_id, rating, fetched_ms, tags, \
                 raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (post, source, external_id) DO UPDATE SET rating = excluded.rating, \
                 fetched_ms = excluded.fetched_ms, tags = excluded.tags, raw = excluded.raw",
            )?
            .execute(params![
                post,
                source,
                new.external_id,
                rating,
                new.fetched_ms.unwrap_or(now.unix_ms),
                tags,
                new.raw,
            ])?;
        let records: u32 = self
            .conn
            .prepare_cached("SELECT count(*) FROM source_record WHERE post = ?1")?
            .query_row(params![post], |row| row.get(0))?;
        at_most("source records of one post", records as usize, MAX_PER_POST)?;
        Ok(true)
    }

    /// The tags of a record, ascending; makes those that lack.
    fn tags_of(&mut self, record: &NewRecord) -> Result<Vec<TagId>, Error> {
        let named: Vec<(&str, Category)> = record.tags().collect();
        for some in named.chunks(MAX_NEW_TAGS) {
            self.create_tags(some)?;
        }
        let known = named
            .iter()
            .filter_map(|(name, _)| self.tags.find(name))
            .map(|tag| tag.id);
        let mut tags: Vec<TagId> = known.collect();
        tags.sort_unstable();
        Ok(tags)
    }
}

#[cfg(test)]
mod tests;
