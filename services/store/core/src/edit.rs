//! Edits: what people say of posts. Facts that stand until they are withdrawn, whatever models and
//! boorus say.
//!
//! One state for each pair of post and tag: added, removed, or nothing said. About 40 bytes on disk.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, params};

use crate::effective::Judgement;
use crate::error::at_most;
use crate::post::Post;
use crate::store::{Store, Write};
use crate::tag::normalize;
use crate::{Category, Error, Now, PostId, Rating, TagId};

/// Most posts in one call of [`Write::edit_posts`]: all of them are edited in one request, which
/// is to hold the store for milliseconds.
pub const MAX_POSTS: usize = 100;
/// Most tags in one call of [`Write::edit_posts`].
pub const MAX_TAGS: usize = 1_000;
/// Most tags of one post that people may have said something about.
pub const MAX_EDITS: usize = 2_000;
/// Longest name of an editor, bytes; what is longer is cut.
const MAX_EDITOR: usize = 200;

/// What to change about one post.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PostEdit {
    /// The post, in the trash or not.
    pub post: PostId,
    /// Tags it has.
    pub add: Vec<NewTag>,
    /// Tags it does not have.
    pub remove: Vec<String>,
    /// Tags about which nothing is said any more.
    pub reset: Vec<String>,
    /// What to do about the rating.
    pub rating: RatingChange,
}

/// A tag to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTag {
    /// Name, in any form.
    pub name: String,
    /// Its category if it is new; refused if it is known with another one. `None`: general, or
    /// whatever it is.
    pub category: Option<Category>,
}

/// What to do about the rating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RatingChange {
    /// Leave it.
    #[default]
    Keep,
    /// It is this one.
    Set(Rating),
    /// Nothing is said about it any more.
    Reset,
}

/// What a person said of one tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagEdit {
    /// What.
    pub judgement: Judgement,
    /// Who.
    pub editor: String,
    /// When, unix milliseconds.
    pub edited_ms: i64,
}

/// The rating a person gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatingEdit {
    /// Which.
    pub rating: Rating,
    /// Who.
    pub editor: String,
    /// When, unix milliseconds.
    pub edited_ms: i64,
}

