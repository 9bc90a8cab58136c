//! Load for the benches: `load --data DIR nodes --posts 100000 --labels 10861` and so on. Every
//! command prints one JSON object.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use kumo_tests::load::{Arrival, Drain, Dump, Link, Nodes, Questions, Similar, Single};

#[derive(Debug, Parser)]
#[command(about = "Puts load on a running cluster and prints what it saw as JSON")]
struct Flags {
    /// The cluster's data folder.
    #[arg(long)]
    data: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fill an empty store with posts and do their tasks as many nodes would.
    Nodes(Nodes),
    /// Wait for posts, or until nothing is left to do.
    Drain(Drain),
    /// Search, one query after the other.
    Questions(Questions),
    /// Bring files one by one and wait until each is found.
    Arrival(Arrival),
    /// Send pictures to the tagger.
    Single(Single),
    /// Write every vector of the store into files.
    Dump(Dump),
    /// Ask for look-alikes.
    Similar(Similar),
}

#[expect(clippy::print_stdout, reason = "what it prints is the result")]
#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let flags = Flags::parse();
    let link = Link::open(&flags.data)?;
    let seen = match flags.command {
        Command::Nodes(nodes) => nodes.run(&link).await?,
        Command::Drain(drain) => drain.run(&link).await?,
        Command::Questions(questions) => questions.run(&link).await?,
        Command::Arrival(arrival) => arrival.run(&link).await?,
        Command::Single(single) => single.run(&link).await?,
        Command::Dump(dump) => dump.run(&link).await?,
        Command::Similar(similar) => similar.run(&link).await?,
    };
    println!("{seen}");
    Ok(())
}
