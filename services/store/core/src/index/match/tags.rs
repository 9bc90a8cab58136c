//! The posts that share most with a list of tags.
//!
//! A post's score is the weight of the tags it shares over the weight of all that were asked for.
//! A tag weighs category weight × ln(1 + N / df), N being the posts outside the trash and df all
//! posts that have the tag, those in the trash too, because that is what is counted already: what
//! two posts share says the more, the rarer it is. Until the trash is emptied, tags of what is in it
//! weigh a little less.
//!
//! The answer is exact, and yet most of the library is not looked at (MaxScore): once the best
//! found so far all score `need`, a post that has none but the most frequent tags, whose weights
//! together are below `need`, cannot be among them. Only the lists of the other tags are run
//! through, and the frequent ones are asked about the few posts that are left.
//!
//! It goes through the library in blocks of [`BLOCK`] posts, each a step of its own, so that
//! nobody is kept waiting by a long list of frequent tags; it holds [`BLOCK`] sums of 8 bytes. If
//! tags change between steps, each post is judged by those it had when its block was reached.
//! Weights are counted in steps of 2^-32: sums do not depend on their order, so equals are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use roaring::RoaringBitmap;

use super::Found;
use crate::index::Index;
use crate::index::postings::Posting;
use crate::{Category, PostId, TagId};

/// Posts of one step.
const BLOCK: u32 = 16_384;
/// Most pairs of post and tag that one step looks up one by one; each takes up to 30 ns.
const LOOK_UPS: usize = 100_000;
/// An entry of a list is added this many times faster than one post is looked up in it.
const FASTER: u64 = 16;
/// Steps of weight in 1.
const UNIT: f64 = (1_u64 << 32) as f64;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// The tags to match, each once.
    pub tags: Vec<(TagId, Category)>,
    /// A post that is no answer, because the tags are its own.
    pub except: Option<PostId>,
    /// How many of the best are wanted.
    pub limit: usize,
    /// Posts to be scored whatever their place.
    pub also: Vec<PostId>,
    /// Only these may be among the best.
    pub within: Option<Found>,
}

/// A post and the share of the weight that it has, above 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TagMatch {
    /// The post.
    pub post: PostId,
    /// Its score.
    pub score: f32,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Matches {
    /// The best, highest score first, then by ascending number.
    pub best: Vec<TagMatch>,
    /// Scores of [`Question::also`]; 0 for posts that are gone or in the trash.
    pub also: Vec<f32>,
    /// How many tags counted: those that some post has.
    pub tags: usize,
}

/// A question being answered.
#[derive(Debug)]
pub struct TagMatching {
    question: Question,
    /// Cheapest first: fewest posts for their weight.
    terms: Vec<Term>,
    total: u64,
    stage: Stage,
    /// A score that as many posts reach as are wanted.
    floor: u64,
    /// The best so far, the worst of them on top.
    best: BinaryHeap<(Reverse<u64>, PostId)>,
    /// Sums of the posts of a block.
    sums: Box<[u64]>,
    also: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Term {
    tag: TagId,
    weight: u64,
    posts: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A first guess of the best, for a floor.
    Floor,
    /// From this post on, which may be beyond the last number.
    Blocks(u64),
    Also,
    Over,
}

/// The weight of a category.
fn category_weight(category: Category) -> f64 {
    match category {
        Category::Character => 3.0,
        Category::Copyright | Category::Artist => 2.0,
        Category::Species => 1.5,
        Category::General => 1.0,
        Category::Meta => 0.25,
    }
}

/// What a tag weighs that `posts` of `all` have.
fn weight(category: Category, posts: u64, all: u64) -> f64 {
    category_weight(category) * (1.0 + all as f64 / posts as f64).ln()
}

impl TagMatching {
    /// Prepares an answer. Tags that no post has are left out.
    pub fn new(index: &Index, question: Question) -> Self {
        let all = index.live.len();
        let term = |&(tag, category): &(TagId, Category)| {
            let posts = index.tag_count(tag);
            let weight = (weight(category, posts.max(1), all) * UNIT).round() as u64;
            (posts > 0 && weight > 0).then_some(Term { tag, weight, posts })
        };
        let mut terms: Vec<Term> = question.tags.iter().filter_map(term).collect();
        terms.sort_by(|a, b| {
            let (left, right) = (
                a.posts as f64 * b.weight as f64,
                b.posts as f64 * a.weight as f64,
            );
            left.total_cmp(&right).then(a.tag.cmp(&b.tag))
        });
        Self {
            total: terms.iter().map(|term| term.weight).sum(),
            terms,
            stage: Stage::Floor,
            floor: 0,
            best: BinaryHeap::new(),
            sums: vec![0; BLOCK as usize].into(),
            also: Vec::with_capacity(question.also.len()),
            question,
        }
    }

