//! `kumo search --watch`: follows the feed and prints what begins to match.

use std::{collections::HashSet, time::Duration};

use proto::store::v1::{
    Cursor, GetStatsRequest, PostSet, WatchChangesRequest, WatchChangesResponse,
    admin_service_client::AdminServiceClient, feed_service_client::FeedServiceClient,
};

use super::{Flags, search, show};
use crate::{amount, connection::Connection, error::Error, run::Session, selection::found};

/// How long to wait before asking a store again that went away.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest silence of a stream that has a sign of life every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// Posts asked about at once.
const BATCH: u16 = 1000;

/// Follows until the process is ended. Holds the numbers of all posts that match or were printed,
/// some 10 bytes each.
pub(super) async fn run(
    flags: &Flags,
    query: &str,
    connection: &Connection,
    session: &Session,
) -> Result<(), Error> {
    // The position first: what comes between it and the answer is looked at twice, not missed.
    let mut client = AdminServiceClient::new(connection.store());
    let stats = connection.ask(client.get_stats(GetStatsRequest {})).await?;
    let mut cursor = Cursor {
        epoch: stats.epoch,
        seq: stats.seq,
    };
    let seen = found(connection, query).await?;
    let mut seen: HashSet<u32> = seen.into_iter().collect();
    let now = amount::of(seen.len() as u64, "post");
    session
        .terminal
        .say(&format!("{now} found so far; new ones follow, Ctrl-C ends"));
    loop {
        let Err(error) = follow(flags, query, &mut cursor, &mut seen, connection, session).await
        else {
            continue;
        };
        if !may_pass(&error) {
            return Err(error);
        }
        session
            .terminal
            .say(&format!("waiting for the store: {error}"));
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether the store may be back soon.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Unreachable { .. } | Error::TooLong(_) => true,
        Error::Refused { code, .. } => {
            matches!(code, kit::Code::Unavailable | kit::Code::ResourceExhausted)
        }
        _ => false,
    }
}

/// Follows one stream to its end.
async fn follow(
    flags: &Flags,
    query: &str,
    cursor: &mut Cursor,
    seen: &mut HashSet<u32>,
    connection: &Connection,
    session: &Session,
) -> Result<(), Error> {
    let mut client = FeedServiceClient::new(connection.store());
    let request = WatchChangesRequest {
        cursor: Some(*cursor),
        until_now: false,
    };
    let mut changes = connection.ask(client.watch_changes(request)).await?;
    loop {
        let message = tokio::time::timeout(SILENCE, changes.message()).await;
        let message = message.map_err(|_| Error::TooLong("the feed went silent".to_owned()))?;
        let Some(page) = message.map_err(|status| connection.refusal(&status))? else {
            // A stream that ends at once must not be asked for without a pause.
            tokio::time::sleep(AGAIN).await;
            return Ok(());
        };
        let candidates = candidates(&page, seen);
        for ids in candidates.chunks(BATCH.into()) {
            let within = PostSet {
                ids: ids.to_vec(),
                keep_order: true,
            };
            let mut request = flags.request(query.to_owned(), Some(within), session);
            request.page_size = BATCH.into();
            loop {
                let answer = search(request.clone(), connection).await?;
                for post in answer.posts {
                    show::line(flags, &post, session)?;
                    seen.extend(number(&post.name));
                }
                // The store ends a page early if its posts are large.
                if answer.next_page_token.is_empty() {
                    break;
                }
                request.page_token = answer.next_page_token;
            }
        }
        session.terminal.finish()?;
        if let Some(reached) = page.cursor {
            *cursor = reached;
        }
    }
}

fn number(name: &str) -> Option<u32> {
    name.strip_prefix("posts/")?.parse().ok()
}

/// Posts of a page that may match and were not printed.
fn candidates(page: &WatchChangesResponse, seen: &HashSet<u32>) -> Vec<u32> {
    // A post in the trash is as good as deleted, but for a search of the trash.
    let changes = page.changes.iter();
    let there = changes.filter(|change| !change.deleted || change.trashed);
    let numbers = there.filter_map(|change| number(&change.post));
    numbers.filter(|number| !seen.contains(number)).collect()
}
