//! What the small store knows, and how it is made to misbehave.

use std::collections::BTreeMap;

use half::f16;
use proto::store::v1::{Change, Cursor, Node, PostEmbedding};

/// A post as look-alike search sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    /// Vectors by model.
    pub(super) vectors: BTreeMap<String, Vec<f32>>,
    pub(super) hash: [u8; 32],
    pub(super) detail: u32,
    pub(super) tags: Vec<String>,
    pub(super) width: u32,
    pub(super) seq: u64,
    pub(super) trashed: bool,
}

/// What the store knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) posts: BTreeMap<u32, Picture>,
    gone: BTreeMap<u32, u64>,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    /// The model that counts.
    pub(super) model: String,
    /// Models that there are.
    pub(super) models: Vec<String>,
    /// Answers of queries.
    pub(super) queries: BTreeMap<String, Vec<u32>>,
    pub(super) nodes: Vec<Node>,
    /// Posts by the sha256 of their content.
    pub(super) contents: BTreeMap<String, u32>,
    /// How often nodes were asked for.
    pub(super) asked: u32,
    /// Streams of everything that were begun, by model, and after which post.
    pub(super) bulks: Vec<(String, String)>,
    /// Cursors that were followed from.
    pub(super) followed: Vec<u64>,
    /// Posts on a page.
    pub(super) page: usize,
    /// After so many pages a stream of everything fails.
    pub(super) cut: Option<usize>,
    /// After so many pages it ends as if it were complete.
    pub(super) end: Option<usize>,
    /// A change that is made when the next page of everything has been read.
    pub(super) meanwhile: Option<fn(&mut State)>,
    /// Calls that a person waits for are not answered.
    pub(super) frozen: bool,
    /// Nothing but the first changes is told.
    pub(super) silent: bool,
}

/// Revision of a model.
pub(super) fn revision(model: &str) -> String {
    let number = model.trim_start_matches("models/");
    number.repeat(64)[..64].to_owned()
}

/// Numbers in its vectors.
pub(super) fn dimensions(model: &str) -> u32 {
    if model == "models/1" { 8 } else { 16 }
}

/// A direction, of length 1.
pub(super) fn towards(model: &str, angle: f32) -> Vec<f32> {
    let mut vector = vec![0.0; dimensions(model) as usize];
    (vector[0], vector[1]) = (angle.cos(), angle.sin());
    vector
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            epoch: 7,
            page: 2,
            model: "models/1".to_owned(),
            models: ["models/1", "models/2"].map(str::to_owned).into(),
            ..Self::default()
        }
    }

    pub(super) fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch,
            seq: self.seq,
        }
    }

    /// A post with a vector of each model at this angle, a hash made of its number, and a tag.
    pub(super) fn add(&mut self, post: u32, angle: f32) {
        let vectors = ["models/1", "models/2"]
            .map(|model| (model.to_owned(), towards(model, angle)))
            .into();
        let mut hash = [0; 32];
        for (place, byte) in (0_u32..).zip(&mut hash) {
            *byte = (post.wrapping_mul(2_654_435_761).rotate_left(place) >> 7) as u8;
        }
        self.put(
            post,
            Picture {
                vectors,
                hash,
                detail: 5_000,
                tags: vec![format!("tag_{}", post % 3)],
                width: 100 + post,
                ..Picture::default()
            },
        );
    }

    pub(super) fn put(&mut self, post: u32, picture: Picture) {
        self.seq += 1;
        let seq = self.seq;
        self.posts.insert(post, Picture { seq, ..picture });
    }

    pub(super) fn change(&mut self, post: u32, change: impl FnOnce(&mut Picture)) {
        self.seq += 1;
        let picture = self.posts.get_mut(&post).expect("the post is there");
        picture.seq = self.seq;
        change(picture);
    }

    pub(super) fn purge(&mut self, post: u32) {
        self.seq += 1;
        self.posts.remove(&post).expect("the post is there");
        self.gone.insert(post, self.seq);
    }

    /// Another database with the same name.
    pub(super) fn replace(&mut self) {
        let (epoch, model) = (self.epoch + 1, self.model.clone());
        *self = Self {
            epoch,
            model,
            ..Self::new()
        };
    }

    pub(super) fn embedding(&self, post: u32, model: &str) -> Option<PostEmbedding> {
        let picture = self.posts.get(&post).filter(|picture| !picture.trashed)?;
        let vector = picture.vectors.get(model);
        let halves = vector.iter().flat_map(|vector| vector.iter());
        let bytes: Vec<u8> = halves
            .flat_map(|value| f16::from_f32(*value).to_le_bytes())
            .collect();
        Some(PostEmbedding {
            post: format!("posts/{post}"),
            vector: bytes.into(),
            perceptual_hash: kit::hex::encode(&picture.hash),
            detail: picture.detail,
            colours: String::new(),
        })
    }

    /// Changes after a position, at most a page.
    pub(super) fn changes(&self, after: u64) -> Vec<Change> {
        let there = self.posts.iter().map(|(post, picture)| Change {
            post: format!("posts/{post}"),
            seq: picture.seq,
            deleted: picture.trashed,
            trashed: picture.trashed,
        });
        let gone = self.gone.iter().map(|(post, seq)| Change {
            post: format!("posts/{post}"),
            seq: *seq,
            deleted: true,
            trashed: false,
        });
        let mut changes: Vec<Change> = there.chain(gone).filter(|c| c.seq > after).collect();
        changes.sort_by_key(|change| change.seq);
        changes.truncate(self.page);
        changes
    }

    /// Share of a post's tags that another has.
    pub(super) fn match_tags(&self, post: u32, other: u32) -> f32 {
        let (Some(a), Some(b)) = (self.posts.get(&post), self.posts.get(&other)) else {
            return 0.0;
        };
        let shared = a.tags.iter().filter(|tag| b.tags.contains(tag)).count();
        shared as f32 / a.tags.len().max(1) as f32
    }
}
