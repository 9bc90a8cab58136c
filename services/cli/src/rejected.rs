//! `kumo rejected`: contents that were purged and do not come back, until they are allowed again.

use clap::Args;
use proto::store::v1::{
    AllowRejectedRequest, ListRejectedRequest, RejectedContent,
    trash_service_client::TrashServiceClient,
};
use serde_json::{Value, json};

use crate::{
    amount, connection::Connection, error::Error, run::Session, selection::BATCH, terminal::Table,
};

/// Flags of `kumo rejected`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo rejected
  kumo rejected --allow ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
  kumo rejected --json --limit 1000 | jq -r '.sha256 // empty' | xargs -r kumo rejected --allow

Files of allowed contents that are still there come back by themselves, as new posts. The last
example allows all, 1,000 at a time.
JSON keys of each line: sha256, rejected, paths []. If there are more than --limit, the last line is
{\"next_page_token\":\"…\"}. With --allow: allowed.")]
pub(crate) struct Flags {
    /// Let these contents become posts again.
    #[arg(long, value_name = "SHA256", num_args = 1.., value_parser = sha256,
          conflicts_with_all = ["limit", "page_token"])]
    allow: Vec<String>,

    /// Contents to show, newest first; at most 1,000.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(i32).range(1..=1000))]
    limit: i32,

    /// Show the page after the one that gave this token.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    page_token: Option<String>,
}

fn sha256(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let hash = lower.strip_prefix("sha256:").unwrap_or(&lower);
    match kit::hex::decode::<32>(hash) {
        Some(_) => Ok(hash.to_owned()),
        None => Err("not a SHA-256: 64 hex digits, as `kumo rejected` shows them".to_owned()),
    }
}

pub(crate) async fn run(flags: Flags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    if !flags.allow.is_empty() {
        return allow(&flags.allow, &connection, session).await;
    }
    let mut client = TrashServiceClient::new(connection.store());
    let request = ListRejectedRequest {
        page_size: flags.limit,
        page_token: flags.page_token.unwrap_or_default(),
    };
    let page = connection.ask(client.list_rejected(request)).await?;
    let terminal = &session.terminal;
    if terminal.json() {
        for content in &page.contents {
            terminal.object(&as_json(content))?;
        }
        if !page.next_page_token.is_empty() {
            terminal.object(&json!({ "next_page_token": page.next_page_token }))?;
        }
        return Ok(());
    }
    terminal.table(&table(&page.contents))?;
    if page.contents.is_empty() {
        terminal.say("nothing is rejected");
    } else {
        terminal.hint("`kumo rejected --allow SHA256` lets one become a post again");
    }
    if !page.next_page_token.is_empty() {
        terminal.hint(&format!("next page: --page-token {}", page.next_page_token));
    }
    Ok(())
}

async fn allow(
    sha256s: &[String],
    connection: &Connection,
    session: &Session,
) -> Result<(), Error> {
    let mut client = TrashServiceClient::new(connection.store());
    let mut allowed = 0;
    for batch in sha256s.chunks(BATCH) {
        let request = AllowRejectedRequest {
            sha256s: batch.to_vec(),
        };
        allowed += connection
            .ask(client.allow_rejected(request))
            .await?
            .allowed;
    }
    if session.terminal.json() {
        return session.terminal.object(&json!({ "allowed": allowed }));
    }
    let text = format!(
        "{} allowed; files that are still there come back by themselves",
        amount::of(allowed, "content")
    );
    session.terminal.line(&text)
}

fn table(contents: &[RejectedContent]) -> Table {
    let mut table = Table::new(["rejected", "sha256", "last seen at"]);
    for content in contents {
        table.row([
            content
                .reject_time
                .map_or_else(String::new, |time| time.to_string()),
            content.sha256.clone(),
            content.display_paths.join("  "),
        ]);
    }
    table
}

fn as_json(content: &RejectedContent) -> Value {
    json!({
        "sha256": content.sha256,
        "rejected": content.reject_time.map(|time| time.to_string()),
        "paths": content.display_paths,
    })
}
