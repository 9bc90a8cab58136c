//! Making a model revision known: its labels become tags, in slices, then its row is written.

use rusqlite::params;

use super::{Labels, Model, ModelKind, Target, pack_thresholds};
use crate::effective::Thresholds;
use crate::embedding::{MAX_DIMENSIONS, MIN_DIMENSIONS};
use crate::store::Write;
use crate::tag::{MAX_NEW_TAGS, normalize};
use crate::{Category, Error, ModelId, Now, Rating};

/// Most labels of a model.
pub const MAX_LABELS: usize = 200_000;
/// Longest name, bytes.
const MAX_NAME: usize = 100;

/// What a label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelCategory {
    /// A tag of this category.
    Tag(Category),
    /// A rating; the label's name says which.
    Rating,
}

/// One output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Tag name in any spelling, or name of a rating.
    pub name: String,
    /// What it is.
    pub category: LabelCategory,
}

/// A model revision to make known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewModel {
    /// What it does.
    pub kind: ModelKind,
    /// Name for people: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// Hash of weights and preprocessing.
    pub revision: [u8; 32],
    /// Labels in the order of its outputs; at most [`MAX_LABELS`], none for an embedder.
    pub labels: Vec<Label>,
    /// Numbers in a vector of an embedder, [`MIN_DIMENSIONS`] to [`MAX_DIMENSIONS`]; 0 for others.
    pub dimensions: u32,
    /// Confidence from which a label becomes a tag.
    pub thresholds: Thresholds,
    /// Activate it if no model of its kind is active.
    pub activate_if_first: bool,
}

/// A registration under way. A model may bring 200,000 labels, too many for one job, so it goes
/// in steps: call [`Registration::step`] in one request after another until it returns the model.
/// Steps may be repeated, and what an abandoned registration leaves is tags without posts.
#[derive(Debug)]
pub struct Registration {
    new: NewModel,
    /// Names in normal form.
    names: Vec<Option<(String, Category)>>,
    /// What the first of them stand for, as far as steps have come.
    targets: Vec<Target>,
}

impl Registration {
    /// Checks a model and prepares its registration. Touches no disk.
    pub fn new(new: NewModel) -> Result<Self, Error> {
        check_name("model name", &new.name)?;
        crate::error::at_most("labels", new.labels.len(), MAX_LABELS)?;
        check_shape(&new)?;
        let names = new.labels.iter().map(normal).collect::<Result<_, _>>()?;
        Ok(Self {
            new,
            names,
            targets: Vec::new(),
        })
    }

    /// Takes one step; returns the model once it is registered. A revision that is known already
    /// is returned as it is.
    pub fn step(&mut self, write: &mut Write<'_>, now: Now) -> Result<Option<Model>, Error> {
        if let Some(known) = self.known(write)? {
            return Ok(Some(known));
        }
        self.advance(write)?;
        if self.targets.len() < self.names.len() {
            return Ok(None);
        }
        if !self.stands(write) {
            self.targets.clear();
            return Ok(None);
        }
        let labels = Labels::new(self.targets.iter().copied());
        let id = self.insert(write, &labels, now)?;
        write.models.borrow_mut().clear();
        let kind = self.new.kind;
        let first = !write
            .active_models()?
            .iter()
            .any(|model| model.kind == kind);
        if self.new.activate_if_first && first {
            write.activate_model(id, now)?;
        }
        write.model(id).map(Some)
    }

    fn known(&self, write: &Write<'_>) -> Result<Option<Model>, Error> {
        let models = write.models()?;
        let known = models.iter().find(|m| m.revision == self.new.revision);
        let Some(known) = known else {
            return Ok(None);
        };
        let same = known.kind == self.new.kind
            && known.label_count as usize == self.new.labels.len()
            && known.dimensions == self.new.dimensions;
        if !same {
            return Err(Error::invalid(
                "model",
                &self.new.name,
                "its revision is known with another kind, number of labels or dimensions",
            ));
        }
        Ok(Some(known.clone()))
    }

