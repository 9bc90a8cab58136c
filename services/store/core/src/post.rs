//! Posts: one distinct file content each. Registering them, and reading them.

use rusqlite::{OptionalExtension, Row, params};

use crate::error::at_most;
use crate::index::Standing;
use crate::location::{Found, Held};
use crate::packed::unpack_ascending;
use crate::store::{Store, Write};
use crate::{Error, Now, PostId, Rating, TagId};

/// Most posts in one call of [`Write::register_posts`].
pub const MAX_REGISTER: usize = 500;
/// Posts that one request should register, so that it holds the connection for some milliseconds:
/// a call may be carried out in slices, for registering is idempotent.
pub const REGISTER_SLICE: usize = 100;
/// Longest media type and traceparent, bytes.
const MAX_WORD: usize = 100;
/// Detail of a content that was not measured.
pub const NOT_MEASURED: u16 = u16::MAX;
/// Detail of the most lively content.
const MAX_DETAIL: u16 = 12_750;
/// Longest colour layout, bytes.
const MAX_COLOURS: usize = 200;

/// The re-encoding that models see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Version of the rendering code that made it.
    pub render_revision: u32,
    /// Length, bytes.
    pub byte_size: u32,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
}

/// What the renderer found out about a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// SHA-256 of the original bytes: the identity.
    pub sha256: [u8; 32],
    /// MD5 of the original bytes.
    pub md5: [u8; 16],
    /// Media type by content, such as `image/jpeg`.
    pub media_type: String,
    /// Size of the original, bytes; above 0.
    pub byte_size: u64,
    /// Width after orientation, pixels, 1 to 65,535.
    pub width: u32,
    /// Height after orientation, pixels, 1 to 65,535.
    pub height: u32,
    /// Frames, at least 1.
    pub frames: u32,
    /// Whether it has transparency.
    pub has_alpha: bool,
    /// Whether the file ended early.
    pub partial: bool,
    /// 256-bit DCT perceptual hash.
    pub perceptual_hash: [u8; 32],
    /// Compact colour layout, as the renderer writes it; at most 200 bytes.
    pub colours: String,
    /// The sample made of it.
    pub sample: Sample,
    /// How much there was to hash: standard deviation of the brightness in hundredths of a grey
    /// level, up to 12,750, or [`NOT_MEASURED`].
    pub detail: u16,
}

/// A picture to register: its content and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPost {
    /// What it is.
    pub content: Content,
    /// Where it lies.
    pub location: Found,
    /// W3C trace context of the file event; may be empty.
    pub traceparent: String,
}

/// What became of a registered picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It is a post.
    Post {
        /// Its number.
        id: PostId,
        /// Whether the content was new.
        created: bool,
    },
    /// Its content is rejected; its place is known.
    Rejected,
}

/// A post as it is read. About 340 bytes on disk with its indexes, besides 1 to 3 for each tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Its number.
    pub id: PostId,
    /// What it is.
    pub content: Content,
    /// When it was registered, unix milliseconds.
    pub created_ms: i64,
    /// Position of its last change in the feed.
    pub changed_seq: u64,
    /// Effective rating.
    pub rating: Option<Rating>,
    /// Effective tags, ascending by number.
    pub tags: Vec<TagId>,
    /// When it was put into the trash, unix milliseconds, if it is there.
    pub trashed_ms: Option<i64>,
}

impl Post {
    /// Whether it is in the trash.
    pub(crate) fn standing(&self) -> Standing {
        match self.trashed_ms {
            Some(_) => Standing::Trashed,
            None => Standing::Live,
        }
    }
}

const COLUMNS: &str = "id, sha256, md5, media_type, byte_size, width, height, frames, has_alpha, \
     partial, perceptual_hash, colours, render_revision, sample_size, sample_sha256, \
     sample_width, sample_height, created_ms, changed_seq, rating, tags, detail, trashed_ms";

fn read(row: &Row<'_>) -> Result<Post, Error> {
    let id = row.get(0)?;
    let rating: Option<u8> = row.get(19)?;
    let packed: Vec<u8> = row.get(20)?;
    let damaged = || Error::corrupt(format!("post {id} has unreadable tags or rating"));
    Ok(Post {
        id,
        content: Content {
            sha256: row.get(1)?,
            md5: row.get(2)?,
            media_type: row.get(3)?,
            byte_size: row.get::<_, i64>(4)?.cast_unsigned(),
            width: row.get(5)?,
            height: row.get(6)?,
            frames: row.get(7)?,
            has_alpha: row.get(8)?,
            partial: row.get(9)?,
            perceptual_hash: row.get(10)?,
            colours: row.get(11)?,
            sample: Sample {
                render_revision: row.get(12)?,
                byte_size: row.get(13)?,
                sha256: row.get(14)?,
                width: row.get(15)?,
                height: row.get(16)?,
            },
            detail: row.get(21)?,
        },
        created_ms: row.get(17)?,
        changed_seq: row.get::<_, i64>(18)?.cast_unsigned(),
        rating: match rating {
            Some(code) => Some(Rating::from_code(code).ok_or_else(damaged)?),
            None => None,
        },
        tags: unpack_ascending(&packed).ok_or_else(damaged)?,
        trashed_ms: row.get(22)?,
    })
}

