//! `kumo retry`: tries again what failed.

use clap::Args;
use proto::store::v1::{RetryTasksRequest, task_service_client::TaskServiceClient};
use serde_json::json;

use crate::{amount, error::Error, run::Session};

/// Flags of `kumo retry`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo retry --all-failed
  kumo retry --all-failed --reason UNREADABLE      after giving rights to the files
  kumo retry tasks/77 ingestFailures/5

JSON keys: retried, skipped [names that are not failed]. Exit code 1 if a name was skipped.")]
pub(crate) struct Flags {
    /// Failed tasks, as `kumo tasks --failed` names them.
    #[arg(value_name = "NAME", required_unless_present = "all_failed")]
    names: Vec<String>,

    /// Everything that failed.
    #[arg(long, conflicts_with = "names")]
    all_failed: bool,

    /// Only what failed for this reason, such as `POISON`.
    #[arg(long, value_name = "REASON", requires = "all_failed")]
    reason: Option<String>,
}

pub(crate) async fn run(flags: Flags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let mut client = TaskServiceClient::new(connection.store());
    let (mut retried, mut skipped) = (0, Vec::new());
    // The store takes at most 1,000 names a call; one call without names is what --all-failed is.
    let mut batches: Vec<Vec<String>> = flags.names.chunks(1000).map(<[_]>::to_vec).collect();
    if flags.all_failed {
        batches.push(Vec::new());
    }
    for names in batches {
        let request = RetryTasksRequest {
            names,
            all_failed: flags.all_failed,
            reason: flags.reason.clone().unwrap_or_default(),
        };
        let answer = connection.ask(client.retry_tasks(request)).await?;
        retried += answer.retried;
        skipped.extend(answer.skipped);
    }
    if session.terminal.json() {
        let object = json!({ "retried": retried, "skipped": skipped });
        session.terminal.object(&object)?;
    } else {
        let text = format!("{} put back", amount::of(retried, "task"));
        session.terminal.line(&text)?;
    }
    if skipped.is_empty() {
        return Ok(());
    }
    let names = skipped.join(", ");
    Err(Error::Failed(format!(
        "not failed, or no such thing: {names}"
    )))
}
