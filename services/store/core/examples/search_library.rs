//! How fast a library is opened and searched, in the store itself: `search_library DIR QUERIES
//! [COUNT]`. DIR is the data folder of a store that is not running. COUNT queries of three tags and
//! one that must not be there, drawn as often as posts have them, are written to the file QUERIES,
//! and each is asked once, a page of 100 and the exact count; then some of other kinds, which are
//! written to QUERIES.kinds. Prints one JSON object.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use kumo_store_core::query::Query;
use kumo_store_core::{Now, Options, Store};

const PAGE: usize = 100;
/// How often each query of the other kinds is asked.
const ROUNDS: usize = 200;

type Outcome<T> = Result<T, Box<dyn StdError>>;

/// SplitMix64: the same queries every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Tags that posts have, most common first, with the number of posts up to and including each.
struct Tags {
    names: Vec<String>,
    up_to: Vec<u64>,
}

impl Tags {
    fn of(store: &Store) -> Self {
        let count = |id| store.index().tag_count(id);
        let mut known: Vec<(u64, &str)> = store
            .tags()
            .with_prefix("")
            .map(|tag| (count(tag.id), tag.name))
            .filter(|(posts, _)| *posts > 0)
            .collect();
        known.sort_unstable_by(|a, b| b.cmp(a));
        let sum = |sum: &mut u64, (posts, _): &(u64, &str)| {
            *sum += posts;
            Some(*sum)
        };
        Self {
            up_to: known.iter().scan(0, sum).collect(),
            names: known.iter().map(|(_, name)| (*name).to_owned()).collect(),
        }
    }

    /// One of them, as likely as it is common.
    fn draw(&self, random: &mut Random) -> &str {
        let end = self.up_to.last().copied().unwrap_or_default();
        let at = random.next() % end.max(1);
        let place = self.up_to.partition_point(|sum| *sum <= at);
        self.names.get(place).map_or("none", String::as_str)
    }

    /// The one at this share of the list, 0 the most common.
    fn at(&self, share: f64) -> &str {
        let place = ((self.names.len().max(1) - 1) as f64 * share) as usize;
        self.names.get(place).map_or("none", String::as_str)
    }
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("name the folder of a library")?;
    let queries = arguments.next().ok_or("name a file for the queries")?;
    let count: usize = arguments.next().map_or(Ok(10_000), |count| count.parse())?;
    let now = Now {
        unix_ms: 1_700_000_000_000,
        mono_ms: 0,
    };
    let begun = Instant::now();
    let store = Store::open(Path::new(&dir), &Options::default(), now)?;
    let opened = begun.elapsed();
    let tags = Tags::of(&store);
    let drawn = draw(&tags, count);
    std::fs::write(&queries, drawn.join("\n"))?;
    let (times, found) = ask(&store, &drawn)?;
    let memory = store.index().memory();
    let mut kinds = String::new();
    let others = kinds_of(&tags);
    let texts: Vec<&str> = others.iter().map(|(_, query)| query.as_str()).collect();
    std::fs::write(format!("{queries}.kinds"), texts.join("\n"))?;
    for (name, query) in others {
        let rounds = vec![query; ROUNDS];
        let (mut times, _) = ask(&store, &rounds)?;
        times.sort_unstable();
        let at = |share: usize| micros(times[(times.len() - 1) * share / 100]);
        let comma = if kinds.is_empty() { "" } else { ", " };
        write!(kinds, "{comma}\"{name}\": [{}, {}]", at(50), at(99))?;
    }
    let times: Vec<String> = times
        .into_iter()
        .map(|time| micros(time).to_string())
        .collect();
    println!(
        "{{\"open_s\": {}, \"posts\": {}, \"tags\": {}, \"associations\": {}, \
         \"index_bytes\": {}, \"found\": {found}, \"times_us\": [{}], \"kinds_us\": {{{kinds}}}}}",
        opened.as_secs_f64(),
        memory.live,
        memory.tags,
        memory.associations,
        memory.postings,
        times.join(", "),
    );
    Ok(())
}

/// Three tags and one that must not be there, all different.
fn draw(tags: &Tags, count: usize) -> Vec<String> {
    let mut random = Random(1);
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count {
        let mut four: Vec<&str> = Vec::new();
        for _ in 0..64 {
            let tag = tags.draw(&mut random);
            if four.len() < 4 && !four.contains(&tag) {
                four.push(tag);
            }
        }
        drawn.push(match four[..] {
            [a, b, c, d] => format!("{a} {b} {c} -{d}"),
            _ => four.join(" "),
        });
    }
    drawn
}

/// Queries that cost the index something else each.
fn kinds_of(tags: &Tags) -> Vec<(&'static str, String)> {
    let [first, second] = [tags.at(0.0), tags.at(0.0001)];
    let rare = tags.at(0.9);
    let half = tags.at(0.01);
    let prefix: String = half.chars().take(half.chars().count() * 2 / 3).collect();
    let any: Vec<&str> = (0..50).map(|n| tags.at(f64::from(n) / 500.0)).collect();
    vec![
        ("everything", String::new()),
        ("popular pair", format!("{first} {second}")),
        ("negation only", format!("-{first}")),
        ("prefix", format!("{prefix}*")),
        ("any of 50", any.join(" or ")),
        ("range", "width:>=1000".to_owned()),
        ("rare and popular", format!("{rare} {first}")),
        ("order:size", format!("{first} order:size")),
        ("order:mpixels", "order:mpixels".to_owned()),
    ]
}

/// Asks each once: how long each took, from text to ids, and how many posts were found in all.
fn ask(store: &Store, queries: &[String]) -> Outcome<(Vec<Duration>, u64)> {
    let mut times = Vec::with_capacity(queries.len());
    let mut found = 0;
    for text in queries {
        let begun = Instant::now();
        let plan = text.parse::<Query>()?.plan(store.tags())?;
        let page = store.index().search(&plan, None, PAGE, None)?;
        times.push(begun.elapsed());
        found += page.total;
    }
    Ok((times, found))
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}
