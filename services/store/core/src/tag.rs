//! Tags: a name and a category each, and the table of all names in memory.

use std::cmp::Ordering;

use rusqlite::params;

use crate::store::{Store, Write};
use crate::{Error, error::at_most};

/// Number of a tag, from 1, never reused.
pub type TagId = u32;

/// Longest tag name, bytes.
pub const MAX_TAG_BYTES: usize = 200;
/// Most names in one call of [`Write::create_tags`].
pub const MAX_NEW_TAGS: usize = 2_000;

/// What a tag names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Category {
    /// Anything visible.
    General = 0,
    /// A character.
    Character = 1,
    /// A series or franchise.
    Copyright = 2,
    /// Who drew it.
    Artist = 3,
    /// A species.
    Species = 4,
    /// About the file, not the picture.
    Meta = 5,
}

impl Category {
    /// All categories in the order of their codes.
    pub const ALL: [Self; 6] = [
        Self::General,
        Self::Character,
        Self::Copyright,
        Self::Artist,
        Self::Species,
        Self::Meta,
    ];

    /// The number kept on disk, 0 to 5.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The category with this number; `None` for any other number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The lower-case name, as people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Character => "character",
            Self::Copyright => "copyright",
            Self::Artist => "artist",
            Self::Species => "species",
            Self::Meta => "meta",
        }
    }

    /// Reads a full name, whatever its ASCII case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|category| name.eq_ignore_ascii_case(category.as_str()))
    }
}

/// A tag as the table holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// Its number.
    pub id: TagId,
    /// Its name.
    pub name: &'a str,
    /// Its category.
    pub category: Category,
}

/// The one form of a name, whether it is stored or searched for: lower case, white space as `_`,
/// none at the ends.
pub fn normal_form(name: &str) -> String {
    name.split_whitespace()
        .collect::<Vec<_>>()
        .join("_")
        .to_lowercase()
}

/// Brings a name to its one form, see [`normal_form`]. Refuses what is empty, longer than [`MAX_TAG_BYTES`] or has control characters.
pub fn normalize(name: &str) -> Result<String, Error> {
    let normal = normal_form(name);
    if normal.is_empty() {
        return Err(Error::invalid("tag name", name, "it must not be empty"));
    }
    if normal.len() > MAX_TAG_BYTES {
        return Err(Error::invalid("tag name", name, "at most 200 bytes"));
    }
    if normal.chars().any(char::is_control) {
        return Err(Error::invalid("tag name", name, "no control characters"));
    }
    Ok(normal)
}

/// All tags in memory. One costs its name and 13 bytes: where the name ends (4), its category (1),
/// its number (4) and its place in the order of names (4).
#[derive(Debug, Default)]
pub struct TagTable {
    names: String,
    /// By place of arrival: where its name ends in `names`.
    ends: Vec<u32>,
    categories: Vec<Category>,
    /// By place of arrival, strictly ascending.
    ids: Vec<TagId>,
    /// Places of arrival in the order of names.
    order: Vec<u32>,
}

