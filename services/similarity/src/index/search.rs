//! Answers: candidates of each channel, then all of them scored on every channel.
//!
//! Candidates by hash and by colour are exact. Those by embedding are exact among at most 4,096
//! vectors, all or those of a filter; of more, the 4,096 with the nearest binary codes are compared.

use roaring::RoaringBitmap;

use super::{Index, PostId, Subject};
use crate::{
    blend::{Channel, Hit, Weights, rank},
    colours,
    column::ROWS,
    hashes,
    nearest::{Nearest, falling},
    slots::has,
    vectors::POOL,
};

/// A filter of at most one in so many rows is looked up post by post instead of scanning all.
const RARE: u32 = 16;

/// Vectors lie far apart: so many are asked for before they are compared.
const AHEAD: usize = 2;

/// What is wanted of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// How much each channel counts.
    pub weights: Weights,
    /// Only these posts.
    pub within: Option<&'a RoaringBitmap>,
    /// How many posts.
    pub k: usize,
    /// The lowest score, 0 to 1.
    pub min_score: f32,
}

/// The posts that one of the channels holds to be among the best.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// They, ascending.
    pub posts: Vec<PostId>,
}

/// What the store says of tags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TagScores {
    /// The [`pool`] posts that share most of the subject's tags, with their scores.
    pub best: Vec<(PostId, f32)>,
    /// The scores of [`Candidates::posts`], in their order.
    pub also: Vec<f32>,
}

/// The rows that a search looks at.
enum Scope<'a> {
    All,
    /// A filter that most rows do not pass, as rows.
    Few(Vec<u32>),
    /// A filter that many rows pass, asked when a row is good enough.
    Many(&'a RoaringBitmap),
}

/// A channel's part of a scan.
trait Scan {
    /// Keys of all rows of a block: the smaller, the nearer.
    fn block(&self, index: usize, out: &mut [u16; ROWS]);
    /// Key of one row.
    fn row(&self, slot: u32) -> u32;
    /// Whether a row takes part, by what it holds.
    fn fits(&self, kind: u8) -> bool;
}

/// How many candidates each channel names for an answer of `k` posts.
#[must_use]
pub fn pool(k: usize) -> usize {
    k.saturating_mul(4).max(200)
}

impl Index {
    /// The best of each channel that has a weight and that the subject has, tags apart.
    #[must_use]
    pub fn candidates(&self, subject: &Subject, search: &Search<'_>) -> Candidates {
        let keep = pool(search.k);
        let scope = self.scope(search.within);
        let used = |channel| search.weights.of(channel) > 0.0;
        let mut posts = Vec::new();
        if let Some(vector) = self.vector_of(subject).filter(|_| used(Channel::Embedding)) {
            posts.extend(self.like_vector(vector, &scope, subject.post, keep));
        }
        if let Some(hash) = subject.hash.filter(|_| used(Channel::PerceptualHash)) {
            posts.extend(self.scan(&HashScan(self, hash), &scope, subject.post, keep));
        }
        if let Some(colours) = subject.colours.filter(|_| used(Channel::Colour)) {
            posts.extend(self.scan(&ColourScan(self, colours), &scope, subject.post, keep));
        }
        let mut posts: Vec<PostId> = posts.into_iter().map(|(_, post)| post).collect();
        posts.sort_unstable();
        posts.dedup();
        Candidates { posts }
    }

    /// Scores candidates on every channel that has a weight and that both have, and orders them.
    /// Without `tags` that channel takes no part; with it every post has it, with 0 for no shared
    /// tag. Posts that are not in the index, or not within, are left out.
    #[must_use]
    pub fn blend(
        &self,
        subject: &Subject,
        search: &Search<'_>,
        candidates: &Candidates,
        tags: Option<&TagScores>,
    ) -> Vec<Hit> {
        let tags = tags.filter(|_| search.weights.of(Channel::Tags) > 0.0);
        let score = |post, tag: Option<f32>| {
            let slot = self.slots.get(post)?;
            let tag = tag.map(|score| score.clamp(0.0, 1.0));
            Some((post, self.scores(subject, &search.weights, slot, tag)))
        };
        let of_channels = candidates
            .posts
            .iter()
            .enumerate()
            .filter_map(|(at, post)| {
                let tag = tags.map(|tags| tags.also.get(at).copied().unwrap_or(0.0));
                score(*post, tag)
            });
        let allowed = |post| {
            Some(post) != subject.post
                && search.within.is_none_or(|within| within.contains(post))
                && candidates.posts.binary_search(&post).is_err()
        };
        let of_tags = tags
            .iter()
            .flat_map(|tags| &tags.best)
            .filter(|(post, _)| allowed(*post))
            .filter_map(|(post, tag)| score(*post, Some(*tag)));
        let scored = of_channels.chain(of_tags);
        rank(&search.weights, scored, search.k, search.min_score)
    }

