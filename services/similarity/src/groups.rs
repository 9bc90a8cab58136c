//! Duplicates, page by page: computed once for as long as nothing changes, with a keeper for each
//! group of the page that is asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kit::{Code, Shutdown};
use proto::store::v1::Post;
use tokio::sync::Mutex;
use tonic::Status;

use crate::Error;
use crate::duplicates::{Duplicates, Facts, Group, Keeper, Member, Options, keeper};
use crate::index::PostId;
use crate::live::Live;
use crate::store::Store;

/// Most posts of a group that are shown (its reason says so), and after how many a page ends.
const MOST_POSTS: usize = 10_000;
/// Posts whose facts are read at once; halved while the store says that it is too much.
const FACTS: usize = 100;

/// Finds groups of posts that are nearly the same.
pub(crate) struct Groups {
    live: Arc<Live>,
    store: Store,
    shutdown: Shutdown,
    /// The last result. Whoever computes holds it: a second one would find the same.
    last: Mutex<Option<Arc<Computed>>>,
}

/// Everything that was found in one state of the index. A post is in at most one group, so this is
/// bounded by their number.
struct Computed {
    version: u64,
    epoch: u64,
    options: Options,
    found: Duplicates,
}

/// Says that the caller has left, so that nobody computes for him any more.
#[derive(Default)]
struct Left(Arc<AtomicBool>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Asked {
    pub(crate) options: Options,
    /// The pictures that were set apart instead of groups.
    pub(crate) near_blank: bool,
}

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) groups: Vec<Kept>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
    pub(crate) total: u64,
    pub(crate) near_blank: u64,
}

/// A group with its keeper.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The keeper first.
    pub(crate) members: Vec<Member>,
    pub(crate) reason: String,
}

impl Groups {
    pub(crate) fn new(live: Arc<Live>, store: Store, shutdown: Shutdown) -> Self {
        Self {
            live,
            store,
            shutdown,
            last: Mutex::default(),
        }
    }

    /// A page of at most `size` groups.
    pub(crate) async fn page(&self, asked: Asked, size: usize, token: &str) -> Result<Page, Error> {
        let computed = self.compute(asked.options).await?;
        let after = match token {
            "" => 0,
            token => place(token, computed.epoch, asked).ok_or_else(|| Error::token(token))?,
        };
        let (groups, total) = if asked.near_blank {
            let all = &computed.found.near_blank;
            (alone(all, after, size), all.len())
        } else {
            let all = &computed.found.groups;
            (grouped(all, after, size), all.len())
        };
        let last = groups.last().map(first);
        let more = last.is_some_and(|last| match asked.near_blank {
            true => computed.found.near_blank.last() > Some(&last),
            false => computed.found.groups.last().map(first) > Some(last),
        });
        let next = last.filter(|_| more);
        let groups = if asked.near_blank {
            groups.into_iter().map(blank).collect()
        } else {
            let mut kept = self.keep(groups, asked.options.min_cosine).await?;
            say_cut(&mut kept, &computed.found.groups);
            kept
        };
        Ok(Page {
            groups,
            next: next.map(|last| self::token(last, computed.epoch, asked)),
            total: total as u64,
            near_blank: computed.found.near_blank.len() as u64,
        })
    }

    /// All groups of the index as it is now.
    async fn compute(&self, options: Options) -> Result<Arc<Computed>, Error> {
        self.live.loaded()?;
        let mut last = self.last.lock().await;
        let _place = self.live.place().await?;
        let known = last.clone();
        let shutdown = self.shutdown.clone();
        let left = Left::default();
        let gone = Arc::clone(&left.0);
        let computing = self.live.read(move |view| {
            let epoch = match view.cursor {
                Some(cursor) => cursor.epoch,
                None => {
                    let posts = view.index.posts();
                    return Err(Error::Loading { posts });
                }
            };
            let fits = |known: &Arc<Computed>| {
                (known.version, known.epoch) == (view.version, epoch) && known.options == options
            };
            if let Some(known) = known.filter(fits) {
                return Ok(known);
            }
            let stop = || shutdown.is_begun() || gone.load(Ordering::Relaxed);
            let found = view.index.duplicates(&options, &stop);
            let found = found.ok_or(Error::Stopping)?;
            Ok(Arc::new(Computed {
                version: view.version,
                epoch,
                options,
                found,
            }))
        });
        let computed = computing.await??;
        *last = Some(Arc::clone(&computed));
        Ok(computed)
    }