    /// Takes one step of a few milliseconds at most; false when there is none left.
    pub fn step(&mut self, index: &Index) -> bool {
        self.stage = match self.stage {
            _ if self.terms.is_empty() => Stage::Over,
            Stage::Floor => {
                self.floor = self.first_guess(index);
                Stage::Blocks(0)
            }
            Stage::Blocks(from) => self.next_block(index, from),
            Stage::Also => self.some_also(index),
            Stage::Over => Stage::Over,
        };
        self.stage != Stage::Over
    }

    /// The answer, once no step is left.
    pub fn finish(self) -> Matches {
        let total = self.total.max(1) as f64;
        let share = |sum: u64| (sum as f64 / total) as f32;
        let best = self.best.into_sorted_vec().into_iter();
        let mut also: Vec<f32> = self.also.into_iter().map(share).collect();
        also.resize(self.question.also.len(), 0.0);
        Matches {
            best: best
                .map(|(Reverse(sum), post)| TagMatch {
                    post,
                    score: share(sum),
                })
                .collect(),
            also,
            tags: self.terms.len(),
        }
    }

    /// The worst of the best among some posts that have the rarest tags; 0 if these are too few.
    fn first_guess(&self, index: &Index) -> u64 {
        let limit = self.question.limit;
        let most = (LOOK_UPS / self.terms.len()).min(limit.saturating_mul(8));
        if limit == 0 || most < limit {
            return 0;
        }
        let mut some = RoaringBitmap::new();
        for term in &self.terms {
            let room = most.saturating_sub(some.len() as usize);
            let Some(posting) = index.postings.get(term.tag).filter(|_| room > 0) else {
                break;
            };
            some.extend(posting.iter().take(room));
        }
        let lists = self.lists(index);
        let may = some.into_iter().filter(|&post| self.may_be(index, post));
        let mut sums: Vec<u64> = may.map(|post| sum(&lists, post)).collect();
        if sums.len() < limit {
            return 0;
        }
        let (_, worst, _) = sums.select_nth_unstable_by_key(limit - 1, |&sum| Reverse(sum));
        *worst
    }

    /// The block of the first post from `from` on that may be an answer.
    fn next_block(&mut self, index: &Index, from: u64) -> Stage {
        let posts = match &self.question.within {
            Some(found) => &found.0,
            None => &index.live,
        };
        let enough = self.need() > self.total || self.question.limit == 0;
        let from = PostId::try_from(from).ok().filter(|_| !enough);
        let Some(next) = from.and_then(|from| posts.range(from..).next()) else {
            // Posts on which the floor rested may be gone by now.
            let short = self.best.len() < self.question.limit && self.floor > 0;
            self.floor = 0;
            if short {
                self.best.clear();
                return Stage::Blocks(0);
            }
            return Stage::Also;
        };
        let first = next - next % BLOCK;
        self.block(index, first);
        Stage::Blocks(u64::from(first) + u64::from(BLOCK))
    }

    /// The least sum that is still among the best. Blocks ascend, so of equals the first stays.
    fn need(&self) -> u64 {
        match self.best.peek() {
            Some((Reverse(worst), _)) if self.best.len() >= self.question.limit => worst + 1,
            Some(_) | None => self.floor.max(1),
        }
    }

