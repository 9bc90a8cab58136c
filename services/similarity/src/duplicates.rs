//! Near-duplicates: posts that are nearly the same picture, as groups.
//!
//! Two posts are a pair if their hashes differ in at most `max_distance` bits and, where both have
//! a vector, its cosine is at least `min_cosine`. Joining whatever pairs connect would let chains
//! (each picture close to the next, the ends strangers) swallow a library. So a group is a star: in
//! the order of post numbers, each post that is in no group yet leads one with every later post
//! that is in no group and is a pair with it. Whatever is in a group is a pair with its lowest
//! post; new posts, which have the highest numbers, never rearrange older groups; and what a chain
//! leaves over comes up again, as a group of its own, as soon as the one before it is resolved.
//!
//! Nearly blank pictures have nearly random hashes, or all the same: they are set apart.
//!
//! Pairs are found without comparing all with all: [`chunks`].

mod chunks;
mod keeper;
#[cfg(test)]
mod tests;

pub use keeper::{Facts, Keeper, keeper};

use crate::{
    hashes::{self, WORDS},
    index::{Index, PostId},
    slots::has,
};
use chunks::Plan;

/// The largest distance that is taken.
pub const MOST_DISTANCE: u32 = 32;

/// So many steps are made between two looks at whether to stop.
const STEPS: usize = 1024;

/// What counts as nearly the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Bits of 256 in which hashes may differ; above [`MOST_DISTANCE`] is taken as that.
    pub max_distance: u32,
    /// Cosine that two vectors must reach.
    pub min_cosine: f32,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// Groups, by their lowest post.
    pub groups: Vec<Group>,
    /// Posts set apart because they are nearly blank, ascending.
    pub near_blank: Vec<PostId>,
}

/// Posts that are nearly the same picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// They, ascending; at least two. The first is a pair with each of the others.
    pub posts: Vec<PostId>,
}

/// A post of a group, as seen from the one that should be kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// The post.
    pub post: PostId,
    /// Bits in which its hash differs from the keeper's.
    pub distance: u32,
    /// Cosine of its vector and the keeper's; `None` if one of them has none.
    pub cosine: Option<f32>,
    /// Whether a vector confirms that it belongs here: it and the first post of the group, or it
    /// and the keeper, have vectors that are alike.
    pub verified: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_distance: 10,
            min_cosine: 0.9,
        }
    }
}

/// Posts that may be in groups: ascending, each with its hash, and the same hashes collapsed.
struct Sheet {
    posts: Vec<(PostId, u32)>,
    /// Which hash each has, as a place in `hashes`.
    of: Vec<u32>,
    hashes: Vec<[u64; WORDS]>,
    /// Whether more than one post has it.
    shared: Vec<bool>,
}

impl Index {
    /// All groups of near-duplicates; `None` if `stop` said so, which is asked every few
    /// milliseconds. It takes a second for a million posts and a distance of 10, and up to minutes
    /// for 32: call it on a clone, on a thread of its own.
    #[must_use]
    pub fn duplicates(&self, options: &Options, stop: &dyn Fn() -> bool) -> Option<Duplicates> {
        let (sheet, near_blank) = self.sheet();
        let radius = options.max_distance.min(MOST_DISTANCE);
        let near = close(&sheet, radius, stop)?;
        let groups = self.stars(&sheet, &near, radius, options.min_cosine, stop)?;
        Some(Duplicates { groups, near_blank })
    }

    /// The posts of a group as seen from its keeper: that first, then by distance, then by number.
    /// Posts that were removed meanwhile are left out; without the keeper nothing is left.
    #[must_use]
    pub fn members(&self, group: &Group, keeper: PostId, min_cosine: f32) -> Vec<Member> {
        let hash = |post| self.subject(post).and_then(|subject| subject.hash);
        let Some(kept) = hash(keeper) else {
            return Vec::new();
        };
        let leader = group.posts.first().copied().unwrap_or(keeper);
        let alike = |a, b| self.cosine(a, b).is_some_and(|cosine| cosine >= min_cosine);
        let confirmed = |post: PostId| {
            [leader, keeper]
                .into_iter()
                .any(|other| other != post && alike(post, other))
        };
        let mut members: Vec<Member> = group
            .posts
            .iter()
            .filter_map(|post| {
                let distance = hashes::distance(&hash(*post)?, &kept);
                Some(Member {
                    post: *post,
                    distance,
                    cosine: self.cosine(*post, keeper),
                    verified: confirmed(*post),
                })
            })
            .collect();
        // The leader itself is confirmed by any of the others, and so is a keeper that leads.
        let others = members
            .iter()
            .any(|member| member.verified && member.post != leader);
        for member in members.iter_mut().filter(|member| member.post == leader) {
            member.verified |= others;
        }
        members.sort_by_key(|member| (member.post != keeper, member.distance, member.post));
        members
    }

