//! Models: what the library is tagged with, and compared by. Labels become tags when a model is
//! registered, so a result can name nothing that its model did not.
//!
//! Activating a model starts a backfill: a cursor that goes from the newest post down, because the
//! newest are what people look at, and keeps at most [`BACKFILL_WINDOW`] tasks waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Row, params};

use crate::effective::Thresholds;
use crate::store::{Store, Write};
use crate::{Error, ModelId, Now, PostId, Rating, TagId};

mod backfill;
mod register;

pub use backfill::{BACKFILL_PARKED, BACKFILL_WINDOW, Backfilled, SLICE};
pub(crate) use register::check_name;
pub use register::{Label, LabelCategory, MAX_LABELS, NewModel, Registration};

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ModelKind {
    /// Labels with confidences.
    Tag = 1,
    /// A vector.
    Embed = 2,
}

impl ModelKind {
    /// The number kept on disk.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this number; `None` for any other.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Tag),
            2 => Some(Self::Embed),
            _ => None,
        }
    }
}

/// One revision of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its number.
    pub id: ModelId,
    /// What it does.
    pub kind: ModelKind,
    /// Name for people.
    pub name: String,
    /// Hash of weights and preprocessing.
    pub revision: [u8; 32],
    /// Number of labels.
    pub label_count: u32,
    /// Numbers in a vector of an embedding model; 0 for others.
    pub dimensions: u32,
    /// Confidence from which a label becomes a tag.
    pub thresholds: Thresholds,
    /// Whether posts get tasks for it and search sees its predictions.
    pub active: bool,
    /// Of several active models of a kind, the one whose rating counts, or that look-alike search
    /// goes by.
    pub preferred: bool,
    /// Whether a person stopped leasing of its tasks.
    pub paused: bool,
    /// When it was registered, unix milliseconds.
    pub created_ms: i64,
}

/// How far the library is with a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Posts that have a result.
    pub done: u64,
    /// Of these, posts outside the trash.
    pub done_live: u64,
    /// Posts that the backfill has yet to look at, at most.
    pub backfill_left: u64,
}

/// What a label stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A tag.
    Tag(TagId),
    /// A rating.
    Rating(Rating),
}

/// The labels of a model in the order of its outputs, four bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labels(Box<[u32]>);

impl Labels {
    /// Numbers from here up are ratings.
    const RATINGS: u32 = u32::MAX - 3;

    pub(crate) fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        let pack = |target| match target {
            Target::Tag(tag) => tag,
            Target::Rating(rating) => Self::RATINGS + u32::from(rating.code()),
        };
        Self(targets.into_iter().map(pack).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What output `index` stands for.
    pub(crate) fn get(&self, index: u32) -> Option<Target> {
        let packed = *self.0.get(index as usize)?;
        let code = packed.checked_sub(Self::RATINGS);
        match code.and_then(|code| Rating::from_code(code as u8)) {
            Some(rating) => Some(Target::Rating(rating)),
            None => Some(Target::Tag(packed)),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|packed| packed.to_le_bytes())
            .collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<4>();
        rest.is_empty()
            .then(|| Self(words.iter().map(|w| u32::from_le_bytes(*w)).collect()))
    }
}

/// Models read so far; there are few, and their labels are read only once a result comes.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    all: Option<Arc<[Model]>>,
    labels: BTreeMap<ModelId, Arc<Labels>>,
}

impl Cache {
    /// Forgets everything: a request that changed a model was undone, or changes one now.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes held, labels only; the rest is a few hundred for each model.
    pub(crate) fn memory(&self) -> usize {
        self.labels.values().map(|labels| labels.len() * 4).sum()
    }
}

fn read(row: &Row<'_>) -> Result<Model, Error> {
    let id = row.get(0)?;
    let damaged = || Error::corrupt(format!("model {id} is unreadable"));
    let thresholds: Vec<u8> = row.get(4)?;
    let bytes: [u8; 12] = thresholds.try_into().map_err(|_| damaged())?;
    let mut values = [0; 6];
    for (value, pair) in values.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = u16::from_le_bytes(*pair);
    }
    Ok(Model {
        id,
        kind: ModelKind::from_code(row.get(1)?).ok_or_else(damaged)?,
        name: row.get(2)?,
        revision: row.get(3)?,
        thresholds: Thresholds(values),
        active: row.get(5)?,
        preferred: row.get(6)?,
        paused: row.get(7)?,
        created_ms: row.get(8)?,
        label_count: row.get(9)?,
        dimensions: row.get(10)?,
    })
}

impl Store {
    /// All models by number.
    pub fn models(&self) -> Result<Arc<[Model]>, Error> {
        if let Some(all) = &self.models.borrow().all {
            return Ok(Arc::clone(all));
        }
        let mut select = self.conn.prepare_cached(
            "SELECT m.id, m.kind, m.name, m.revision, m.thresholds, m.active, m.preferred, \
             m.paused, m.created_ms, coalesce(length(l.labels) / 4, 0), m.dimensions \
             FROM model m LEFT JOIN model_labels l ON l.model = m.id ORDER BY m.id",
        )?;
        let all: Arc<[Model]> = select.query_and_then([], read)?.collect::<Result<_, _>>()?;
        self.models.borrow_mut().all = Some(Arc::clone(&all));
        Ok(all)
    }

