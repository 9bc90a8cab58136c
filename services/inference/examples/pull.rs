//! What the loop costs beside the device: `pull [TASKS [REPEATS]]`.
//!
//! Runs so many tasks through the whole loop against the store and watcher of the tests, each batch
//! REPEATS times over to stand for a larger model, and compares with a bare loop over ready
//! tensors. Prints the memory on the way, and the latency of single pictures.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a table for a person, from the fixtures of the tests"
)]

#[path = "../tests/leases/device.rs"]
mod device;
#[path = "../tests/leases/media.rs"]
mod media;
#[path = "../tests/leases/node.rs"]
mod node;
#[path = "../tests/leases/served.rs"]
mod served;
#[path = "../tests/leases/state.rs"]
mod state;
#[path = "../tests/leases/store.rs"]
mod store;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kumo_inference::leases::Run;

use device::{Control, Device};
use media::{Manner, Media};
use served::Served;
use state::State;

const BATCH: usize = 32;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let tasks = number(arguments.next(), 10_000)?;
    let repeats = number(arguments.next(), 1)?;
    let raw = raw(repeats, tasks.min(2000))?;
    println!("raw: {raw:.0} pictures/s in batches of {BATCH}, {repeats} runs each");

    let state = State::new(Duration::from_secs(60), Duration::from_secs(20));
    let media = Media::new(&state, Manner::Good);
    let watcher = Served::media(&media);
    let sample: Arc<[u8]> = node::sample("sample.jpg").into();
    let store = Served::store(&state, None);
    let control = Control::default();
    control.repeats.store(repeats, Ordering::SeqCst);
    let node = node::start_with(&store.url(), BATCH, None, control).await;
    node::eventually("ready", || node.cx.health.reasons().is_empty()).await;
    latency(&node.node, &sample).await?;
    println!("loaded: {}", memory());
    let mut added = 0;
    let begun = Instant::now();
    while added < tasks {
        for _ in 0..tasks.div_ceil(5).min(tasks - added) {
            state.add(Arc::clone(&sample), vec![node::at(&watcher.url())]);
            added += 1;
        }
        while state.done() < added {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("after {added} tasks: {}", memory());
    }
    let rate = tasks as f64 / begun.elapsed().as_secs_f64();
    println!("loop: {rate:.0} pictures/s, {:.3} of raw", rate / raw);
    node.stop().await?;
    state.assert_clean();
    Ok(())
}

fn number(argument: Option<String>, otherwise: usize) -> Result<usize> {
    argument.map_or(Ok(otherwise), |text| {
        let read = text.parse();
        read.with_context(|| format!("{text:?} is no number; usage: pull [TASKS [REPEATS]]"))
    })
}

fn raw(repeats: usize, pictures: usize) -> Result<f64> {
    let control = Control::default();
    control.repeats.store(repeats, Ordering::SeqCst);
    let session = node::session(&node::palette());
    let mut device = Device { session, control };
    let mut batch = device.batch(BATCH);
    batch.rows_mut(BATCH).for_each(|row| row.fill(0.5));
    let begun = Instant::now();
    let mut done = 0;
    while done < pictures {
        device.run(&mut batch)?;
        done += BATCH;
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

async fn latency(node: &kumo_inference::leases::Node, sample: &[u8]) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..200 {
        times.push(node.infer(sample.to_vec()).await?.time);
    }
    times.sort_unstable();
    let model = node::palette();
    let mut session = node::session(&model);
    let mut preprocessor = kumo_inference::Preprocessor::new(&model.spec().input);
    let mut picture = kumo_inference::Picture::default();
    let mut bare = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        let mut batch = session.batch(1);
        picture.read_sample(sample)?;
        batch
            .push(|row| preprocessor.prepare(&picture, row))
            .context("a batch of one has no room for one")??;
        session.run(&mut batch)?;
        bare.push(begun.elapsed());
    }
    bare.sort_unstable();
    println!(
        "one picture: {:.2?} median, {:.2?} p95 through the node; {:.2?} median bare",
        times[100], times[190], bare[100]
    );
    Ok(())
}

/// Of this process, in which the store and the watcher run too.
fn memory() -> String {
    let resident = kit::memory::Resident::read().unwrap_or_default();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    format!(
        "{:.1} MiB, {:.1} anonymous",
        mib(resident.rss),
        mib(resident.anonymous)
    )
}
