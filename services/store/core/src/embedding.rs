//! Embeddings: the vector that one model revision gave a post, by which pictures are compared.
//!
//! A vector has length 1 and as many numbers as its model has dimensions, two bytes each; with its
//! row and index it costs about 60 bytes more on disk. None is kept in memory.

use half::f16;
use rusqlite::{OptionalExtension, Row, params};

use crate::lease::Token;
use crate::model::{Model, ModelKind};
use crate::prediction::Origin;
use crate::store::{Store, Write};
use crate::{Error, ModelId, Now, PostId};

/// Fewest numbers in a vector.
pub const MIN_DIMENSIONS: u32 = 8;
/// Most numbers in a vector.
pub const MAX_DIMENSIONS: u32 = 4_096;
/// How far the length of a vector may be from 1.
const LENGTH_TOLERANCE: f64 = 0.01;

/// A vector as a node delivers it: nothing in it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedResult {
    /// Numbers in IEEE 754 binary16, little-endian.
    pub vector: Vec<u8>,
    /// Render revision of the sample it is about.
    pub render_revision: u32,
}

/// What look-alike search needs of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The post.
    pub post: PostId,
    /// Its vector, as in [`EmbedResult::vector`]; empty if the model has not seen it yet.
    pub vector: Vec<u8>,
    /// 256-bit perceptual hash.
    pub perceptual_hash: [u8; 32],
    /// How much there was to hash.
    pub detail: u16,
    /// Compact colour layout.
    pub colours: String,
}

impl EmbedResult {
    /// Checks that it is a vector of `dimensions` finite numbers and of length 1.
    pub(crate) fn check(&self, dimensions: u32) -> Result<(), String> {
        let bytes = self.vector.len();
        let expected = dimensions as usize * 2;
        if bytes != expected {
            return Err(format!(
                "a vector of {bytes} bytes, {dimensions} dimensions need {expected}"
            ));
        }
        let mut square = 0.0;
        for (index, pair) in self.vector.as_chunks::<2>().0.iter().enumerate() {
            let value = f16::from_le_bytes(*pair);
            if !value.is_finite() {
                return Err(format!("number {index} of the vector is {value}"));
            }
            square += value.to_f64() * value.to_f64();
        }
        let length = square.sqrt();
        if (length - 1.0).abs() > LENGTH_TOLERANCE {
            return Err(format!(
                "the vector has length {length:.4}, not 1 within 1 %"
            ));
        }
        Ok(())
    }
}

/// A number that no model has.
const NO_MODEL: ModelId = 0;

const LOOK: &str = "SELECT p.id, p.perceptual_hash, p.detail, p.colours, coalesce(e.vector, x'') \
     FROM post p LEFT JOIN embedding e ON e.key = (?1 << 32) + p.id";

fn read(row: &Row<'_>) -> rusqlite::Result<Look> {
    Ok(Look {
        post: row.get(0)?,
        perceptual_hash: row.get(1)?,
        detail: row.get(2)?,
        colours: row.get(3)?,
        vector: row.get(4)?,
    })
}

/// Where the vector lies that a model gave a post.
fn key(model: ModelId, post: PostId) -> i64 {
    (i64::from(model) << 32) + i64::from(post)
}

impl Store {
    /// The model that look-alike search goes by: the preferred one of the active embedding models.
    pub fn embed_model(&self) -> Result<Option<Model>, Error> {
        let models = self.models()?;
        let serves = |model: &&Model| model.kind == ModelKind::Embed && model.active;
        let serving = models.iter().filter(serves);
        Ok(serving.max_by_key(|model| model.preferred).cloned())
    }

    /// What look-alike search needs of a post, in the trash or not: with the vector of `model` if
    /// one is given.
    pub fn look(&self, model: Option<ModelId>, post: PostId) -> Result<Option<Look>, Error> {
        let sql = format!("{LOOK} WHERE p.id = ?2");
        let mut select = self.conn.prepare_cached(&sql)?;
        let bound = params![model.unwrap_or(NO_MODEL), post];
        Ok(select.query_row(bound, read).optional()?)
    }

    /// The same of the first `limit` posts after `after`, by number.
    pub fn looks(
        &self,
        model: Option<ModelId>,
        after: PostId,
        limit: u32,
    ) -> Result<Vec<Look>, Error> {
        let sql = format!("{LOOK} WHERE p.id > ?2 ORDER BY p.id LIMIT ?3");
        let mut select = self.conn.prepare_cached(&sql)?;
        let bound = params![model.unwrap_or(NO_MODEL), after, limit];
        Ok(select.query_map(bound, read)?.collect::<Result<_, _>>()?)
    }

    /// Embedding models, active or not, that have a vector of a post, by number.
    pub fn embedding_models(&self, post: PostId) -> Result<Vec<ModelId>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT id FROM model WHERE dimensions > 0 \
             AND EXISTS (SELECT 1 FROM embedding WHERE key = (model.id << 32) + ?1) ORDER BY id",
        )?;
        let rows = select.query_map(params![post], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The token under which a vector was delivered, if there is such a vector.
    pub(crate) fn recorded_embedding(&self, token: Token) -> Result<Option<Token>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT 1 FROM embedding WHERE token_counter = ?1 AND token_epoch = ?2",
        )?;
        let bound = params![token.counter.cast_signed(), token.epoch.cast_signed()];
        let found = select.query_row(bound, |_| Ok(())).optional()?;
        Ok(found.map(|()| token))
    }
}

impl Write<'_> {
    /// Stores a checked vector in place of the model's former one, and moves the post up the feed.
    pub(crate) fn store_embedding(
        &mut self,
        origin: Origin,
        result: &EmbedResult,
        now: Now,
    ) -> Result<(), Error> {
        let key = key(origin.model, origin.post);
        self.conn
            .prepare_cached("DELETE FROM embedding WHERE key = ?1")?
            .execute(params![key])?;
        let stored = self
            .conn
            .prepare_cached(
                "INSERT INTO embedding (key, render_revision, device_class, node, token_epoch, \
                 token_counter, created_ms, vector) \
                 SELECT ?1, ?2, device_class, id, ?4, ?5, ?6, ?7 FROM node WHERE id = ?3",
            )?
            .execute(params![
                key,
                result.render_revision,
                origin.node,
                origin.token.epoch.cast_signed(),
                origin.token.counter.cast_signed(),
                now.unix_ms,
                result.vector,
            ])?;
        if stored != 1 {
            // The task goes in this transaction: its result must not be lost with it.
            return Err(Error::corrupt(format!("node {} has no row", origin.node)));
        }
        let seq = self.next_seq();
        self.conn
            .prepare_cached("UPDATE post SET changed_seq = ?2 WHERE id = ?1")?
            .execute(params![origin.post, seq.cast_signed()])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