impl Store {
    /// Reads a post.
    pub fn post(&self, id: PostId) -> Result<Option<Post>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM post WHERE id = ?1");
        let mut select = self.conn.prepare_cached(&sql)?;
        select.query_and_then(params![id], read)?.next().transpose()
    }

    /// Reads a post that must exist.
    pub(crate) fn existing(&self, id: PostId) -> Result<Post, Error> {
        self.post(id)?
            .ok_or_else(|| Error::not_found("post", &format!("posts/{id}")))
    }

    /// Reads the posts that exist, in the order asked; those that do not are left out.
    pub fn posts(&self, ids: &[PostId]) -> Result<Vec<Post>, Error> {
        let mut posts = Vec::with_capacity(ids.len());
        for &id in ids {
            posts.extend(self.post(id)?);
        }
        Ok(posts)
    }

    /// The post with a content.
    pub fn post_by_sha256(&self, sha256: &[u8; 32]) -> Result<Option<PostId>, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT id FROM post WHERE sha256 = ?1")?;
        Ok(select
            .query_row(params![sha256], |row| row.get(0))
            .optional()?)
    }

    /// The oldest post with an MD5; contents can be made to share one.
    pub fn post_by_md5(&self, md5: &[u8; 16]) -> Result<Option<PostId>, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT id FROM post WHERE md5 = ?1 ORDER BY id LIMIT 1")?;
        Ok(select
            .query_row(params![md5], |row| row.get(0))
            .optional()?)
    }

    /// The greatest number given out, 0 if none.
    pub fn last_post(&self) -> Result<PostId, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT coalesce(max(id), 0) FROM post")?;
        Ok(select.query_row([], |row| row.get(0))?)
    }
}

impl Write<'_> {
    /// Adds pictures to the catalogue, with their locations and a task for every active model; a
    /// known content only gains the location, and so does a rejected one. Repeating a call changes
    /// nothing. All or none.
    pub fn register_posts(
        &mut self,
        posts: &[NewPost],
        now: Now,
    ) -> Result<Vec<Registered>, Error> {
        at_most("posts", posts.len(), MAX_REGISTER)?;
        posts.iter().try_for_each(check)?;
        let models = self.active_models()?;
        let mut registered = Vec::with_capacity(posts.len());
        let mut created = Vec::new();
        for post in posts {
            let known = self.holding(&post.content.sha256)?;
            let held = match known {
                Some(held) => held,
                None => Held::Post(self.insert_post(&post.content, now)?),
            };
            self.found(held, &post.location, now)?;
            registered.push(match held {
                Held::Post(id) => Registered::Post {
                    id,
                    created: known.is_none(),
                },
                Held::Rejected(_) => Registered::Rejected,
            });
            if let (Held::Post(id), None) = (held, known) {
                created.push((id, post.traceparent.as_str()));
            }
        }
        self.make_tasks(&created, &models, now)?;
        Ok(registered)
    }

    fn insert_post(&mut self, content: &Content, now: Now) -> Result<PostId, Error> {
        let seq = self.next_seq();
        let sample = &content.sample;
        let id = self
            .conn
            .prepare_cached(
                "INSERT INTO post (sha256, md5, media_type, byte_size, width, height, frames, \
                 has_alpha, partial, perceptual_hash, colours, render_revision, sample_size, \
                 sample_sha256, sample_width, sample_height, created_ms, changed_seq, detail) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, \
                 ?17, ?18, ?19)",
            )?
            .insert(params![
                content.sha256,
                content.md5,
                content.media_type,
                content.byte_size.cast_signed(),
                content.width,
                content.height,
                content.frames,
                content.has_alpha,
                content.partial,
                content.perceptual_hash,
                content.colours,
                sample.render_revision,
                sample.byte_size,
                sample.sha256,
                sample.width,
                sample.height,
                now.unix_ms,
                seq.cast_signed(),
                content.detail,
            ])?;
        let id = PostId::try_from(id).map_err(|_| Error::Exhausted {
            noun: "post",
            limit: u64::from(PostId::MAX),
        })?;
        self.readmit(id, &content.sha256)?;
        self.stage_added(id, content);
        Ok(id)
    }
}

fn check(post: &NewPost) -> Result<(), Error> {
    let content = &post.content;
    check_word("media type", &content.media_type, MAX_WORD)?;
    check_word("traceparent", &post.traceparent, MAX_WORD)?;
    check_word("colours", &content.colours, MAX_COLOURS)?;
    if content.byte_size == 0 || i64::try_from(content.byte_size).is_err() {
        return Err(Error::invalid(
            "byte size",
            &content.byte_size,
            "1 to 2^63 - 1",
        ));
    }
    for (what, side) in [
        ("width", content.width),
        ("height", content.height),
        ("sample width", content.sample.width),
        ("sample height", content.sample.height),
    ] {
        if side == 0 || side > 65_535 {
            return Err(Error::invalid(what, &side, "1 to 65535"));
        }
    }
    if content.frames == 0 {
        return Err(Error::invalid("frames", &content.frames, "at least 1"));
    }
    if content.detail > MAX_DETAIL && content.detail != NOT_MEASURED {
        let rule = "0 to 12750, or 65535 if not measured";
        return Err(Error::invalid("detail", &content.detail, rule));
    }
    if content.sample.byte_size == 0 {
        return Err(Error::invalid("sample size", &0, "at least 1"));
    }
    Ok(())
}

fn check_word(what: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    if text.len() > limit {
        return Err(Error::invalid(what, text, "too long"));
    }
    if !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(Error::invalid(what, text, "printable ASCII only"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
