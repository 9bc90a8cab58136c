//! The index: what look-alike search needs of every post, packed in memory.
//!
//! [`Index::put`] and [`Index::remove`] follow the store; [`Index::candidates`] and
//! [`Index::blend`] answer. In between the caller asks the store for the scores of tags, which are
//! not here. Posts have rows ([`crate::slots`]); each part of a post is a column of fixed blocks
//! ([`crate::column`]), shared with frozen views until it is written to, so a clone costs nothing
//! to speak of: clone under a lock, then save, search or look for duplicates without it.

mod scan;
mod search;
#[cfg(test)]
mod tests;

use renderer::PerceptualHash;

pub use search::{Candidates, Search, TagScores, pool};

use crate::{
    channel::Channel,
    colours::{Colours, Mosaics},
    hashes,
    near::Near,
    slots::{Rows, Slots, blocks, has},
    vectors::{Vectors, normalise},
    words::Words,
};

/// Number of a post; never 0.
pub type PostId = u32;

/// Most numbers in a vector.
pub const MOST_DIMENSIONS: usize = 16_384;

/// What the vectors of an index are made by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its revision: hash of weights and preprocessing.
    pub revision: [u8; 32],
    /// Numbers in a vector; 1 to [`MOST_DIMENSIONS`].
    pub dimensions: usize,
}

/// What look-alike search needs of one post.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// Vector of length 1 as little-endian binary16; empty is none.
    pub vector: Option<&'a [u8]>,
    /// Perceptual hash, and how much there was to hash.
    pub hash: Option<PerceptualHash>,
    /// Colours.
    pub colours: Option<Colours>,
}

/// What to compare with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    /// The post it is, which is left out of answers.
    pub post: Option<PostId>,
    /// Its vector, of length 1.
    pub vector: Option<Vec<f32>>,
    /// Its perceptual hash; `None` too if it is nearly blank.
    pub hash: Option<[u64; hashes::WORDS]>,
    /// Whether there was too little to hash.
    pub near_blank: bool,
    /// Its colours.
    pub colours: Option<Colours>,
}

/// Why a post or a vector cannot be taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Post numbers begin at 1.
    #[error("post number 0: numbers begin at 1")]
    Post,
    /// The model has another number of dimensions.
    #[error("a vector of {bytes} bytes, but the model has {dimensions} dimensions")]
    Size {
        /// Its bytes.
        bytes: usize,
        /// The model's dimensions; 0 without a model.
        dimensions: usize,
    },
    /// A vector has a number that is none.
    #[error("the vector has numbers that are not finite")]
    NotFinite,
    /// A vector is not of length 1.
    #[error("the vector has length {0}, not 1")]
    Length(f32),
    /// A vector without a direction.
    #[error("the vector has no direction: it is all zeros")]
    Zero,
}

/// Everything that look-alike search goes by, of all posts. Cloning makes a frozen view.
#[derive(Clone, Debug)]
pub struct Index {
    pub(crate) model: Option<Model>,
    pub(crate) slots: Slots,
    pub(crate) rows: Rows,
    pub(crate) hashes: Words,
    pub(crate) near: Near,
    pub(crate) colours: Mosaics,
    pub(crate) vectors: Vectors,
    pub(crate) embedded: u64,
}

impl Index {
    /// An empty one, for vectors of a model if there is one. Another model is another index:
    /// [`Index::switched`].
    #[must_use]
    pub fn new(model: Option<Model>) -> Self {
        let dimensions = model.as_ref().map_or(0, |model| model.dimensions);
        Self {
            model,
            slots: Slots::default(),
            rows: Rows::new(),
            hashes: Words::new(hashes::WORDS),
            near: Near::default(),
            colours: Mosaics::new(),
            vectors: Vectors::new(dimensions.min(MOST_DIMENSIONS)),
            embedded: 0,
        }
    }