    fn block(&mut self, index: &Index, first: PostId) {
        let need = self.need();
        // From `cut` on: terms that do not make an answer by themselves, all together.
        let (mut cut, mut rest) = (self.terms.len(), 0);
        while let Some(term) = self.terms[..cut].last().filter(|t| rest + t.weight < need) {
            rest += term.weight;
            cut -= 1;
        }
        self.sums.fill(0);
        let mut any = false;
        for at in 0..cut {
            any |= self.add(index, self.terms[at], first);
        }
        if !any {
            return;
        }
        let sums = self.sums.iter().enumerate();
        let likely = sums.filter(|&(_, &sum)| sum > 0 && sum + rest >= need);
        let mut likely: Vec<PostId> = likely
            .map(|(at, _)| first + at as u32)
            .filter(|&post| self.may_be(index, post))
            .collect();
        let mut others = self.terms[cut..].to_vec();
        others.sort_by_key(|term| Reverse(term.weight));
        for term in others {
            rest -= term.weight;
            self.ask(index, term, first, &likely);
            likely.retain(|&post| self.sums[(post - first) as usize] + rest >= need);
        }
        for post in likely {
            self.offer(post, self.sums[(post - first) as usize]);
        }
    }

    /// Adds a term's weight to the posts of a block that have it; false if there is none.
    fn add(&mut self, index: &Index, term: Term, first: PostId) -> bool {
        let Some(posting) = index.postings.get(term.tag) else {
            return false;
        };
        let mut any = false;
        posting.each(first, first + (BLOCK - 1), |post| {
            self.sums[(post - first) as usize] += term.weight;
            any = true;
        });
        any
    }

    /// Adds a term's weight at least to those of `posts`, all of one block, that have it.
    fn ask(&mut self, index: &Index, term: Term, first: PostId, posts: &[PostId]) {
        let all = u64::from(index.live.max().unwrap_or(0)) + 1;
        let expected = term.posts * u64::from(BLOCK) / all;
        if posts.len() as u64 * FASTER > expected {
            self.add(index, term, first);
            return;
        }
        let Some(posting) = index.postings.get(term.tag) else {
            return;
        };
        for &post in posts {
            if posting.contains(post) {
                self.sums[(post - first) as usize] += term.weight;
            }
        }
    }

    fn offer(&mut self, post: PostId, sum: u64) {
        if sum < self.need() {
            return;
        }
        if self.best.len() >= self.question.limit {
            self.best.pop();
        }
        self.best.push((Reverse(sum), post));
    }

    fn some_also(&mut self, index: &Index) -> Stage {
        let start = self.also.len();
        let slice = (LOOK_UPS / self.terms.len()).max(1);
        let lists = self.lists(index);
        let posts = self.question.also.iter().skip(start).take(slice);
        let sums: Vec<u64> = posts
            .map(|&post| match index.live.contains(post) {
                true => sum(&lists, post),
                false => 0,
            })
            .collect();
        self.also.extend(sums);
        match self.also.len() == self.question.also.len() {
            true => Stage::Over,
            false => Stage::Also,
        }
    }

    /// What each term that still has posts weighs.
    fn lists<'a>(&self, index: &'a Index) -> Vec<(&'a Posting, u64)> {
        let list = |term: &Term| Some((index.postings.get(term.tag)?, term.weight));
        self.terms.iter().filter_map(list).collect()
    }

    /// Whether a post may be among the best at all.
    fn may_be(&self, index: &Index, post: PostId) -> bool {
        let within = self.question.within.as_ref();
        index.live.contains(post)
            && within.is_none_or(|found| found.contains(post))
            && self.question.except != Some(post)
    }
}

fn sum(lists: &[(&Posting, u64)], post: PostId) -> u64 {
    let has = lists.iter().filter(|(posting, _)| posting.contains(post));
    has.map(|(_, weight)| weight).sum()
}

#[cfg(test)]
mod tests;
