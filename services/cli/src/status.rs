//! `kumo status`: how the cluster is, and what to do about what is wrong.

mod advice;
mod sections;

use std::time::Duration;

use clap::Args;
use proto::{
    similarity::v1::GetIndexResponse,
    store::v1::{
        Demand, GetStatsRequest, GetStatsResponse, Model, Node, Root,
        admin_service_client::AdminServiceClient,
    },
};

use crate::{
    connection::{Connection, Found},
    error::Error,
    models, roots,
    run::Session,
};

/// How often `--watch` shows it again, here and in other commands.
pub(crate) const REFRESH: Duration = Duration::from_secs(2);

/// Flags of `kumo status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo status
  kumo status --watch
  kumo status --json | jq 'select(.type == \"queue\")'

JSON: one object for each thing, told apart by `type`:
  library  posts, trashed, rejected, tags, associations, edits, source_records, done, predictions,
           embeddings, locations_present, locations_missing, database_bytes, wal_bytes
  queue    queued, leased, parked, failed, ingest_failures, backfill_left
  similarity  posts, vectors, model, revision, dimensions, lag, following, snapshot; or error
  demand   kind, model, leasable, leased, parked, interactive, backfill_left
  root     as in `kumo roots`
  model    as in `kumo models`
  node     as in `kumo nodes`
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
    index: Result<GetIndexResponse, Error>,
    demand: Vec<Demand>,
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
        let (roots, models, nodes, demand) = tokio::try_join!(
            roots::list(connection),
            models::list(connection),
            connection.nodes(),
            connection.demand()
        )?;
        let (processes, index) = tokio::join!(connection.processes(&nodes), connection.index());
        Ok(Self {
            address: connection.address().to_owned(),
            stats,
            index,
            demand,
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
        if flags.watch {
            session.terminal.clear()?;
        }
        show(&overview, session)?;
        if !flags.watch {
            return Ok(());
        }
        session.terminal.finish()?;
        tokio::time::sleep(REFRESH).await;
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