    fn sheet(&self) -> (Sheet, Vec<PostId>) {
        let (mut posts, mut all, mut near_blank) = (Vec::new(), Vec::new(), Vec::new());
        for (post, slot) in self.slots.iter() {
            if let Some(hash) = self.hash(slot) {
                posts.push((post, slot));
                all.push(hash);
            } else if self.rows.holds(slot, has::NEAR_BLANK) {
                near_blank.push(post);
            }
        }
        // Sorted by a digest first, because the hashes themselves lie far apart.
        let digest = |hash: &[u64; WORDS]| hash.iter().fold(0, |sum, word| sum ^ word);
        let mut order: Vec<(u64, u32)> = all.iter().map(digest).zip(0..).collect();
        order.sort_unstable_by(|(a, left), (b, right)| {
            let exact = || all[*left as usize].cmp(&all[*right as usize]);
            a.cmp(b).then_with(exact).then(left.cmp(right))
        });
        let mut sheet = Sheet {
            of: vec![0; posts.len()],
            posts,
            hashes: Vec::new(),
            shared: Vec::new(),
        };
        for (_, at) in order {
            let hash = all[at as usize];
            if sheet.hashes.last() == Some(&hash) {
                sheet
                    .shared
                    .last_mut()
                    .into_iter()
                    .for_each(|shared| *shared = true);
            } else {
                sheet.hashes.push(hash);
                sheet.shared.push(false);
            }
            sheet.of[at as usize] = sheet.hashes.len() as u32 - 1;
        }
        (sheet, near_blank)
    }

    /// Groups among the posts whose hash is marked.
    fn stars(
        &self,
        sheet: &Sheet,
        near: &[bool],
        radius: u32,
        min_cosine: f32,
        stop: &dyn Fn() -> bool,
    ) -> Option<Vec<Group>> {
        // Hashes that have a neighbour, and the posts that have them.
        let marked: Vec<u32> = (0..near.len() as u32)
            .filter(|at| near[*at as usize])
            .collect();
        let mut place = vec![u32::MAX; near.len()];
        for (at, hash) in (0..).zip(&marked) {
            place[*hash as usize] = at;
        }
        let hashes: Vec<[u64; WORDS]> =
            marked.iter().map(|at| sheet.hashes[*at as usize]).collect();
        let mut posts: Vec<Vec<u32>> = vec![Vec::new(); marked.len()];
        let here = |at: usize| place[sheet.of[at] as usize];
        // Highest first, so that those still free are popped off the end.
        for at in (0..sheet.posts.len())
            .rev()
            .filter(|at| here(*at) != u32::MAX)
        {
            posts[here(at) as usize].push(at as u32);
        }
        let plan = Plan::new(radius, hashes.len());
        let tables = plan.tables(&hashes);
        let mut seen = vec![u32::MAX; hashes.len()];
        let mut taken = vec![false; sheet.posts.len()];
        let mut groups = Vec::new();
        for leader in (0..sheet.posts.len()).filter(|at| here(*at) != u32::MAX) {
            if stop() {
                return None;
            }
            if taken[leader] {
                continue;
            }
            taken[leader] = true;
            let hash = here(leader);
            let mut group = vec![leader as u32];
            let (_, slot) = sheet.posts[leader];
            let vector = self
                .rows
                .holds(slot, has::VECTOR)
                .then(|| self.vectors.get(slot));
            tables.visit(&hashes[hash as usize], |other| {
                let visited = std::mem::replace(&mut seen[other as usize], leader as u32);
                let free = &mut posts[other as usize];
                if visited == leader as u32
                    || free.is_empty()
                    || hashes::distance(&hashes[hash as usize], &hashes[other as usize]) > radius
                {
                    return;
                }
                free.retain(|at| {
                    if taken[*at as usize] {
                        return false;
                    }
                    let (_, slot) = sheet.posts[*at as usize];
                    let pair = vector.as_ref().is_none_or(|vector| {
                        !self.rows.holds(slot, has::VECTOR)
                            || self.vectors.cosine(slot, vector) >= min_cosine
                    });
                    if pair {
                        taken[*at as usize] = true;
                        group.push(*at);
                    }
                    !pair
                });
            });
            if group.len() > 1 {
                group.sort_unstable();
                let posts = group.iter().map(|at| sheet.posts[*at as usize].0);
                groups.push(Group {
                    posts: posts.collect(),
                });
            }
        }
        Some(groups)
    }
}

/// Which hashes are shared or have another one within the radius.
fn close(sheet: &Sheet, radius: u32, stop: &dyn Fn() -> bool) -> Option<Vec<bool>> {
    let mut near = sheet.shared.clone();
    let plan = Plan::new(radius, sheet.hashes.len());
    for chunk in 0..plan.count() {
        let table = plan.table(chunk, &sheet.hashes);
        for (step, (key, at)) in table.iter().enumerate() {
            if step % STEPS == 0 && stop() {
                return None;
            }
            // One that has a neighbour already need not look: whoever has none yet finds it.
            if near[at as usize] {
                continue;
            }
            let hash = &sheet.hashes[at as usize];
            let found = table.find(key, |other| {
                other != at && hashes::distance(hash, &sheet.hashes[other as usize]) <= radius
            });
            if let Some(other) = found {
                near[at as usize] = true;
                near[other as usize] = true;
            }
        }
    }
    Some(near)
}