    /// Chooses the keepers by what the store knows of the posts.
    async fn keep(&self, groups: Vec<Group>, min_cosine: f32) -> Result<Vec<Kept>, Error> {
        let posts: Vec<PostId> = groups
            .iter()
            .flat_map(|group| group.posts.clone())
            .collect();
        let facts = self.facts(&posts).await?;
        let facts: HashMap<PostId, Facts> = facts
            .iter()
            .map(|(post, known)| (*post, fact(*post, known)))
            .collect();
        self.live
            .read(move |view| {
                let kept = groups.into_iter().filter_map(|group| {
                    // Posts that were deleted in the meantime have no facts any more.
                    let there = |post: &&PostId| facts.contains_key(post);
                    let posts: Vec<PostId> = group.posts.iter().filter(there).copied().collect();
                    let known: Vec<Facts> = posts.iter().map(|post| facts[post].clone()).collect();
                    let Keeper { post, reason } = keeper(&known)?;
                    let group = Group { posts };
                    let members = view.index.members(&group, post, min_cosine);
                    (members.len() > 1).then_some(Kept { members, reason })
                });
                kept.collect()
            })
            .await
    }

    /// What the store knows of posts.
    async fn facts(&self, posts: &[PostId]) -> Result<HashMap<PostId, Post>, Error> {
        const WHAT: &str = "the choice of what to keep";
        let mut known = HashMap::with_capacity(posts.len());
        let mut parts: Vec<&[PostId]> = posts.chunks(FACTS).rev().collect();
        while let Some(part) = parts.pop() {
            match self.store.posts(part).await {
                Ok(found) => known.extend(found),
                Err(status) if part.len() > 1 && is_too_much(&status) => {
                    let (one, other) = part.split_at(part.len() / 2);
                    parts.extend([other, one]);
                }
                Err(status) => return Err(Error::of_store(WHAT, &status)),
            }
        }
        Ok(known)
    }
}

fn is_too_much(status: &Status) -> bool {
    kit::code::of(status) == Code::InvalidArgument
}

fn fact(post: PostId, known: &Post) -> Facts {
    let edits = known.edits.as_ref().map_or(0, |edits| {
        let rating = usize::from(edits.rating_time.is_some());
        u32::try_from(edits.tags.len() + rating).unwrap_or(u32::MAX)
    });
    Facts {
        post,
        pixels: u64::from(known.width) * u64::from(known.height),
        bytes: known.byte_size,
        media_type: known.media_type.clone(),
        partial: known.partial,
        edits,
    }
}

/// The lowest post of a group, by which groups are in order.
fn first(group: &Group) -> PostId {
    group.posts.first().copied().unwrap_or_default()
}

/// The groups after a place, until the page is full.
fn grouped(all: &[Group], after: PostId, size: usize) -> Vec<Group> {
    let begin = all.partition_point(|group| first(group) <= after);
    let mut posts = 0;
    let page = all[begin..].iter().take(size).take_while(|group| {
        let fits = posts < MOST_POSTS;
        posts += group.posts.len();
        fits
    });
    page.map(|group| Group {
        posts: group.posts.iter().take(MOST_POSTS).copied().collect(),
    })
    .collect()
}

/// Says of groups of which only a part is shown how large they are. A part is the first posts, so
/// it has its group's lowest one, or that is gone and there is nothing to say.
fn say_cut(kept: &mut [Kept], all: &[Group]) {
    for kept in kept {
        let lowest = kept.members.iter().map(|member| member.post).min();
        let whole = all.binary_search_by_key(&lowest, |group| Some(first(group)));
        let posts = whole.map_or(0, |at| all[at].posts.len());
        if posts > MOST_POSTS {
            kept.reason = format!(
                "{}; of the {posts} posts of this group only the {MOST_POSTS} with the lowest \
                 numbers are listed and compared",
                kept.reason
            );
        }
    }
}

