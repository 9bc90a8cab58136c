//! The yardstick of a node: ONNX Runtime's own `run` on ready tensors, with its defaults and nothing
//! of ours around it: `raw LIBRARY MODEL_FOLDER THREADS BATCH`. Reads commands from standard input,
//! one a line, and answers each with one line of JSON:
//!
//! - `loop N`: runs batches until N pictures are done.
//! - `one SAMPLE`: decodes, resizes and normalises a sample, and runs it alone.
//! - `prepare SAMPLE`: only the former, for a second, on one thread.

#![expect(
    clippy::print_stdout,
    reason = "its output is read by tests/bench/infer.py"
)]

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kumo_inference::{InputSpec, Layout, Model, Picture, Preprocessor};
use ort::session::Session;
use ort::value::TensorRef;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, folder, threads, batch] = &arguments[..] else {
        bail!("usage: raw LIBRARY MODEL_FOLDER THREADS BATCH");
    };
    let model = Model::open(folder.as_ref())?;
    let environment = ort::init_from(library)?.build()?;
    let build = |error: ort::Error<_>| anyhow::anyhow!("{error}");
    let session = Session::builder(&environment)?
        .with_intra_threads(threads.parse()?)
        .map_err(build)?
        .commit_from_file(model.weights())?;
    let input = model.spec().input.clone();
    let mut raw = Raw {
        session,
        batch: batch.parse()?,
        preprocessor: Preprocessor::new(&input),
        input,
    };
    raw.run(&vec![0.5; raw.input.values()], 1)?;
    println!("{{\"ready\": true}}");
    for line in std::io::stdin().lines() {
        let line = line?;
        let (command, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "loop" => raw.pictures(rest.parse()?)?,
            "one" => raw.one(&fs::read(rest)?)?,
            "prepare" => raw.prepare(&fs::read(rest)?)?,
            _ => bail!("{command:?} is no command"),
        }
    }
    Ok(())
}

struct Raw {
    session: Session,
    batch: usize,
    input: InputSpec,
    preprocessor: Preprocessor,
}

impl Raw {
    fn pictures(&mut self, count: usize) -> Result<()> {
        let tensor = vec![0.5; self.batch * self.input.values()];
        let begun = Instant::now();
        let mut done = 0;
        while done < count {
            let rows = self.batch.min(count - done);
            self.run(&tensor[..rows * self.input.values()], rows)?;
            done += rows;
        }
        say(&[("seconds", begun.elapsed().as_secs_f64())]);
        Ok(())
    }

    fn one(&mut self, sample: &[u8]) -> Result<()> {
        let mut row = vec![0.0; self.input.values()];
        let begun = Instant::now();
        self.fill(sample, &mut row)?;
        let prepared = begun.elapsed();
        self.run(&row, 1)?;
        say(&[
            ("prepare_ms", prepared.as_secs_f64() * 1e3),
            ("whole_ms", begun.elapsed().as_secs_f64() * 1e3),
        ]);
        Ok(())
    }

    fn prepare(&mut self, sample: &[u8]) -> Result<()> {
        let mut row = vec![0.0; self.input.values()];
        let (begun, mut count) = (Instant::now(), 0.0);
        while begun.elapsed() < Duration::from_secs(1) {
            self.fill(sample, &mut row)?;
            count += 1.0;
        }
        say(&[("per_s", count / begun.elapsed().as_secs_f64())]);
        Ok(())
    }

    fn fill(&mut self, sample: &[u8], row: &mut [f32]) -> Result<()> {
        let mut picture = Picture::default();
        picture.read_sample(sample)?;
        self.preprocessor.prepare(&picture, row)?;
        Ok(())
    }

    fn run(&mut self, values: &[f32], rows: usize) -> Result<()> {
        let (width, height) = (self.input.width as usize, self.input.height as usize);
        let shape = match self.input.layout {
            Layout::Nhwc => [rows, height, width, 3],
            Layout::Nchw => [rows, 3, height, width],
        };
        let tensor = TensorRef::from_array_view((shape, values))?;
        let outputs = self.session.run(ort::inputs![tensor])?;
        let (_, found) = outputs[0].try_extract_tensor::<f32>()?;
        found.first().context("the model gave nothing")?;
        Ok(())
    }
}

fn say(figures: &[(&str, f64)]) {
    let figures: Vec<String> = figures
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    println!("{{{}}}", figures.join(", "));
}
