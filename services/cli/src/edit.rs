//! `kumo edit`: what a person says of posts. It always wins.

mod parse;

use std::path::PathBuf;

use clap::Args;
use proto::store::v1::{EditPostsRequest, EditedPost, edit_service_client::EditServiceClient};
use serde_json::{Value, json};

use crate::{
    amount,
    connection::Connection,
    error::Error,
    run::Session,
    selection::{chosen, found, named},
    terminal::{Report, Table, Tally},
    words,
};
use parse::{Change, parse};

/// Most tags in one call.
const MOST_TAGS: usize = 1000;
/// Most posts in one call.
const MOST_POSTS: usize = 100;
/// Most posts that the table shows.
const SHOWN: u64 = 100;

/// Flags of `kumo edit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo edit 12 +cloud -monochrome rating:g
  kumo edit 12 13 posts/14 +artist:foo            a new tag of a category
  kumo edit ~/Pictures/cloud.jpg 'cloud?'         say nothing of it any more: models decide again
  kumo edit 12 --reset cloud --reset sky rating:none
  kumo search red_theme --ids | kumo edit - +warm
  kumo edit --query 'red_theme -warm' +warm

First the posts, then what to say of them:
  +TAG         it has the tag, whatever models and boorus say
  -TAG         it does not have it
  TAG?         nothing is said of it any more (also --reset TAG)
  rating:g     its rating: general, sensitive, questionable, explicit, or the first letter
  rating:none  nothing is said of the rating any more
CATEGORY:TAG gives a new tag its category: general, character, copyright, artist, species, meta.
White space in a tag becomes `_`. An edit stands until it is withdrawn; models change nothing of it.
JSON keys of each line: post, rating, tags [], changed_seq.")]
pub(crate) struct Flags {
    /// Posts by number, SHA-256, MD5 or file (`-`: from stdin), then edits.
    #[arg(value_name = "POST|EDIT")]
    words: Vec<String>,

    /// Say nothing of this tag any more.
    #[arg(long, value_name = "TAG")]
    reset: Vec<String>,

    /// Edit all posts that this search finds, instead of named ones.
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true, value_parser = chosen)]
    query: Option<String>,
}

pub(crate) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let (posts, mut change) = parse(&flags.words)?;
    for tag in &flags.reset {
        change.reset(tag)?;
    }
    if change.is_empty() {
        return Err(Error::Usage(
            "nothing to say of them: write +TAG, -TAG, TAG? or rating:g behind the posts"
                .to_owned(),
        ));
    }
    let connection = session.connect()?;
    let numbers = match (&flags.query, posts.is_empty()) {
        (Some(_), false) => {
            return Err(Error::Usage(format!(
                "{} and --query both name posts; choose one",
                posts[0]
            )));
        }
        (Some(query), true) => found(&connection, query).await?,
        (None, true) => {
            return Err(Error::Usage(
                "no post is named: `kumo edit 12 +tag`".to_owned(),
            ));
        }
        (None, false) => {
            let posts: Vec<PathBuf> = posts.iter().map(PathBuf::from).collect();
            named(&connection, &posts).await?
        }
    };
    edit(&numbers, &change, &connection, session).await
}

/// Edits batch by batch; each is done whole or not at all. That nobody reads what is done any more
/// is no reason to leave half of the posts as they were.
async fn edit(
    numbers: &[u32],
    change: &Change,
    connection: &Connection,
    session: &Session,
) -> Result<(), Error> {
    let terminal = &session.terminal;
    let mut client = EditServiceClient::new(connection.store());
    let mut tally = Tally::new(numbers.len() as u64, "post");
    let batch = (MOST_TAGS / change.tags().max(1)).clamp(1, MOST_POSTS);
    let mut table = Table::new(["post", "rating", "tags"]);
    let mut report = Report::new(terminal);
    let mut done = 0;
    for numbers in numbers.chunks(batch) {
        let edits = numbers.iter().map(|number| change.of(*number)).collect();
        let call = client.edit_posts(EditPostsRequest { edits });
        let answer = connection.ask(call).await;
        if answer.is_err() && done > 0 {
            let done = amount::of(done, "post");
            terminal.say(&format!("{done} edited before this:"));
        }
        for post in answer?.posts {
            if terminal.json() {
                report.object(&as_json(&post));
            } else if done < SHOWN {
                let rating = words::rating(post.rating()).to_owned();
                table.row([post.post, rating, post.tags.join(" ")]);
            }
            done += 1;
        }
        tally.add(numbers.len() as u64, terminal);
    }
    drop(tally);
    if terminal.json() {
        return report.end();
    }
    terminal.table(&table)?;
    let edited = amount::of(done, "post");
    match done {
        1 => {}
        done if done > SHOWN => {
            terminal.say(&format!("{edited} edited, of which {SHOWN} are shown"));
        }
        _ => terminal.say(&format!("{edited} edited")),
    }
    Ok(())
}

fn as_json(post: &EditedPost) -> Value {
    json!({
        "post": post.post,
        "rating": words::rating(post.rating()),
        "tags": post.tags,
        "changed_seq": post.changed_seq,
    })
}
