//! Predictions: what one model revision said of one post. Facts; kept although search does not
//! use them, so that thresholds can change without a GPU.
//!
//! On disk a label takes its tag's gap to the one before (1 to 3 bytes) and two bytes of
//! confidence: about 4 bytes, so 400 for a hundred labels, and about 60 for the row.

use rusqlite::{OptionalExtension, Row, params};

use crate::effective::confidence;
use crate::lease::Token;
use crate::model::{Labels, Target};
use crate::packed::{push_varint, take_varint};
use crate::store::{Store, Write};
use crate::{DeviceClass, Error, ModelId, NodeId, Now, PostId, TagId};

/// Labels below this confidence are not kept.
pub const STORED_FROM: f32 = 0.05;
/// Most labels in one result.
pub const MAX_LABELS: usize = 5_000;

/// A tag with a confidence in steps of 1/65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scored {
    /// The tag.
    pub tag: TagId,
    /// 0 to 65,535 for 0 to 1.
    pub confidence: u16,
}

/// What a model said of a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The model revision.
    pub model: ModelId,
    /// Labels of at least [`STORED_FROM`], ascending by tag.
    pub labels: Vec<Scored>,
    /// Score of each rating in the order of [`Rating::ALL`], if the model rates.
    pub ratings: Option<[u16; 4]>,
    /// Render revision of the sample it saw.
    pub render_revision: u32,
    /// Device class that ran it.
    pub device_class: DeviceClass,
    /// Name of the node that ran it.
    pub node: String,
    /// When it was stored, unix milliseconds.
    pub created_ms: i64,
}

/// A result as a node delivers it: nothing in it is trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct TagResult {
    /// Indexes into the model's label list, each at most once, at most [`MAX_LABELS`].
    pub labels: Vec<u32>,
    /// Confidences of 0 to 1, one for each.
    pub confidences: Vec<f32>,
    /// Render revision of the sample it is about.
    pub render_revision: u32,
}

/// A result that has been checked against its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    labels: Vec<Scored>,
    ratings: Option<[u16; 4]>,
    render_revision: u32,
}

/// Whose result it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) post: PostId,
    pub(crate) model: ModelId,
    pub(crate) node: NodeId,
    pub(crate) token: Token,
}

impl TagResult {
    /// Checks the result against the labels of its model and drops what is not worth keeping.
    pub(crate) fn check(&self, labels: &Labels) -> Result<Checked, String> {
        let count = self.labels.len();
        if count > MAX_LABELS {
            return Err(format!("{count} labels, at most {MAX_LABELS} are allowed"));
        }
        if self.confidences.len() != count {
            let confidences = self.confidences.len();
            return Err(format!("{count} labels but {confidences} confidences"));
        }
        let mut scored = Vec::with_capacity(count);
        let mut ratings: Option<[u16; 4]> = None;
        let mut seen = std::collections::HashSet::with_capacity(count);
        for (&index, &value) in self.labels.iter().zip(&self.confidences) {
            let Some(target) = labels.get(index) else {
                let len = labels.len();
                return Err(format!("label {index} of a model with {len} labels"));
            };
            if !seen.insert(index) {
                return Err(format!("label {index} comes twice"));
            }
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("label {index} has confidence {value}, not 0 to 1"));
            }
            match target {
                Target::Tag(tag) if value >= STORED_FROM => scored.push(Scored {
                    tag,
                    confidence: confidence(value),
                }),
                Target::Tag(_) => {}
                Target::Rating(rating) => {
                    ratings.get_or_insert_default()[usize::from(rating.code())] = confidence(value);
                }
            }
        }
        // Two labels may normalise to one tag: the surer one counts.
        scored.sort_unstable_by_key(|s| (s.tag, std::cmp::Reverse(s.confidence)));
        scored.dedup_by_key(|s| s.tag);
        Ok(Checked {
            labels: scored,
            ratings,
            render_revision: self.render_revision,
        })
    }
}

fn pack(labels: &[Scored]) -> Vec<u8> {
    let mut out = Vec::with_capacity(labels.len() * 4);
    let mut last = 0;
    for label in labels {
        push_varint(&mut out, label.tag - last);
        out.extend_from_slice(&label.confidence.to_le_bytes());
        last = label.tag;
    }
    out
}

