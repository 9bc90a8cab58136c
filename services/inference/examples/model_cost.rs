//! What a model costs on this machine: `model_cost [MODEL_FOLDER [DEVICE [THREADS]]]`.
//!
//! Prints loading time, the device proof, resident memory at each step, and for several batch sizes
//! the time of a run, of which the median of many is shown.

#![expect(
    clippy::print_stdout,
    reason = "a table for a person is what this program is for"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kumo_inference::{Model, Picture, Preprocessor, Runtime, Session, SessionOptions};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/palette-tagger"),
        PathBuf::from,
    );
    let mut options = SessionOptions::default();
    if let Some(device) = arguments.next() {
        options.device = device.parse()?;
    }
    if let Some(threads) = arguments.next() {
        options.threads = threads.parse()?;
    }
    memory("at start")?;
    let started = Instant::now();
    let model = Model::open(&folder)?;
    println!(
        "folder read in {:.1?}, revision {}",
        started.elapsed(),
        model.revision()
    );
    let started = Instant::now();
    let runtime = Runtime::load(None)?;
    println!(
        "{} started in {:.1?}",
        runtime.library().display(),
        started.elapsed()
    );
    memory("runtime started")?;
    let mut session = Session::open(&runtime, &model, &options)?;
    let report = session.report();
    println!(
        "loaded in {:.1?}, first run {:.1?}; {}",
        report.load_time,
        report.warm_up_time,
        session.proof()
    );
    memory("model loaded, one run")?;
    preprocessing(&model)?;
    for size in [1, 8, 32] {
        runs(&mut session, size)?;
    }
    drop(session);
    memory("session dropped")
}

fn runs(session: &mut Session, size: usize) -> Result<()> {
    let mut batch = session.batch(size);
    let size = batch.rows_mut(size).map(|row| row.fill(0.5)).count();
    let time = median(|| session.run(&mut batch).map(drop))?;
    let each = time / u32::try_from(size)?;
    println!("batch of {size}: {time:.2?} a run, {each:.2?} a picture");
    memory("after these runs")
}

fn preprocessing(model: &Model) -> Result<()> {
    let (width, height) = (1632, 1224);
    let pixels = (0u32..width * height * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
    let picture = Picture::new(width, height, pixels.collect())?;
    let mut preprocessor = Preprocessor::new(&model.spec().input);
    let mut row = vec![0.0; model.spec().input.values()];
    let time = median(|| preprocessor.prepare(&picture, &mut row))?;
    println!("preprocessing a picture of {width} × {height}: {time:.2?}");
    Ok(())
}

fn median(mut run: impl FnMut() -> kumo_inference::Result<()>) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..31 {
        let started = Instant::now();
        run()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn memory(when: &str) -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mib = |key: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        Ok(number
            .context("unreadable /proc/self/status")?
            .parse::<f64>()?
            / 1024.0)
    };
    println!(
        "  memory {when}: {:.1} MiB, {:.1} anonymous, {:.1} of files",
        mib("VmRSS:")?,
        mib("RssAnon:")?,
        mib("RssFile:")?
    );
    Ok(())
}