    /// The subject's vector, if it is one of this model.
    fn vector_of<'a>(&self, subject: &'a Subject) -> Option<&'a [f32]> {
        let vector = subject.vector.as_deref()?;
        (vector.len() == self.vectors.dimensions()).then_some(vector)
    }

    fn scores(
        &self,
        subject: &Subject,
        weights: &Weights,
        slot: u32,
        tag: Option<f32>,
    ) -> [Option<f32>; 4] {
        let holds = |channel, part| weights.of(channel) > 0.0 && self.rows.holds(slot, part);
        let vector = self
            .vector_of(subject)
            .filter(|_| holds(Channel::Embedding, has::VECTOR));
        let hash = subject
            .hash
            .filter(|_| holds(Channel::PerceptualHash, has::HASH));
        let colours = subject
            .colours
            .filter(|_| holds(Channel::Colour, has::COLOURS));
        [
            vector.map(|vector| self.vectors.cosine(slot, vector).clamp(0.0, 1.0)),
            hash.zip(self.hash(slot))
                .map(|(a, b)| hashes::score(hashes::distance(&a, &b))),
            colours.map(|asked| colours::score(self.colours.get(slot).difference(&asked))),
            tag,
        ]
    }

    fn scope<'a>(&self, within: Option<&'a RoaringBitmap>) -> Scope<'a> {
        match within {
            None => Scope::All,
            Some(within)
                if within.len() <= u64::from(self.slots.rows() / RARE).max(POOL as u64) =>
            {
                let rows = within.iter().filter_map(|post| self.slots.get(post));
                Scope::Few(rows.collect())
            }
            Some(within) => Scope::Many(within),
        }
    }

    /// The posts whose vectors have the highest cosines, with keys that fall as those rise.
    fn like_vector(
        &self,
        vector: &[f32],
        scope: &Scope<'_>,
        without: Option<PostId>,
        keep: usize,
    ) -> Vec<(u32, PostId)> {
        let depth = POOL.max(keep);
        let worth_comparing = match self.vectors.centre() {
            Some(centre) => self.scan(&CodeScan(self, centre.code(vector)), scope, without, depth),
            // There is no centre until there are more vectors than are compared in any case.
            None => self.scan(&Everything, scope, without, depth),
        };
        let rows: Vec<(PostId, u32)> = worth_comparing
            .into_iter()
            .filter_map(|(_, post)| Some((post, self.slots.get(post)?)))
            .collect();
        let mut nearest = Nearest::new(keep);
        for (at, (post, slot)) in rows.iter().enumerate() {
            if let Some((_, soon)) = rows.get(at + AHEAD) {
                self.vectors.prefetch(*soon);
            }
            nearest.push(falling(self.vectors.cosine(*slot, vector)), *post);
        }
        nearest.into_best()
    }

    /// The `keep` rows with the smallest keys, equal ones by post number.
    fn scan(
        &self,
        scan: &impl Scan,
        scope: &Scope<'_>,
        without: Option<PostId>,
        keep: usize,
    ) -> Vec<(u32, PostId)> {
        let mut nearest = Nearest::new(keep);
        let consider = |nearest: &mut Nearest, slot, key| {
            let post = self.rows.post(slot);
            let within = match scope {
                Scope::All | Scope::Few(_) => true,
                Scope::Many(within) => within.contains(post),
            };
            if scan.fits(self.rows.kind(slot)) && Some(post) != without && within {
                nearest.push(key, post);
            }
        };
        if let Scope::Few(slots) = scope {
            for slot in slots {
                consider(&mut nearest, *slot, scan.row(*slot));
            }
            return nearest.into_best();
        }
        let mut keys = [0; ROWS];
        for block in 0..self.rows.columns()[0].len() {
            scan.block(block, &mut keys);
            visit(&keys, nearest.bound(), |row, key| {
                consider(&mut nearest, (block * ROWS + row) as u32, key);
                nearest.bound()
            });
        }
        nearest.into_best()
    }
}

/// Calls `f` for the rows of a block whose keys do not exceed a bound; it gives the bound from then
/// on.
fn visit(keys: &[u16; ROWS], mut bound: u32, mut f: impl FnMut(usize, u32) -> u32) {
    const STEP: usize = 32;
    for (group, keys) in keys.as_chunks::<STEP>().0.iter().enumerate() {
        // Nearly every group ends here, after a few instructions for all of it.
        let limit = bound.min(u32::from(u16::MAX)) as u16;
        let near = keys
            .iter()
            .fold(0, |near, key| near | u16::from(*key <= limit));
        if near == 0 {
            continue;
        }
        for (at, key) in keys.iter().enumerate() {
            if u32::from(*key) <= bound {
                bound = f(group * STEP + at, u32::from(*key));
            }
        }
    }
}

/// Every vector, none nearer than another.
struct Everything;

impl Scan for Everything {
    fn block(&self, _: usize, out: &mut [u16; ROWS]) {
        out.fill(0);
    }

    fn row(&self, _: u32) -> u32 {
        0
    }

    fn fits(&self, kind: u8) -> bool {
        kind & has::VECTOR != 0
    }
}

/// By binary codes.
struct CodeScan<'a>(&'a Index, Vec<u64>);

impl Scan for CodeScan<'_> {
    fn block(&self, index: usize, out: &mut [u16; ROWS]) {
        self.0.vectors.codes().distances(index, &self.1, out);
    }

    fn row(&self, slot: u32) -> u32 {
        self.0.vectors.codes().distance(slot, &self.1)
    }

    fn fits(&self, kind: u8) -> bool {
        kind & has::VECTOR != 0
    }
}

/// By perceptual hashes.
struct HashScan<'a>(&'a Index, [u64; hashes::WORDS]);

impl Scan for HashScan<'_> {
    fn block(&self, index: usize, out: &mut [u16; ROWS]) {
        self.0.hashes.distances(index, &self.1, out);
    }

    fn row(&self, slot: u32) -> u32 {
        self.0.hashes.distance(slot, &self.1)
    }

    fn fits(&self, kind: u8) -> bool {
        kind & (has::HASH | has::NEAR_BLANK) == has::HASH
    }
}

/// By colours.
struct ColourScan<'a>(&'a Index, colours::Colours);

impl Scan for ColourScan<'_> {
    fn block(&self, index: usize, out: &mut [u16; ROWS]) {
        self.0.colours.differences(index, &self.1, out);
    }

    fn row(&self, slot: u32) -> u32 {
        self.0.colours.get(slot).difference(&self.1)
    }

    fn fits(&self, kind: u8) -> bool {
        kind & has::COLOURS != 0
    }
}
