//! Are changed pictures found again? `retrieval [--write]` makes a library, starts the real programs
//! on it, and prints recall@1 / recall@10 for each change and channel. Exit code 1 if re-encoded or
//! resized pictures do not come first often enough.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Parser;
use kumo_tests::retrieval::{CHANNELS, Change, Kind, Library, Table, Trial, write_between_marks};

/// What the default blend must reach for re-encoded and for resized pictures.
const WANTED: f64 = 0.98;

#[derive(Debug, Parser)]
#[command(about = "Measures how often changed pictures are found again")]
struct Flags {
    /// Templates; each has eleven pictures in the library.
    #[arg(long, default_value_t = 100)]
    templates: u64,
    /// Other seeds give other pictures.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the table into docs/SIMILARITY.md, between its marks.
    #[arg(long)]
    write: bool,
}

#[expect(clippy::print_stdout, reason = "a tool that prints a table")]
fn main() -> Result<ExitCode> {
    let flags = Flags::parse();
    let library = Library {
        templates: flags.templates,
        siblings: 10,
        others: flags.templates,
        seed: flags.seed,
    };
    let trial = Trial::start(library, 900)?;
    let table = trial.ask(&Change::ALL, CHANNELS.len())?;
    let text = said(&library, &table);
    println!("{text}");
    if flags.write {
        write_between_marks(&document(), &text)?;
    }
    let reached = [Kind::Encoding, Kind::Resizing]
        .iter()
        .all(|kind| table.blended_recall(*kind) >= WANTED);
    Ok(if reached {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn said(library: &Library, table: &Table) -> String {
    format!(
        "Recall@1 / recall@10 of {} pictures among {}, each with {} siblings of the same template.\n\n\
         {}\nDefault blend, recall@1: re-encoded {:.3}, resized {:.3}; wanted {WANTED}.\n",
        library.templates,
        library.pictures(),
        library.siblings,
        table.markdown(),
        table.blended_recall(Kind::Encoding),
        table.blended_recall(Kind::Resizing),
    )
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SIMILARITY.md")
}