/// Each post as a group of its own.
fn alone(all: &[PostId], after: PostId, size: usize) -> Vec<Group> {
    let begin = all.partition_point(|post| *post <= after);
    let page = all[begin..].iter().take(size);
    page.map(|post| Group { posts: vec![*post] }).collect()
}

fn blank(group: Group) -> Kept {
    let members = group.posts.into_iter().map(|post| Member {
        post,
        distance: 0,
        cosine: None,
        verified: false,
    });
    Kept {
        members: members.collect(),
        reason: "it is nearly blank, so its hash does not say what it is like".to_owned(),
    }
}

/// Bytes of a token: what the list is of, and the last post seen.
const TOKEN: usize = 18;

fn list(epoch: u64, asked: Asked) -> [u8; TOKEN - 4] {
    let mut list = [0; TOKEN - 4];
    list[..8].copy_from_slice(&epoch.to_le_bytes());
    list[8..12].copy_from_slice(&asked.options.min_cosine.to_bits().to_le_bytes());
    list[12] = u8::try_from(asked.options.max_distance).unwrap_or(u8::MAX);
    list[13] = u8::from(asked.near_blank);
    list
}

fn token(last: PostId, epoch: u64, asked: Asked) -> String {
    let mut bytes = list(epoch, asked).to_vec();
    bytes.extend(last.to_le_bytes());
    kit::hex::encode(&bytes)
}

/// The last post seen, if the token is of this list.
fn place(token: &str, epoch: u64, asked: Asked) -> Option<PostId> {
    let bytes: [u8; TOKEN] = kit::hex::decode(token)?;
    let last = bytes.strip_prefix(&list(epoch, asked))?;
    Some(PostId::from_le_bytes(last.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked {
            options: Options::default(),
            near_blank: false,
        }
    }

    fn group(posts: std::ops::Range<PostId>) -> Group {
        Group {
            posts: posts.collect(),
        }
    }

    #[test]
    fn a_token_belongs_to_its_list() {
        let token = token(77, 5, asked());
        assert_eq!(place(&token, 5, asked()), Some(77));
        assert_eq!(place(&token, 6, asked()), None, "another epoch");
        let mut others = [asked(); 3];
        others[0].near_blank = true;
        others[1].options.max_distance += 1;
        others[2].options.min_cosine = 0.5;
        for other in others {
            assert_eq!(place(&token, 5, other), None, "{other:?}");
        }
        for bad in ["x", "00", &token[1..], &format!("{token}00")] {
            assert_eq!(place(bad, 5, asked()), None, "{bad}");
        }
    }

    #[test]
    fn pages_follow_each_other_whatever_goes_meanwhile() {
        let all = [group(1..3), group(5..9), group(10..12), group(20..30)];
        let page = grouped(&all, 0, 2);
        assert_eq!(page.iter().map(first).collect::<Vec<_>>(), [1, 5]);
        // The group that ended the page is gone, and another one came before it.
        let all = [group(1..3), group(3..5), group(10..12), group(20..30)];
        let page = grouped(&all, 5, 2);
        assert_eq!(page.iter().map(first).collect::<Vec<_>>(), [10, 20]);
        assert_eq!(alone(&[2, 4, 6], 2, 1)[0].posts, [4]);
    }

    #[test]
    fn a_group_that_is_cut_says_so() {
        let all = [group(1..3), group(10..20_010)];
        let kept = grouped(&all, 0, 10).into_iter().map(|group| Kept {
            reason: "it is whole".to_owned(),
            ..blank(group)
        });
        let mut kept: Vec<Kept> = kept.collect();
        say_cut(&mut kept, &all);
        assert_eq!(kept[0].reason, "it is whole");
        let told = &kept[1].reason;
        assert!(
            told.contains("20000 posts") && told.contains("10000"),
            "{told}"
        );
    }

    #[test]
    fn a_page_ends_before_it_grows_too_large() {
        let all = [group(1..20_001), group(30_000..30_002)];
        let page = grouped(&all, 0, 10);
        assert_eq!(page.len(), 1, "the first alone is more than a page");
        assert_eq!(page[0].posts.len(), MOST_POSTS);
        assert_eq!(grouped(&all, 1, 10).len(), 1, "the next page goes on");
    }
}
