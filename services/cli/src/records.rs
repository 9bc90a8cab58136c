//! `kumo records`: what other boorus say of posts.

mod line;
mod put;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use proto::store::v1::{
    ListSourceRecordsRequest, ListSourcesRequest, Source, SourceRecord, UpdateSourceRequest,
    source_record_service_client::SourceRecordServiceClient,
};
use serde_json::{Value, json};

use crate::{
    amount,
    error::Error,
    run::Session,
    selection::named,
    terminal::{Table, Terminal},
    words,
};

/// Flags of `kumo records`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo records put danbooru.jsonl
  kumo records show 12
  kumo records sources
  kumo records sources --priority danbooru=200")]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Store records, one JSON object a line.
    Put(put::Flags),
    /// Show the records of a post, as they were received.
    Show(ShowFlags),
    /// List the sources, or change what one counts against the others.
    Sources(SourcesFlags),
}

/// Flags of `kumo records show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo records show 12
  kumo records show 12 --json | jq -r '.raw // empty'

JSON keys of each line: source, external_id, rating, tags [{name, category}], fetched, raw.")]
struct ShowFlags {
    /// Number, SHA-256 or MD5 of a post, or a file.
    #[arg(value_name = "POST")]
    post: PathBuf,
}

/// Flags of `kumo records sources`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo records sources
  kumo records sources --priority danbooru=200    posts are rated by it before all others

JSON keys of each line: name, priority, records.")]
struct SourcesFlags {
    /// Give a source a priority, 0 to 1000; the highest rates a post.
    #[arg(long, value_name = "SOURCE=N", value_parser = priority)]
    priority: Option<(String, u32)>,
}

fn priority(text: &str) -> Result<(String, u32), String> {
    let split = text.split_once('=');
    let read = split.and_then(|(name, number)| Some((name.to_owned(), number.parse().ok()?)));
    read.filter(|(_, number)| *number <= 1000)
        .ok_or_else(|| "write SOURCE=N with N from 0 to 1000".to_owned())
}

pub(crate) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    match &flags.command {
        Command::Put(flags) => put::run(flags, session).await,
        Command::Show(flags) => show(flags, session).await,
        Command::Sources(flags) => sources(flags, session).await,
    }
}

async fn show(flags: &ShowFlags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let numbers = named(&connection, std::slice::from_ref(&flags.post)).await?;
    let terminal = &session.terminal;
    let mut client = SourceRecordServiceClient::new(connection.store());
    for number in numbers {
        let mut request = ListSourceRecordsRequest {
            post: format!("posts/{number}"),
            ..ListSourceRecordsRequest::default()
        };
        loop {
            let asked = client.list_source_records(request.clone());
            let answer = connection.ask(asked).await?;
            if answer.records.is_empty() && request.page_token.is_empty() {
                terminal.say(&format!("no source says anything of posts/{number}"));
            }
            for record in &answer.records {
                show_one(record, terminal)?;
            }
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
    }
    Ok(())
}

fn show_one(record: &SourceRecord, terminal: &Terminal) -> Result<(), Error> {
    if terminal.json() {
        return terminal.object(&as_json(record));
    }
    let tags: Vec<&str> = record.tags.iter().map(|tag| &*tag.name).collect();
    let text = format!(
        "{} {}  {}  {}",
        record.source,
        record.external_id,
        words::rating(record.rating()),
        tags.join(" ")
    );
    terminal.line(&crate::terminal::escape(text.trim_end()))?;
    let raw = String::from_utf8_lossy(&record.raw);
    terminal.line(&crate::terminal::escape(&format!("  {raw}")))
}

fn as_json(record: &SourceRecord) -> Value {
    let tags = record
        .tags
        .iter()
        .map(|tag| json!({ "name": tag.name, "category": words::category(tag.category()) }));
    let tags: Vec<Value> = tags.collect();
    json!({
        "source": record.source,
        "external_id": record.external_id,
        "rating": words::rating(record.rating()),
        "tags": tags,
        "fetched": record.fetch_time.map(|time| time.to_string()),
        "raw": String::from_utf8_lossy(&record.raw),
    })
}

async fn sources(flags: &SourcesFlags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let mut client = SourceRecordServiceClient::new(connection.store());
    if let Some((name, priority)) = &flags.priority {
        let request = UpdateSourceRequest {
            name: name.clone(),
            priority: *priority,
        };
        connection.ask(client.update_source(request)).await?;
    }
    let sources = connection.ask(client.list_sources(ListSourcesRequest {}));
    let sources = sources.await?.sources;
    if session.terminal.json() {
        return sources
            .iter()
            .try_for_each(|source| session.terminal.object(&source_json(source)));
    }
    if sources.is_empty() {
        session.terminal.say("no source is known yet");
        session
            .terminal
            .hint("`kumo records put FILE.jsonl` makes some known");
    }
    let mut table = Table::new(["source", ">priority", ">records"]);
    for source in &sources {
        table.row([
            source.name.clone(),
            source.priority.to_string(),
            amount::count(source.record_count),
        ]);
    }
    session.terminal.table(&table)
}

fn source_json(source: &Source) -> Value {
    json!({
        "name": source.name,
        "priority": source.priority,
        "records": source.record_count,
    })
}