impl TagTable {
    /// Number of tags.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The tag with a number.
    pub fn get(&self, id: TagId) -> Option<Tag<'_>> {
        let place = self.ids.binary_search(&id).ok()?;
        Some(self.at(place))
    }

    /// The tag with a name, which must be in normal form.
    pub fn find(&self, name: &str) -> Option<Tag<'_>> {
        let rank = self.rank(name).ok()?;
        Some(self.at(self.order[rank] as usize))
    }

    /// All tags whose names start with `prefix`, in the order of names.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Tag<'a>> {
        let first = self.rank(prefix).unwrap_or_else(|rank| rank);
        self.order[first..]
            .iter()
            .map(|&place| self.at(place as usize))
            .take_while(move |tag| tag.name.starts_with(prefix))
    }

    /// Bytes held in memory.
    pub fn memory(&self) -> usize {
        self.names.capacity()
            + 4 * (self.ends.capacity() + self.ids.capacity() + self.order.capacity())
            + self.categories.capacity()
    }

    fn at(&self, place: usize) -> Tag<'_> {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        Tag {
            id: self.ids[place],
            name: &self.names[start as usize..self.ends[place] as usize],
            category: self.categories[place],
        }
    }

    fn rank(&self, name: &str) -> Result<usize, usize> {
        self.order
            .binary_search_by(|&place| self.at(place as usize).name.cmp(name))
    }

    /// Adds tags whose numbers ascend beyond all present ones and whose names are new.
    pub(crate) fn extend<'a>(&mut self, tags: impl IntoIterator<Item = Tag<'a>>) {
        let first = self.len() as u32;
        for tag in tags {
            self.names.push_str(tag.name);
            self.ends.push(self.names.len() as u32);
            self.categories.push(tag.category);
            self.ids.push(tag.id);
        }
        let mut fresh: Vec<u32> = (first..self.len() as u32).collect();
        fresh.sort_unstable_by(|&a, &b| self.compare(a, b));
        self.merge(&fresh);
    }

    /// Forgets all but the first `len` tags to have arrived.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        self.ids.truncate(len);
        self.categories.truncate(len);
        self.ends.truncate(len);
        self.names
            .truncate(self.ends.last().map_or(0, |&end| end as usize));
        self.order.retain(|&place| (place as usize) < len);
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        self.at(a as usize).name.cmp(self.at(b as usize).name)
    }

    /// Merges sorted places into the order from the back, comparing only the new ones.
    fn merge(&mut self, fresh: &[u32]) {
        let mut end = self.order.len();
        self.order.resize(end + fresh.len(), 0);
        for (before, &place) in fresh.iter().enumerate().rev() {
            let at = self.order[..end].partition_point(|&p| self.compare(p, place).is_lt());
            self.order.copy_within(at..end, at + before + 1);
            self.order[at + before] = place;
            end = at;
        }
    }
}

impl Store {
    /// The table of all tags.
    pub fn tags(&self) -> &TagTable {
        &self.tags
    }

    pub(crate) fn load_tags(&mut self) -> Result<(), Error> {
        const SLICE: u32 = 5_000;
        loop {
            let after = self.tags.ids.last().copied().unwrap_or(0);
            let rows = {
                let mut select = self.conn.prepare_cached(
                    "SELECT id, name, category FROM tag WHERE id > ?1 ORDER BY id LIMIT ?2",
                )?;
                let rows = select.query_map(params![after, SLICE], |row| {
                    Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, u8>(2)?))
                })?;
                rows.collect::<Result<Vec<(TagId, String, u8)>, _>>()?
            };
            let mut tags = Vec::with_capacity(rows.len());
            for (id, name, code) in &rows {
                let category = Category::from_code(*code)
                    .ok_or_else(|| Error::corrupt(format!("tag {id} has category {code}")))?;
                tags.push(Tag {
                    id: *id,
                    name,
                    category,
                });
            }
            let last = rows.len() < SLICE as usize;
            self.tags.extend(tags);
            if last {
                return Ok(());
            }
        }
    }
}

impl Write<'_> {
    /// Makes every named tag exist; a tag that does keeps its category, whatever is asked. At most
    /// [`MAX_NEW_TAGS`] a call. Names must be in normal form.
    pub fn create_tags(&mut self, wanted: &[(&str, Category)]) -> Result<(), Error> {
        at_most("tags", wanted.len(), MAX_NEW_TAGS)?;
        let mut fresh: Vec<(&str, Category)> = wanted
            .iter()
            .copied()
            .filter(|(name, _)| self.store.tags.find(name).is_none())
            .collect();
        fresh.sort_by_key(|&(name, _)| name);
        fresh.dedup_by_key(|&mut (name, _)| name);
        let mut tags = Vec::with_capacity(fresh.len());
        {
            let mut insert = self
                .store
                .conn
                .prepare_cached("INSERT INTO tag (name, category) VALUES (?1, ?2)")?;
            for (name, category) in fresh {
                let id = insert.insert(params![name, category.code()])?;
                let id = TagId::try_from(id).map_err(|_| Error::Exhausted {
                    noun: "tag",
                    limit: u64::from(TagId::MAX),
                })?;
                tags.push(Tag { id, name, category });
            }
        }
        self.store.tags.extend(tags);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