    /// The same posts, hashes and colours for the vectors of another model, of which there are none
    /// yet. What is the same is shared until it is written to, so this holds no vectors twice.
    #[must_use]
    pub fn switched(&self, model: Option<Model>) -> Self {
        let mut index = Self {
            slots: self.slots.clone(),
            rows: self.rows.clone(),
            hashes: self.hashes.clone(),
            near: self.near.clone(),
            colours: self.colours.clone(),
            ..Self::new(model)
        };
        for _ in 0..blocks(index.slots.rows()) {
            for column in index.vectors.columns_mut() {
                column.grow();
            }
        }
        for (post, slot) in self.slots.iter() {
            let kind = self.rows.kind(slot) & !has::VECTOR;
            index.rows.set(slot, post, kind);
        }
        index
    }

    /// The model of the vectors.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// Inserts a post, or replaces all that is known of it. When the count of vectors passes
    /// 4,096, 16,384 and 65,536, the codes of all are made anew (about 0.2 s at most).
    ///
    /// # Errors
    /// If the vector is of another size, not finite or not of length 1, or the number is 0; then
    /// the index is as before.
    pub fn put(&mut self, post: PostId, entry: &Entry<'_>) -> Result<(), Refused> {
        if post == 0 {
            return Err(Refused::Post);
        }
        let vector = entry.vector.filter(|bytes| !bytes.is_empty());
        if let Some(bytes) = vector {
            self.vectors.check(bytes)?;
        }
        let slot = match self.slots.get(post) {
            Some(slot) => slot,
            None => self.slots.take(post),
        };
        self.grow();
        let before = self.rows.kind(slot);
        let hash = self.hash(slot);
        let mut kind = has::POST;
        if let Some(bytes) = vector {
            self.vectors.set(slot, bytes);
            kind |= has::VECTOR;
        }
        if let Some(hash) = &entry.hash {
            self.hashes.set(slot, &hashes::words(hash));
            kind |= has::HASH;
            if hash.is_near_blank() {
                kind |= has::NEAR_BLANK;
            }
        }
        if let Some(colours) = &entry.colours {
            self.colours.set(slot, colours);
            kind |= has::COLOURS;
        }
        self.rows.set(slot, post, kind);
        if self.hash(slot) != hash {
            self.near.changed(slot);
        }
        self.embedded -= u64::from(before & has::VECTOR != 0);
        self.embedded += u64::from(vector.is_some());
        self.centre();
        Ok(())
    }

    /// Forgets a post; `false` if it was not there.
    pub fn remove(&mut self, post: PostId) -> bool {
        let Some(slot) = self.slots.release(post) else {
            return false;
        };
        self.embedded -= u64::from(self.rows.holds(slot, has::VECTOR));
        self.rows.set(slot, 0, 0);
        true
    }

    /// Whether a post is here.
    #[must_use]
    pub fn contains(&self, post: PostId) -> bool {
        self.slots.get(post).is_some()
    }

    /// Number of posts.
    #[must_use]
    pub fn posts(&self) -> u64 {
        self.slots.posts()
    }

    /// Number of posts that have a vector.
    #[must_use]
    pub fn vectors(&self) -> u64 {
        self.embedded
    }

