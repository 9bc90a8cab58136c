//! What a library costs once it is there.

use std::path::Path;
use std::time::{Duration, Instant};

use kumo_store_core::index::{Question, TagMatching};
use kumo_store_core::{Category, Options, PostId, Store, TagId};

use crate::random::Random;
use crate::{Result, now, say};

/// Posts whose tags are matched.
const ASKED: u64 = 300;

/// Opens the library anew, and says how large it is and what matching takes.
pub(crate) fn ask(dir: &Path, posts: u32) -> Result<()> {
    let started = Instant::now();
    let store = Store::open(dir, &Options::default(), now())?;
    say(&format!("opened anew in {:.1?}", started.elapsed()));
    let stats = store.stats()?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    say(&format!(
        "{} posts, {} tags, {} associations, {} source records, {} vectors",
        stats.posts, stats.tags, stats.associations, stats.source_records, stats.embeddings
    ));
    say(&format!("database {:.1} MiB", mib(stats.database_bytes)));
    let index = stats.memory.index;
    say(&format!(
        "index {:.1} MiB: postings {:.1} ({:.2} bytes an association), columns {:.1}, flags {:.2}; \
         names of tags {:.1}",
        mib((index.postings + index.columns + index.flags) as u64),
        mib(index.postings as u64),
        index.postings as f64 / index.associations.max(1) as f64,
        mib(index.columns as u64),
        mib(index.flags as u64),
        mib(stats.memory.tag_names as u64),
    ));
    say(&format!("resident {} MiB", resident_kib()? >> 10));
    match_tags(&store, posts, 200, "posts that share tags, the best 200")?;
    match_tags(&store, posts, 10_000, "the best 10,000")?;
    most_common(&store)
}

/// Matches the tags of some posts.
fn match_tags(store: &Store, posts: u32, limit: usize, what: &str) -> Result<()> {
    let mut random = Random::new(10, 0);
    let (mut wholes, mut steps) = (Vec::new(), Vec::new());
    for _ in 0..ASKED {
        let subject = 1 + random.below(u64::from(posts)) as PostId;
        let Some(post) = store.post(subject)? else {
            continue;
        };
        let tags = post.tags.iter().filter_map(|&tag| store.tags().get(tag));
        let tags = tags.map(|tag| (tag.id, tag.category)).collect();
        wholes.push(answer(store, tags, Some(subject), limit, &mut steps));
    }
    report(what, wholes);
    report("a step of it", steps);
    Ok(())
}

/// The worst that can be asked: a thousand tags, the most common of all.
fn most_common(store: &Store) -> Result<()> {
    let mut tags: Vec<_> = store.tags().with_prefix("").collect();
    tags.sort_by_key(|tag| std::cmp::Reverse(store.index().tag_count(tag.id)));
    tags.truncate(1_000);
    let tags: Vec<_> = tags.into_iter().map(|tag| (tag.id, tag.category)).collect();
    let (mut wholes, mut steps) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        wholes.push(answer(store, tags.clone(), None, 10_000, &mut steps));
    }
    report("the thousand most common tags, the best 10,000", wholes);
    report("a step of it", steps);
    Ok(())
}

fn answer(
    store: &Store,
    tags: Vec<(TagId, Category)>,
    except: Option<PostId>,
    limit: usize,
    steps: &mut Vec<Duration>,
) -> Duration {
    let started = Instant::now();
    let question = Question {
        tags,
        except,
        limit,
        also: Vec::new(),
        within: None,
    };
    let mut matching = TagMatching::new(store.index(), question);
    loop {
        let step = Instant::now();
        let more = matching.step(store.index());
        steps.push(step.elapsed());
        if !more {
            matching.finish();
            return started.elapsed();
        }
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    say(&format!(
        "{what}: p50 {:.1?}, p99 {:.1?}, longest {:.1?} of {}",
        at(50),
        at(99),
        at(100),
        times.len()
    ));
}

/// Of this process, by the kernel's word.
fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}