impl Store {
    /// What people said of a post's tags, by tag.
    pub fn tag_edits(&self, post: PostId) -> Result<Vec<TagEdit>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT tag, removed, editor, edited_ms FROM edit WHERE post = ?1 ORDER BY tag",
        )?;
        let edits = select.query_map(params![post], |row| {
            Ok(TagEdit {
                judgement: judgement(row.get(0)?, row.get(1)?),
                editor: row.get(2)?,
                edited_ms: row.get(3)?,
            })
        })?;
        Ok(edits.collect::<Result<_, _>>()?)
    }

    /// The rating that a person gave a post, if one did.
    pub fn rating_edit(&self, post: PostId) -> Result<Option<RatingEdit>, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT rating, editor, edited_ms FROM edit_rating WHERE post = ?1")?;
        let found = select
            .query_row(params![post], |row| {
                Ok((row.get::<_, u8>(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((code, editor, edited_ms)) = found else {
            return Ok(None);
        };
        let rating = Rating::from_code(code)
            .ok_or_else(|| Error::corrupt(format!("the rating edit of post {post} is {code}")))?;
        Ok(Some(RatingEdit {
            rating,
            editor,
            edited_ms,
        }))
    }

    /// What people said of a post's tags, less who and when.
    pub(crate) fn judgements(&self, post: PostId) -> Result<Vec<Judgement>, Error> {
        let mut select = self
            .conn
            .prepare_cached("SELECT tag, removed FROM edit WHERE post = ?1")?;
        let rows =
            select.query_map(params![post], |row| Ok(judgement(row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn tag_named(&self, name: &str) -> Result<TagId, Error> {
        let name = normalize(name)?;
        let tag = self.tags.find(&name).map(|tag| tag.id);
        tag.ok_or_else(|| Error::not_found("tag", &name))
    }
}

fn judgement(tag: TagId, removed: bool) -> Judgement {
    match removed {
        true => Judgement::Removed(tag),
        false => Judgement::Added(tag),
    }
}

impl Write<'_> {
    /// Adds and removes tags and sets ratings: all of it or nothing. A post moves up the feed if
    /// anything of it changed. Returns the posts as they are then, in the order of the edits.
    pub fn edit_posts(
        &mut self,
        edits: &[PostEdit],
        editor: &str,
        now: Now,
    ) -> Result<Vec<Post>, Error> {
        at_most("posts", edits.len(), MAX_POSTS)?;
        let tags = |edit: &PostEdit| edit.add.len() + edit.remove.len() + edit.reset.len();
        at_most("tags", edits.iter().map(tags).sum(), MAX_TAGS)?;
        let mut seen = HashSet::with_capacity(edits.len());
        for edit in edits {
            if !seen.insert(edit.post) {
                let name = format!("posts/{}", edit.post);
                return Err(Error::invalid("post", &name, "each post comes once"));
            }
        }
        let editor = &editor[..editor.floor_char_boundary(MAX_EDITOR)];
        let mut posts = Vec::with_capacity(edits.len());
        for edit in edits {
            let post = self.existing(edit.post)?;
            posts.push(match self.edit_post(edit, editor, now)? {
                true => self.rederived(post)?,
                false => post,
            });
        }
        Ok(posts)
    }

    /// Whether anything changed.
    fn edit_post(&mut self, edit: &PostEdit, editor: &str, now: Now) -> Result<bool, Error> {
        let mut named = HashSet::new();
        let mut once = |tag: TagId, name: &str| match named.insert(tag) {
            true => Ok(()),
            false => Err(Error::invalid("tag", name, "each tag of a post comes once")),
        };
        let mut changed = false;
        for new in &edit.add {
            let tag = self.tag_to_add(new)?;
            once(tag, &new.name)?;
            changed |= self.judge(edit.post, Judgement::Added(tag), editor, now)?;
        }
        for name in &edit.remove {
            let tag = self.tag_named(name)?;
            once(tag, name)?;
            changed |= self.judge(edit.post, Judgement::Removed(tag), editor, now)?;
        }
        for name in &edit.reset {
            let tag = self.tag_named(name)?;
            once(tag, name)?;
            changed |= self
                .conn
                .prepare_cached("DELETE FROM edit WHERE post = ?1 AND tag = ?2")?
                .execute(params![edit.post, tag])?
                > 0;
        }
        changed |= self.edit_rating(edit.post, edit.rating, editor, now)?;
        let edits: u32 = self
            .conn
            .prepare_cached("SELECT count(*) FROM edit WHERE post = ?1")?
            .query_row(params![edit.post], |row| row.get(0))?;
        at_most("edited tags of one post", edits as usize, MAX_EDITS)?;
        Ok(changed)
    }

    fn tag_to_add(&mut self, new: &NewTag) -> Result<TagId, Error> {
        let name = normalize(&new.name)?;
        let known = self.tags.find(&name).map(|tag| (tag.id, tag.category));
        let Some((id, category)) = known else {
            self.create_tags(&[(&name, new.category.unwrap_or(Category::General))])?;
            return self.tag_named(&name);
        };
        match new.category {
            Some(wanted) if wanted != category => {
                let shown = format!("{}:{name}", wanted.as_str());
                Err(Error::invalid(
                    "tag",
                    &shown,
                    "it is known with another category; leave the category out",
                ))
            }
            Some(_) | None => Ok(id),
        }
    }

    fn judge(
        &mut self,
        post: PostId,
        judgement: Judgement,
        editor: &str,
        now: Now,
    ) -> Result<bool, Error> {
        let (tag, removed) = match judgement {
            Judgement::Added(tag) => (tag, false),
            Judgement::Removed(tag) => (tag, true),
        };
        let changed = self
            .conn
            .prepare_cached(
                "INSERT INTO edit (post, tag, removed, editor, edited_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO UPDATE SET removed = excluded.removed, editor = excluded.editor, \
                 edited_ms = excluded.edited_ms WHERE removed <> excluded.removed",
            )?
            .execute(params![post, tag, removed, editor, now.unix_ms])?;
        Ok(changed > 0)
    }

    fn edit_rating(
        &mut self,
        post: PostId,
        change: RatingChange,
        editor: &str,
        now: Now,
    ) -> Result<bool, Error> {
        let changed = match change {
            RatingChange::Keep => 0,
            RatingChange::Set(rating) => self
                .conn
                .prepare_cached(
                    "INSERT INTO edit_rating (post, rating, editor, edited_ms) \
                     VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT DO UPDATE SET rating = excluded.rating, \
                     editor = excluded.editor, edited_ms = excluded.edited_ms \
                     WHERE rating <> excluded.rating",
                )?
                .execute(params![post, rating.code(), editor, now.unix_ms])?,
            RatingChange::Reset => self
                .conn
                .prepare_cached("DELETE FROM edit_rating WHERE post = ?1")?
                .execute(params![post])?,
        };
        Ok(changed > 0)
    }
}

#[cfg(test)]
mod tests;
