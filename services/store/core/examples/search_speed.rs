//! How long searches take over a million posts: `cargo run --release -p
//! kumo-store-core --example search_speed`. Prints one line a query.

use std::time::Instant;

use kumo_store_core::index::{Columns, Index, PostDelta, Standing};
use kumo_store_core::query::{Query, TagNames};
use kumo_store_core::{Category, Rating, TagId};

const POSTS: u32 = 1_000_000;
/// Associations a post; the shares of tags fall as 1, 1/2, 1/3 and so on.
const TAGS_A_POST: usize = 24;
const TAGS: u32 = 50_000;
const ROUNDS: usize = 200;

/// Tag `t7` has id 7; lower is more common.
struct Names;

impl TagNames for Names {
    fn id(&self, name: &str, _: Option<Category>) -> Option<TagId> {
        name.strip_prefix('t')?.parse().ok()
    }

    fn with_prefix(&self, prefix: &str, _: Option<Category>, limit: usize) -> Vec<TagId> {
        let named = (1..TAGS).filter(|tag| format!("t{tag}").starts_with(prefix));
        named.take(limit).collect()
    }
}

/// SplitMix64: the same library every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About as likely as 1 in `tag` of a booru's tags.
    fn tag(&mut self) -> TagId {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        f64::from(TAGS).powf(unit) as TagId
    }
}

#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut random = Random(1);
    let mut index = Index::new();
    let start = Instant::now();
    for post in 1..=POSTS {
        index.apply(&PostDelta {
            post,
            added: (0..TAGS_A_POST).map(|_| random.tag()).collect(),
            removed: Vec::new(),
            columns: Some(Columns {
                width: 400 + (random.next() % 4000) as u32,
                height: 400 + (random.next() % 4000) as u32,
                bytes: random.next() % 8_000_000,
            }),
            rating: Rating::from_code((random.next() % 5) as u8),
            standing: Standing::Live,
        });
    }
    println!("filled in {:.1?}: {:?}", start.elapsed(), index.memory());
    for text in [
        "",
        "t1 t2 t3",
        "t1 t2 t3 -t4",
        "t1 t2 t3 -t4 rating:g",
        "t20 t30 t40 -t1",
        "t4321 t1",
        "-t1",
        "t1 or t2 or t3",
        "t123*",
        "t1 t2 t3 -t4 width:>=2000",
        "width:>=2000",
        "t1 t2 t3 -t4 order:size",
        "order:mpixels",
    ] {
        let query: Query = text.parse()?;
        let plan = query.plan(&Names)?;
        let mut times = Vec::with_capacity(ROUNDS);
        let mut total = 0;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let page = index.search(&plan, None, 100, None)?;
            times.push(start.elapsed());
            total = page.total;
        }
        times.sort_unstable();
        let (p50, p99) = (times[ROUNDS / 2], times[ROUNDS * 99 / 100]);
        println!("{text:28} {total:>8} posts  p50 {p50:>10.1?}  p99 {p99:>10.1?}");
    }
    Ok(())
}
