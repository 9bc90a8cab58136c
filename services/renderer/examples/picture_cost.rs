//! How much CPU a picture costs: `cargo run --release -p kumo-renderer --example picture_cost --
//! target/release/kumo-renderer JPEG…` renders each file ten times in one child and prints the
//! kernel's figure for the child. Without files it makes one: 3 MP of noise at every scale.
#![expect(clippy::print_stdout, reason = "its output is the measurement")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kumo_renderer::{Config, Job, Pool};
use turbojpeg::{Image, PixelFormat, Subsamp};

const ROUNDS: u32 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let program = arguments.next();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for path in arguments {
        files.push((path.display().to_string(), std::fs::read(&path)?));
    }
    if files.is_empty() {
        let jpeg = noise(2048, 1536)?;
        std::fs::write(std::env::temp_dir().join("kumo-measure.jpg"), &jpeg)?;
        files.push(("2048×1536 of noise".to_owned(), jpeg));
    }
    let pool = Pool::new(Config {
        program,
        ..Config::default()
    });
    for (name, bytes) in files {
        let (mut cpu, begun) = (Duration::ZERO, Instant::now());
        let mut sizes = (0, 0);
        for round in 0..=ROUNDS {
            let rendered = pool.render(Job::new(name.as_str(), bytes.clone())).await?;
            // The first one pays for the child's start.
            if round > 0 {
                cpu += rendered.cpu_time;
            }
            sizes = (
                rendered.sample.map_or(0, |it| it.jpeg.len()),
                rendered.preview.map_or(0, |it| it.jpeg.len()),
            );
        }
        println!(
            "{name}: {} bytes, cpu {:?}, wall {:?}, sample and preview {sizes:?} bytes",
            bytes.len(),
            cpu / ROUNDS,
            begun.elapsed() / (ROUNDS + 1),
        );
    }
    Ok(())
}

/// Octaves of noise with less weight the finer they are, as photographs have.
fn noise(width: usize, height: usize) -> turbojpeg::Result<Vec<u8>> {
    let mut pixels = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let sum: usize = (0..8)
                    .map(|octave| {
                        let (u, v) = (x >> octave, y >> octave);
                        let mut hash =
                            (u * 0x9e37 + v * 0x85eb_ca6b + channel * 0x27d4_eb2f) as u32;
                        hash = (hash ^ (hash >> 15)).wrapping_mul(0x2c1b_3c6d);
                        (hash >> 24) as usize * (octave + 1)
                    })
                    .sum();
                pixels.push((sum / 36) as u8);
            }
        }
    }
    let image = Image {
        pixels: pixels.as_slice(),
        width,
        pitch: 3 * width,
        height,
        format: PixelFormat::RGB,
    };
    turbojpeg::compress(image, 90, Subsamp::Sub2x2).map(|jpeg| jpeg.to_vec())
}