    /// Reads a model.
    pub fn model(&self, id: ModelId) -> Result<Model, Error> {
        let models = self.models()?;
        let model = models.iter().find(|model| model.id == id);
        model
            .cloned()
            .ok_or_else(|| Error::not_found("model", &format!("models/{id}")))
    }

    /// Active models by number.
    pub(crate) fn active_models(&self) -> Result<Vec<Model>, Error> {
        let models = self.models()?;
        Ok(models
            .iter()
            .filter(|model| model.active)
            .cloned()
            .collect())
    }

    /// How far the library is with a model.
    pub fn progress(&self, id: ModelId) -> Result<Progress, Error> {
        let mut select = self.conn.prepare_cached(
            "SELECT done, done - done_trashed, backfill_next FROM model WHERE id = ?1",
        )?;
        Ok(select.query_row(params![id], |row| {
            Ok(Progress {
                done: row.get::<_, i64>(0)?.cast_unsigned(),
                done_live: row.get::<_, i64>(1)?.cast_unsigned(),
                backfill_left: u64::from(row.get::<_, PostId>(2)?),
            })
        })?)
    }

    /// The labels of a model.
    pub(crate) fn labels(&self, id: ModelId) -> Result<Arc<Labels>, Error> {
        if let Some(labels) = self.models.borrow().labels.get(&id) {
            return Ok(Arc::clone(labels));
        }
        let mut select = self
            .conn
            .prepare_cached("SELECT labels FROM model_labels WHERE model = ?1")?;
        let bytes: Vec<u8> = select.query_row(params![id], |row| row.get(0))?;
        let labels = Labels::from_bytes(&bytes)
            .ok_or_else(|| Error::corrupt(format!("labels of model {id}")))?;
        let labels = Arc::new(labels);
        let mut cache = self.models.borrow_mut();
        cache.labels.insert(id, Arc::clone(&labels));
        Ok(labels)
    }
}

impl Write<'_> {
    /// Gives every post, old and new, a task for this model. Does nothing if it is active.
    pub fn activate_model(&mut self, id: ModelId, now: Now) -> Result<(), Error> {
        let model = self.model(id)?;
        if model.active {
            return Ok(());
        }
        let rivals = self.active_models()?;
        let preferred = !rivals.iter().any(|m| m.kind == model.kind && m.preferred);
        let next = self.last_post()?;
        self.conn
            .prepare_cached(
                "UPDATE model SET active = 1, preferred = ?2, backfill_next = ?3 WHERE id = ?1",
            )?
            .execute(params![id, preferred, next])?;
        self.models.borrow_mut().clear();
        self.demand_changed();
        self.derive_again(id)?;
        self.backfill(id, now).map(|_| ())
    }

    /// Makes no more tasks for this model; its results stay but search sees them no more. The tasks that wait are dropped in slices by [`Write::upkeep`].
    pub fn deactivate_model(&mut self, id: ModelId) -> Result<(), Error> {
        let model = self.model(id)?;
        if !model.active {
            return Ok(());
        }
        self.conn
            .prepare_cached(
                "UPDATE model SET active = 0, preferred = 0, backfill_next = 0 WHERE id = ?1",
            )?
            .execute(params![id])?;
        self.models.borrow_mut().clear();
        self.demand_changed();
        if model.preferred {
            let heir = self
                .active_models()?
                .into_iter()
                .find(|m| m.kind == model.kind);
            if let Some(heir) = heir {
                self.prefer_model(heir.id)?;
            }
        }
        self.derive_again(id)
    }

    /// Makes this active model go before others of its kind: its rating counts, or look-alike search
    /// goes by it.
    pub fn prefer_model(&mut self, id: ModelId) -> Result<(), Error> {
        let model = self.model(id)?;
        if !model.active {
            let name = format!("models/{id}");
            return Err(Error::invalid(
                "model to prefer",
                &name,
                "it must be active",
            ));
        }
        self.conn
            .prepare_cached("UPDATE model SET preferred = (id = ?1) WHERE kind = ?2")?
            .execute(params![id, model.kind.code()])?;
        self.models.borrow_mut().clear();
        self.derive_again(id)
    }

    /// Changes from which confidence labels become tags; no picture is looked at again.
    pub fn set_thresholds(&mut self, id: ModelId, thresholds: Thresholds) -> Result<(), Error> {
        self.model(id)?;
        self.conn
            .prepare_cached("UPDATE model SET thresholds = ?2 WHERE id = ?1")?
            .execute(params![id, pack_thresholds(thresholds)])?;
        self.models.borrow_mut().clear();
        self.derive_again(id)
    }
}

fn pack_thresholds(thresholds: Thresholds) -> Vec<u8> {
    thresholds.0.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests;