    /// Makes the tags of the next slice of labels.
    fn advance(&mut self, write: &mut Write<'_>) -> Result<(), Error> {
        let start = self.targets.len();
        let end = self.names.len().min(start + MAX_NEW_TAGS);
        let slice: Vec<(&str, Category)> = self.names[start..end]
            .iter()
            .flatten()
            .map(|(name, category)| (name.as_str(), *category))
            .collect();
        write.create_tags(&slice)?;
        for index in start..end {
            self.targets.push(match &self.names[index] {
                Some((name, _)) => {
                    let tag = write.tags().find(name);
                    Target::Tag(tag.ok_or_else(|| Error::not_found("tag", name))?.id)
                }
                None => Target::Rating(rating(&self.new.labels[index].name)?),
            });
        }
        Ok(())
    }

    /// Whether all tags are there still: a step whose COMMIT failed was undone, and its numbers
    /// may be another's by now.
    fn stands(&self, write: &Write<'_>) -> bool {
        self.targets.iter().zip(&self.names).all(|pair| match pair {
            (Target::Tag(id), Some((name, _))) => {
                write.tags().get(*id).is_some_and(|tag| tag.name == name)
            }
            (Target::Rating(_), None) => true,
            (Target::Tag(_), None) | (Target::Rating(_), Some(_)) => false,
        })
    }

    fn insert(&self, write: &mut Write<'_>, labels: &Labels, now: Now) -> Result<ModelId, Error> {
        let id = write
            .conn
            .prepare_cached(
                "INSERT INTO model (kind, name, revision, thresholds, active, preferred, paused, \
                 backfill_next, created_ms, dimensions) VALUES (?1, ?2, ?3, ?4, 0, 0, 0, 0, ?5, ?6)",
            )?
            .insert(params![
                self.new.kind.code(),
                self.new.name,
                self.new.revision,
                pack_thresholds(self.new.thresholds),
                now.unix_ms,
                self.new.dimensions,
            ])?;
        let id = ModelId::try_from(id).map_err(|_| Error::Exhausted {
            noun: "model",
            limit: u64::from(ModelId::MAX),
        })?;
        write
            .conn
            .prepare_cached("INSERT INTO model_labels (model, labels) VALUES (?1, ?2)")?
            .execute(params![id, labels.to_bytes()])?;
        Ok(id)
    }
}

/// Refuses a tagger without labels, an embedder without dimensions, and anything of the other's.
fn check_shape(new: &NewModel) -> Result<(), Error> {
    let labelled = !new.labels.is_empty();
    let rule = match new.kind {
        ModelKind::Tag if !labelled => "a tagger must have labels",
        ModelKind::Tag if new.dimensions != 0 => "a tagger has no dimensions",
        ModelKind::Embed if labelled => "an embedder has no labels",
        ModelKind::Embed if !(MIN_DIMENSIONS..=MAX_DIMENSIONS).contains(&new.dimensions) => {
            "an embedder must have 8 to 4096 dimensions"
        }
        ModelKind::Tag | ModelKind::Embed => return Ok(()),
    };
    Err(Error::invalid("model", &new.name, rule))
}

fn normal(label: &Label) -> Result<Option<(String, Category)>, Error> {
    match label.category {
        LabelCategory::Tag(category) => Ok(Some((normalize(&label.name)?, category))),
        LabelCategory::Rating => rating(&label.name).map(|_| None),
    }
}

fn rating(name: &str) -> Result<Rating, Error> {
    Rating::from_name(name).ok_or_else(|| {
        Error::invalid(
            "rating label",
            name,
            "general, sensitive, questionable or explicit",
        )
    })
}

/// Refuses names of models, nodes and watchers that are empty, long or need quoting.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        return Err(Error::invalid(
            what,
            name,
            "1 to 100 letters, digits, '.', '_' or '-'",
        ));
    }
    Ok(())
}
