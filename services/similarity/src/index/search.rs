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

/// Within so many bits the first quarter of a hash alone excludes nearly every post: of strangers half
/// of its 64 bits differ.
const TELLING: u32 = 12;

/// Vectors lie far apart: so many are asked for before they are compared.
const AHEAD: usize = 2;

/// So many vectors are compared before it is looked whether any of them was among the best `k`; if none
/// was, the remaining ones, whose codes are farther, are left alone.
const PART: usize = 512;

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
    /// Keys of all rows of a block: the smaller, the nearer. `false` if none can be within the bound;
    /// then the keys are meaningless.
    fn block(&self, index: usize, bound: u32, out: &mut [u16; ROWS]) -> bool;
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
            posts.extend(self.like_vector(vector, &scope, subject.post, search.k));
        }
        if let Some(hash) = subject.hash.filter(|_| used(Channel::PerceptualHash)) {
            let nearest = Nearest::within(keep, self.reach(subject, search));
            posts.extend(self.scan(&HashScan(self, hash), &scope, subject.post, nearest));
        }
        if let Some(colours) = subject.colours.filter(|_| used(Channel::Colour)) {
            let nearest = Nearest::new(keep);
            posts.extend(self.scan(&ColourScan(self, colours), &scope, subject.post, nearest));
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

    /// Bits in which a hash may differ for the post to be in the answer. A lowest score bounds them if
    /// nothing else can raise it: then what is asked is who lies within a radius.
    fn reach(&self, subject: &Subject, search: &Search<'_>) -> u32 {
        let others = [Channel::Embedding, Channel::Colour, Channel::Tags];
        let alone = others.iter().all(|channel| {
            let known = *channel == Channel::Tags || subject.has(*channel);
            search.weights.of(*channel) <= 0.0 || !known
        });
        match alone && search.min_score > 0.0 {
            true => hashes::reach(search.min_score),
            false => u32::MAX,
        }
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
    ///
    /// Nearest codes first: where vectors lie in clusters, as those of pictures do, the best are
    /// among the first few hundred, and the rest need not be fetched from all over the memory.
    fn like_vector(
        &self,
        vector: &[f32],
        scope: &Scope<'_>,
        without: Option<PostId>,
        k: usize,
    ) -> Vec<(u32, PostId)> {
        let keep = pool(k);
        let depth = POOL.max(keep);
        // One more than is compared, to see whether any was left out.
        let by_code = Nearest::new(depth + 1);
        let mut worth_comparing = match self.vectors.centre() {
            Some(centre) => self.scan(
                &CodeScan(self, centre.code(vector)),
                scope,
                without,
                by_code,
            ),
            // There is no centre until there are more vectors than are compared in any case.
            None => self.scan(&Everything, scope, without, by_code),
        };
        // Where nothing was left out, the answer is to be exact.
        let exact = worth_comparing.len() <= depth;
        worth_comparing.sort_unstable();
        worth_comparing.truncate(depth);
        let rows: Vec<(PostId, u32)> = worth_comparing
            .into_iter()
            .filter_map(|(_, post)| Some((post, self.slots.get(post)?)))
            .collect();
        let (mut nearest, mut leaders) = (Nearest::new(keep), Nearest::new(k));
        for (part, span) in rows.chunks(PART).enumerate() {
            let before = leaders.settle();
            let mut better = false;
            for (at, (post, slot)) in span.iter().enumerate() {
                if let Some((_, soon)) = rows.get(part * PART + at + AHEAD) {
                    self.vectors.prefetch(*soon);
                }
                let key = falling(self.vectors.cosine(*slot, vector));
                better |= key < before;
                nearest.push(key, *post);
                leaders.push(key, *post);
            }
            let enough = (part + 1) * PART >= keep;
            if !better && !exact && enough {
                break;
            }
        }
        nearest.into_best()
    }

    /// The rows with the smallest keys, equal ones by post number.
    fn scan(
        &self,
        scan: &impl Scan,
        scope: &Scope<'_>,
        without: Option<PostId>,
        mut nearest: Nearest,
    ) -> Vec<(u32, PostId)> {
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
            self.rows.prefetch(block);
            if !scan.block(block, nearest.bound(), &mut keys) {
                continue;
            }
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
    fn block(&self, _: usize, _: u32, out: &mut [u16; ROWS]) -> bool {
        out.fill(0);
        true
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
    fn block(&self, index: usize, _: u32, out: &mut [u16; ROWS]) -> bool {
        self.0.vectors.codes().distances(index, &self.1, out);
        true
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
    fn block(&self, index: usize, bound: u32, out: &mut [u16; ROWS]) -> bool {
        let hashes = &self.0.hashes;
        if bound <= TELLING && !hashes.may_be_within(index, &self.1, bound) {
            return false;
        }
        hashes.distances(index, &self.1, out);
        true
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
    fn block(&self, index: usize, _: u32, out: &mut [u16; ROWS]) -> bool {
        self.0.colours.differences(index, &self.1, out);
        true
    }

    fn row(&self, slot: u32) -> u32 {
        self.0.colours.get(slot).difference(&self.1)
    }

    fn fits(&self, kind: u8) -> bool {
        kind & has::COLOURS != 0
    }
}
