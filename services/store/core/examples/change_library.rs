//! Measures how long the largest calls about posts hold the store, on a library that it changes:
//!
//! ```text
//! cargo run --release -p kumo-store-core --example fill_library -- L1 DIR
//! cargo run --release -p kumo-store-core --example change_library -- DIR
//! ```
//!
//! Of each call: the request, which nothing can interrupt, and the COMMIT of its group.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kumo_store_core::edit::{NewTag, PostEdit, RatingChange};
use kumo_store_core::{Error, Now, Options, PostId, Rating, Store, Write, edit, rejected, trash};

/// Calls of each kind.
const CALLS: u32 = 5;

type Result<T> = std::result::Result<T, Box<dyn StdError>>;

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}

fn now() -> Now {
    Now {
        unix_ms: 1_800_000_000_000,
        mono_ms: 0,
    }
}

fn main() -> Result<()> {
    let dir = std::env::args().nth(1).map(PathBuf::from);
    let dir = dir.ok_or("usage: change_library DIR")?;
    let mut store = Store::open(&dir, &Options::default(), now())?;
    let stats = store.stats()?;
    let each = stats.associations / stats.posts.max(1);
    say(&format!("{} posts of {each} tags", stats.posts));

    // Spread over the whole library, as what a search finds is.
    let calls = |count: usize| -> Vec<Vec<PostId>> {
        let stride = u32::try_from(stats.posts).unwrap_or(0) / (count as u32 * CALLS);
        let pick = |call, at| 1 + (at * CALLS + call) * stride;
        (0..CALLS)
            .map(|call| (0..count as u32).map(|at| pick(call, at)).collect())
            .collect()
    };
    for tags in [1, edit::MAX_TAGS / edit::MAX_POSTS] {
        let what = format!("{} posts edited, {tags} new tags each", edit::MAX_POSTS);
        measure(&mut store, &what, &calls(edit::MAX_POSTS), |w, posts| {
            let edits: Vec<PostEdit> = posts.iter().map(|&post| change(post, tags)).collect();
            w.edit_posts(&edits, "somebody", now()).map(drop)
        })?;
    }
    let posts = calls(trash::MAX_POSTS);
    let what = format!("{} posts into the trash", trash::MAX_POSTS);
    measure(&mut store, &what, &posts, |w, posts| {
        w.trash_posts(posts, now()).map(drop)
    })?;
    let mut contents = Vec::new();
    for &post in &posts[0] {
        contents.extend(store.post(post)?.map(|post| post.content.sha256));
    }
    let what = format!("{} posts ended, some of them purged", trash::MAX_POSTS);
    measure(&mut store, &what, &posts, |w, posts| {
        w.purge_posts(posts, now()).map(drop)
    })?;
    let rest: Vec<Vec<PostId>> = vec![Vec::new(); 50];
    measure(&mut store, "a slice of it", &rest, |w, _| {
        w.purge_ended(now()).map(drop)
    })?;
    contents.truncate(rejected::MAX_ALLOWED);
    let what = format!("{} contents allowed", contents.len());
    measure(&mut store, &what, &[Vec::new()], |w, _| {
        w.allow_rejected(&contents, now()).map(drop)
    })?;
    sources(&mut store)
}

fn change(post: PostId, tags: usize) -> PostEdit {
    let add = (0..tags).map(|tag| NewTag {
        name: format!("said_of_it_{tags}_{tag}"),
        category: None,
    });
    PostEdit {
        post,
        add: add.collect(),
        rating: RatingChange::Set(Rating::Sensitive),
        ..PostEdit::default()
    }
}

fn measure(
    store: &mut Store,
    what: &str,
    calls: &[Vec<PostId>],
    work: impl Fn(&mut Write<'_>, &[PostId]) -> std::result::Result<(), Error>,
) -> Result<()> {
    let (mut requests, mut commits) = (Vec::new(), Vec::new());
    for posts in calls {
        store.begin()?;
        let started = Instant::now();
        store.request(|w| work(w, posts))?;
        requests.push(started.elapsed());
        let started = Instant::now();
        store.commit()?;
        commits.push(started.elapsed());
    }
    report(what, requests, commits);
    Ok(())
}

/// The slices in which posts are derived anew when a source gets another priority.
fn sources(store: &mut Store) -> Result<()> {
    let Some(source) = store.sources_of_records()?.pop() else {
        return Ok(());
    };
    store.write(|w| w.update_source(&source.name, source.priority + 1))?;
    let (mut requests, mut commits) = (Vec::new(), Vec::new());
    loop {
        store.begin()?;
        let started = Instant::now();
        let more = store.request(|w| w.upkeep(now()))?;
        requests.push(started.elapsed());
        let started = Instant::now();
        store.commit()?;
        commits.push(started.elapsed());
        if !more {
            report("a slice of posts derived anew", requests, commits);
            return Ok(());
        }
    }
}

fn report(what: &str, mut requests: Vec<Duration>, mut commits: Vec<Duration>) {
    requests.sort_unstable();
    commits.sort_unstable();
    let (middle, last) = (requests.len() / 2, requests.len() - 1);
    say(&format!(
        "{what}: median {:.1?}, longest {:.1?}, COMMIT {:.1?}; {} times",
        requests[middle],
        requests[last],
        commits[middle],
        requests.len()
    ));
}
