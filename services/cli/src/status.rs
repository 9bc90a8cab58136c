//! `kumo status`: how the cluster is, and what to do about what is wrong.

mod advice;
mod sections;

use std::{io::IsTerminal, time::Duration};

use clap::Args;
use proto::store::v1::{
    GetStatsRequest, GetStatsResponse, Model, Node, Root, admin_service_client::AdminServiceClient,
};

use crate::{
    connection::{Connection, Found},
    error::Error,
    models, roots,
    run::Session,
};

/// Flags of `kumo status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo status
  kumo status --watch
  kumo status --json | jq 'select(.type == \"queue\")'

JSON: one object for each thing, told apart by `type`:
  library  posts, tags, associations, done, predictions, locations_present, locations_missing,
           database_bytes, wal_bytes
  queue    queued, leased, parked, failed, ingest_failures, backfill_left
  root     as in `kumo roots`
  model    as in `kumo models`
  node     name, role, online, stopped_reason, device, device_proof, models, leased, address,
           version, last_seen, pending, scanning, scanned (the last three for watchers)
  process  role, instance, address, pid, version, uptime_seconds, ready, waiting_for [], notices
           [{code, message}]; or role, address, error
  advice   text")]
pub(crate) struct Flags {
    /// Show it again every two seconds.
    #[arg(long)]
    watch: bool,
}

/// All that is shown.
#[derive(Debug)]
struct Overview {
    address: String,
    stats: GetStatsResponse,
    roots: Vec<Root>,
    models: Vec<Model>,
    nodes: Vec<Node>,
    processes: Vec<Found>,
}

impl Overview {
    async fn ask(connection: &Connection) -> Result<Self, Error> {
        let mut client = AdminServiceClient::new(connection.store());
        let stats = connection.ask(client.get_stats(GetStatsRequest {}));
        let stats = stats.await?;
        let (roots, models, nodes) = tokio::try_join!(
            roots::list(connection),
            models::list(connection),
            connection.nodes()
        )?;
        let processes = connection.processes(&nodes).await;
        Ok(Self {
            address: connection.address().to_owned(),
            stats,
            roots,
            models,
            nodes,
            processes,
        })
    }
}

pub(crate) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    loop {
        let overview = Overview::ask(&connection).await?;
        if flags.watch && !session.terminal.json() && std::io::stdout().is_terminal() {
            // Cursor to the first cell, and clear what is below.
            session.terminal.line("\u{1b}[H\u{1b}[J")?;
        }
        show(&overview, session)?;
        if !flags.watch {
            return Ok(());
        }
        session.terminal.finish()?;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

fn show(overview: &Overview, session: &Session) -> Result<(), Error> {
    let advice = advice::advice(overview);
    if session.terminal.json() {
        return sections::objects(overview, &advice)
            .iter()
            .try_for_each(|object| session.terminal.object(object));
    }
    sections::print(overview, session)?;
    for text in &advice {
        session.terminal.hint(text);
    }
    Ok(())
}