fn unpack(mut bytes: &[u8]) -> Option<Vec<Scored>> {
    let mut labels = Vec::with_capacity(bytes.len() / 3);
    let mut last = 0u32;
    while !bytes.is_empty() {
        let gap = take_varint(&mut bytes)?;
        let (confidence, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        last = last.checked_add(gap).filter(|_| gap > 0)?;
        labels.push(Scored {
            tag: last,
            confidence: u16::from_le_bytes(*confidence),
        });
    }
    Some(labels)
}

fn pack_ratings(ratings: Option<[u16; 4]>) -> Vec<u8> {
    ratings
        .into_iter()
        .flatten()
        .flat_map(u16::to_le_bytes)
        .collect()
}

fn unpack_ratings(bytes: &[u8]) -> Option<Option<[u16; 4]>> {
    if bytes.is_empty() {
        return Some(None);
    }
    let bytes: &[u8; 8] = bytes.try_into().ok()?;
    let (pairs, _) = bytes.as_chunks::<2>();
    let mut ratings = [0; 4];
    for (score, pair) in ratings.iter_mut().zip(pairs) {
        *score = u16::from_le_bytes(*pair);
    }
    Some(Some(ratings))
}

fn read(row: &Row<'_>) -> Result<Prediction, Error> {
    let model = row.get(0)?;
    let damaged = || Error::corrupt(format!("a prediction of model {model} is unreadable"));
    let labels: Vec<u8> = row.get(1)?;
    let ratings: Vec<u8> = row.get(2)?;
    let device: u8 = row.get(4)?;
    Ok(Prediction {
        model,
        labels: unpack(&labels).ok_or_else(damaged)?,
        ratings: unpack_ratings(&ratings).ok_or_else(damaged)?,
        render_revision: row.get(3)?,
        device_class: DeviceClass::from_code(device).ok_or_else(damaged)?,
        node: row.get(5)?,
        created_ms: row.get(6)?,
    })
}

impl Store {
    /// What models said of a post, by model.
    pub fn predictions(&self, post: PostId) -> Result<Vec<Prediction>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT p.model, p.labels, p.ratings, p.render_revision, p.device_class, n.name, \
             p.created_ms FROM prediction p JOIN node n ON n.id = p.node \
             WHERE p.post = ?1 ORDER BY p.model",
        )?;
        select.query_and_then(params![post], read)?.collect()
    }

    /// The token under which a result was delivered, if there is such a result.
    pub(crate) fn recorded(&self, token: Token) -> Result<Option<Token>, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT 1 FROM prediction WHERE token_counter = ?1 AND token_epoch = ?2",
        )?;
        let found = select
            .query_row(
                params![token.counter.cast_signed(), token.epoch.cast_signed()],
                |_| Ok(()),
            )
            .optional()?;
        Ok(found.map(|()| token))
    }
}

impl Write<'_> {
    /// Stores a result in place of the model's former one, and what follows from it.
    pub(crate) fn store_prediction(
        &mut self,
        origin: Origin,
        result: &Checked,
        now: Now,
    ) -> Result<(), Error> {
        self.conn
            .prepare_cached("DELETE FROM prediction WHERE post = ?1 AND model = ?2")?
            .execute(params![origin.post, origin.model])?;
        let stored = self
            .conn
            .prepare_cached(
                "INSERT INTO prediction (post, model, labels, ratings, render_revision, \
                 device_class, node, token_epoch, token_counter, created_ms) \
                 SELECT ?1, ?2, ?3, ?4, ?5, device_class, id, ?7, ?8, ?9 FROM node WHERE id = ?6",
            )?
            .execute(params![
                origin.post,
                origin.model,
                pack(&result.labels),
                pack_ratings(result.ratings),
                result.render_revision,
                origin.node,
                origin.token.epoch.cast_signed(),
                origin.token.counter.cast_signed(),
                now.unix_ms,
            ])?;
        if stored != 1 {
            // The task goes in this transaction: its result must not be lost with it.
            return Err(Error::corrupt(format!("node {} has no row", origin.node)));
        }
        self.rederive(origin.post)
    }
}

#[cfg(test)]
mod tests;