    /// The numbers of all posts, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PostId> {
        self.slots.iter().map(|(post, _)| post)
    }

    /// Bytes by part. Blocks are counted whole, though the kernel provides only what was written.
    #[must_use]
    pub fn memory(&self) -> [(&'static str, u64); 6] {
        [
            ("vectors", self.vectors.halves().bytes()),
            ("codes", self.vectors.codes().column().bytes()),
            ("hashes", self.hashes.column().bytes()),
            ("near", self.near.bytes()),
            ("colours", self.colours.column().bytes()),
            ("posts", self.slots.bytes() + self.rows.bytes()),
        ]
    }

    /// A post as what to compare with; `None` if it is not here.
    #[must_use]
    pub fn subject(&self, post: PostId) -> Option<Subject> {
        let slot = self.slots.get(post)?;
        let holds = |part| self.rows.holds(slot, part);
        let near_blank = holds(has::NEAR_BLANK);
        Some(Subject {
            post: Some(post),
            vector: holds(has::VECTOR).then(|| self.vectors.get(slot)),
            hash: self.hash(slot),
            near_blank,
            colours: holds(has::COLOURS).then(|| self.colours.get(slot)),
        })
    }

    /// Makes a vector that came from outside one of length 1.
    ///
    /// # Errors
    /// If it has not as many numbers as the model has dimensions, they are not finite, or all 0.
    pub fn unit(&self, values: &[f32]) -> Result<Vec<f32>, Refused> {
        if values.len() != self.vectors.dimensions() || values.is_empty() {
            return Err(Refused::Size {
                bytes: 2 * values.len(),
                dimensions: self.vectors.dimensions(),
            });
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Refused::NotFinite);
        }
        let mut unit = values.to_vec();
        if !normalise(&mut unit) {
            return Err(Refused::Zero);
        }
        Ok(unit)
    }

    /// The same of a vector in little-endian binary16.
    ///
    /// # Errors
    /// As [`Index::unit`].
    pub fn unit_f16(&self, bytes: &[u8]) -> Result<Vec<f32>, Refused> {
        self.unit(&self.vectors.decode(bytes)?)
    }

    /// Cosine of two posts' vectors; `None` if one has none.
    #[must_use]
    pub fn cosine(&self, a: PostId, b: PostId) -> Option<f32> {
        let (a, b) = (self.slots.get(a)?, self.slots.get(b)?);
        let both = self.rows.holds(a, has::VECTOR) && self.rows.holds(b, has::VECTOR);
        both.then(|| match a == b {
            true => 1.0,
            false => self.vectors.cosine(a, &self.vectors.get(b)),
        })
    }

    /// The hash of a row, unless it has none or is nearly blank.
    pub(crate) fn hash(&self, slot: u32) -> Option<[u64; hashes::WORDS]> {
        let kind = self.rows.kind(slot);
        (kind & (has::HASH | has::NEAR_BLANK) == has::HASH).then(|| {
            let mut words = [0; hashes::WORDS];
            for (word, value) in words.iter_mut().zip(self.hashes.get(slot)) {
                *word = value;
            }
            words
        })
    }

    /// Blocks for all rows.
    pub(crate) fn grow(&mut self) {
        let needed = blocks(self.slots.rows());
        while self.rows.columns()[0].len() < needed {
            for column in self.rows.columns_mut() {
                column.grow();
            }
            for column in self.vectors.columns_mut() {
                column.grow();
            }
            self.hashes.column_mut().grow();
            self.colours.column_mut().grow();
        }
        self.near.grow(needed);
    }

    /// Takes the centre of the vectors where it is time to.
    pub(crate) fn centre(&mut self) {
        if self.vectors.wants_centre(self.embedded) {
            let slots: Vec<u32> = self
                .slots
                .iter()
                .map(|(_, slot)| slot)
                .filter(|slot| self.rows.holds(*slot, has::VECTOR))
                .collect();
            self.vectors.take_centre(&slots);
        }
    }
}

impl Subject {
    /// A picture that is not in the library, by what is known of it; the vector by [`Index::unit`].
    #[must_use]
    pub fn outside(
        vector: Option<Vec<f32>>,
        hash: Option<PerceptualHash>,
        colours: Option<Colours>,
    ) -> Self {
        let near_blank = hash.is_some_and(|hash| hash.is_near_blank());
        Self {
            post: None,
            vector,
            hash: hash
                .filter(|_| !near_blank)
                .map(|hash| hashes::words(&hash)),
            near_blank,
            colours,
        }
    }

    /// Whether it has what a channel goes by. Tags are not known here: always false.
    #[must_use]
    pub fn has(&self, channel: Channel) -> bool {
        match channel {
            Channel::Embedding => self.vector.is_some(),
            Channel::PerceptualHash => self.hash.is_some(),
            Channel::Colour => self.colours.is_some(),
            Channel::Tags => false,
        }
    }
}
