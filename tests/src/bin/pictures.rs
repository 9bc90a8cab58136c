//! Makes pictures: `pictures DIR --demo`, or `pictures DIR --count 1000` for benches.

use std::{fs, path::PathBuf, thread};

use anyhow::{Context, Result};
use clap::Parser;
use kumo_tests::pictures;

#[derive(Debug, Parser)]
#[command(about = "Makes pictures from a seed, for the demo and for benches")]
struct Flags {
    /// Folder to write into; made if it is not there.
    dir: PathBuf,
    /// The demo folder: a few pictures for every colour.
    #[arg(long, conflicts_with = "count")]
    demo: bool,
    /// That many JPEGs of about 3 Mpx, 0.6 to 1.5 MB each.
    #[arg(long, required_unless_present = "demo")]
    count: Option<u64>,
    /// With --count: JPEGs of 64×48 pixels and about 2 KB instead, to stand for many files cheaply.
    #[arg(long, requires = "count")]
    tiny: bool,
    /// Number of the first one; other seeds give other pictures.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[expect(clippy::print_stdout, reason = "a tool that says what it made")]
fn main() -> Result<()> {
    let flags = Flags::parse();
    fs::create_dir_all(&flags.dir)
        .with_context(|| format!("cannot make {}", flags.dir.display()))?;
    if flags.demo {
        let count = pictures::write_demo(&flags.dir)?;
        println!("{count} pictures in {}", flags.dir.display());
        return Ok(());
    }
    let count = flags.count.unwrap_or_default();
    let threads = thread::available_parallelism()?.get() as u64;
    thread::scope(|scope| {
        let makers: Vec<_> = (0..threads)
            .map(|first| {
                let flags = &flags;
                scope.spawn(move || -> Result<()> {
                    for index in (first..count).step_by(threads as usize) {
                        let seed = flags.seed + index;
                        let path = flags.dir.join(format!("{seed:06}.jpg"));
                        let bytes = if flags.tiny {
                            pictures::tiny_jpeg(seed)?
                        } else {
                            pictures::bench_jpeg(seed)?
                        };
                        fs::write(path, bytes)?;
                    }
                    Ok(())
                })
            })
            .collect();
        makers
            .into_iter()
            .try_for_each(|maker| maker.join().expect("a maker panicked"))
    })?;
    println!("{count} pictures in {}", flags.dir.display());
    Ok(())
}
