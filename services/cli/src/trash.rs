//! `kumo trash`, `kumo restore` and `kumo purge`: deleting, thinking better of it, and for good.

use clap::Args;
use proto::store::v1::{
    PurgePostsRequest, RestorePostsRequest, TrashPostsRequest,
    trash_service_client::TrashServiceClient,
};
use serde_json::json;

use crate::{
    amount,
    connection::Connection,
    error::Error,
    run::Session,
    selection::{BATCH, Selection},
    terminal::Tally,
};

/// Flags of `kumo trash`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo trash 12 13
  kumo trash --query 'monochrome rating:e'
  kumo search low_contrast --ids --limit 1000 | kumo trash -
  kumo search status:trash                        what is in the trash

Posts in the trash are found no more, all that is known of them is kept, and `kumo restore` brings
them back. After 30 days they are purged. No file is ever touched.
JSON keys: trashed, purge_time (of the first of them).")]
pub(crate) struct TrashFlags {
    #[command(flatten)]
    posts: Selection,
}

/// Flags of `kumo restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo restore 12
  kumo restore --query monochrome       those in the trash that have the tag
  kumo restore --query 'id:>0'          everything in the trash

JSON keys: restored.")]
pub(crate) struct RestoreFlags {
    #[command(flatten)]
    posts: Selection,
}

/// Flags of `kumo purge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo purge 12                         says what it would do
  kumo purge 12 --yes
  kumo purge --query 'id:>0' --yes      empties the trash

A purged post is forgotten for good, and its content is rejected: scans do not bring it back until
`kumo rejected --allow SHA256`. Only posts in the trash can be purged. No file is ever touched.
JSON keys: purged.")]
pub(crate) struct PurgeFlags {
    #[command(flatten)]
    posts: Selection,

    /// Do it: nothing brings a purged post's tags and edits back.
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn trash(flags: &TrashFlags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let numbers = flags.posts.numbers(&connection, false).await?;
    let mut purge_time = None;
    let connected = &connection;
    let first = &mut purge_time;
    each(&numbers, session, async |names| {
        let mut client = TrashServiceClient::new(connected.store());
        let request = TrashPostsRequest { names };
        let answer = connected.ask(client.trash_posts(request)).await?;
        if first.is_none() {
            *first = answer.purge_time;
        }
        Ok(())
    })
    .await?;
    if session.terminal.json() {
        return session.terminal.object(&json!({
            "trashed": numbers.len(),
            "purge_time": purge_time.map(|time| time.to_string()),
        }));
    }
    if numbers.is_empty() {
        session
            .terminal
            .say("no post matches; nothing was put into the trash");
        return Ok(());
    }
    let until = purge_time.map_or_else(String::new, |time| format!(" until {time}"));
    session.terminal.line(&format!(
        "{} in the trash; `kumo restore` brings them back{until}",
        amount::of(numbers.len() as u64, "post"),
    ))
}

pub(crate) async fn restore(flags: &RestoreFlags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let numbers = flags.posts.numbers(&connection, true).await?;
    let connected = &connection;
    each(&numbers, session, async |names| {
        let mut client = TrashServiceClient::new(connected.store());
        let request = RestorePostsRequest { names };
        connected.ask(client.restore_posts(request)).await?;
        Ok(())
    })
    .await?;
    tell(session, "restored", numbers.len())
}

pub(crate) async fn purge(flags: &PurgeFlags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let numbers = flags.posts.numbers(&connection, true).await?;
    if !flags.yes && !numbers.is_empty() {
        return Err(Error::Usage(format!(
            "this would forget {} for good, tags and edits included, and reject the content; add \
             --yes if that is meant",
            amount::of(numbers.len() as u64, "post")
        )));
    }
    purge_all(&connection, &numbers, session).await?;
    tell(session, "purged", numbers.len())
}

async fn purge_all(
    connection: &Connection,
    numbers: &[u32],
    session: &Session,
) -> Result<(), Error> {
    each(numbers, session, async |names| {
        let mut client = TrashServiceClient::new(connection.store());
        let request = PurgePostsRequest { names };
        connection.ask(client.purge_posts(request)).await?;
        Ok(())
    })
    .await
}

fn tell(session: &Session, done: &str, posts: usize) -> Result<(), Error> {
    if session.terminal.json() {
        return session.terminal.object(&json!({ done: posts }));
    }
    let posts = amount::of(posts as u64, "post");
    session.terminal.line(&format!("{posts} {done}"))
}

/// Does something to posts, batch by batch; each batch is done whole or not at all.
pub(crate) async fn each(
    numbers: &[u32],
    session: &Session,
    mut work: impl AsyncFnMut(Vec<String>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut tally = Tally::new(numbers.len() as u64, "post");
    let mut done = 0;
    for batch in numbers.chunks(BATCH) {
        let names = batch.iter().map(|number| format!("posts/{number}"));
        if let Err(error) = work(names.collect()).await {
            drop(tally);
            if done > 0 {
                let done = amount::of(done, "post");
                session.terminal.say(&format!("{done} done before this:"));
            }
            return Err(error);
        }
        done += batch.len() as u64;
        tally.add(batch.len() as u64, &session.terminal);
    }
    Ok(())
}
