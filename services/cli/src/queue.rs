//! `kumo pause` and `kumo resume`: whether tasks are handed out.

use clap::{Args, ValueEnum};
use proto::store::v1::{
    ModelKind, PauseQueueRequest, ResumeQueueRequest, task_service_client::TaskServiceClient,
};
use serde_json::json;

use crate::{error::Error, run::Session};

/// A kind of work.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Tag,
    Embed,
}

impl From<Kind> for ModelKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Tag => Self::Tag,
            Kind::Embed => Self::Embed,
        }
    }
}

fn number(kind: Option<Kind>) -> i32 {
    kind.map_or(ModelKind::Unspecified, ModelKind::from).into()
}

/// Flags of `kumo pause`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo pause                  no node gets a task until `kumo resume`
  kumo pause --kind tag

JSON keys: paused.")]
pub(crate) struct PauseFlags {
    /// Only this kind of work.
    #[arg(long)]
    kind: Option<Kind>,
}

/// Flags of `kumo resume`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo resume
  kumo resume --node den-tagger      also let a node work that was stopped as everything failed on it

JSON keys: paused.")]
pub(crate) struct ResumeFlags {
    /// Only this kind of work.
    #[arg(long)]
    kind: Option<Kind>,

    /// Also let this node have tasks again.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

pub(crate) async fn pause(flags: &PauseFlags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let mut client = TaskServiceClient::new(connection.store());
    let request = PauseQueueRequest {
        kind: number(flags.kind),
    };
    connection.ask(client.pause_queue(request)).await?;
    tell(session, true)
}

pub(crate) async fn resume(flags: ResumeFlags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let mut client = TaskServiceClient::new(connection.store());
    let node = flags.node.unwrap_or_default();
    let request = ResumeQueueRequest {
        kind: number(flags.kind),
        node: node.strip_prefix("nodes/").unwrap_or(&node).to_owned(),
    };
    connection.ask(client.resume_queue(request)).await?;
    tell(session, false)
}

fn tell(session: &Session, paused: bool) -> Result<(), Error> {
    if session.terminal.json() {
        return session.terminal.object(&json!({ "paused": paused }));
    }
    session.terminal.line(if paused {
        "paused: what runs may finish, nothing new is handed out; `kumo resume` goes on"
    } else {
        "tasks are handed out"
    })
}
