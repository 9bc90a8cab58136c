//! Answers: candidates of each channel, then all of them scored on every channel.
//!
//! Candidates by hash and by colour are exact. Those by embedding are exact among at most 4,096
//! vectors, all or those of a filter; of more, the 4,096 with the nearest binary codes are compared.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::{
    Index, PostId, Subject,
    scan::{CodeScan, ColourScan, Everything, HashScan, Scan, visit},
};
use crate::{
    blend::{Channel, Hit, Weights, rank},
    colours,
    column::ROWS,
    hashes, near,
    nearest::{Nearest, falling},
    slots::has,
    vectors::POOL,
};

/// A filter of at most one in so many rows is looked up post by post instead of scanning all.
const RARE: u32 = 16;

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
            posts.extend(self.like_hash(hash, &scope, subject.post, nearest));
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

    /// The posts whose hashes differ in the fewest bits.
    fn like_hash(
        &self,
        hash: [u64; hashes::WORDS],
        scope: &Scope<'_>,
        without: Option<PostId>,
        mut nearest: Nearest,
    ) -> Vec<(u32, PostId)> {
        let scan = HashScan(self, hash);
        let radius = nearest.bound();
        if radius > near::FARTHEST || matches!(scope, Scope::Few(_)) {
            return self.scan(&scan, scope, without, nearest);
        }
        let blocks = self.blocks();
        for (number, group) in self.near.groups().enumerate() {
            let first = (number * near::BLOCKS).min(blocks);
            let span = first..(first + near::BLOCKS).min(blocks);
            let begin = (first * ROWS) as u32;
            let hashes = || {
                let rows = (span.len() * ROWS) as u32;
                (0..rows).filter_map(|row| Some((row as u16, self.hash(begin + row)?)))
            };
            let known = group.table(hashes).is_some_and(|table| {
                table.visit(&hash, radius, |part, row| {
                    let slot = begin + u32::from(row);
                    let Some(bits) = self.hashes.within(slot, &hash, nearest.bound()) else {
                        return;
                    };
                    let counts = |other| near::first(&hash, &other, radius) == Some(part);
                    if self.hash(slot).is_some_and(counts) {
                        self.consider(&scan, scope, without, slot, bits, &mut nearest);
                    }
                })
            });
            if !known {
                self.scan_blocks(&scan, span, scope, without, &mut nearest);
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
        if let Scope::Few(slots) = scope {
            for slot in slots {
                self.consider(scan, scope, without, *slot, scan.row(*slot), &mut nearest);
            }
        } else {
            self.scan_blocks(scan, 0..self.blocks(), scope, without, &mut nearest);
        }
        nearest.into_best()
    }

    fn scan_blocks(
        &self,
        scan: &impl Scan,
        blocks: Range<usize>,
        scope: &Scope<'_>,
        without: Option<PostId>,
        nearest: &mut Nearest,
    ) {
        let mut keys = [0; ROWS];
        for block in blocks {
            self.rows.prefetch(block);
            if !scan.block(block, nearest.bound(), &mut keys) {
                continue;
            }
            visit(&keys, nearest.bound(), |row, key| {
                let slot = (block * ROWS + row) as u32;
                self.consider(scan, scope, without, slot, key, nearest);
                nearest.bound()
            });
        }
    }

    fn consider(
        &self,
        scan: &impl Scan,
        scope: &Scope<'_>,
        without: Option<PostId>,
        slot: u32,
        key: u32,
        nearest: &mut Nearest,
    ) {
        let post = self.rows.post(slot);
        let within = match scope {
            Scope::All | Scope::Few(_) => true,
            Scope::Many(within) => within.contains(post),
        };
        if scan.fits(self.rows.kind(slot)) && Some(post) != without && within {
            nearest.push(key, post);
        }
    }

    fn blocks(&self) -> usize {
        self.rows.columns()[0].len()
    }
}
