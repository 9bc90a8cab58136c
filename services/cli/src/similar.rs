//! `kumo similar`: the posts most like a post or a picture.

pub(crate) mod ask;
pub(crate) mod channel;

use std::{collections::HashMap, path::PathBuf, time::Duration};

use clap::Args;
use kit::config::seconds;
use proto::{
    similarity::v1::{ChannelWeight, SimilarOptions, SimilarPosts},
    store::v1::Post,
};
use serde_json::{Map, Value, json};

use crate::{
    amount,
    error::Error,
    post::{self, as_json},
    run::Session,
    subject::Subject,
    terminal::{Table, escape},
};

/// Longest wait for an embedder.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Flags of `kumo similar`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo similar 12
  kumo similar new.jpg                       is it there already? the same picture comes first
  kumo similar new.jpg --wait                start an embedder first, if none runs
  kumo similar 12 --query 'rating:g -monochrome' --limit 50
  kumo similar 12 --channel hash             only the same drawing, re-encoded or resized
  kumo similar new.jpg --channel hash --min-score 0.92   near-duplicates: at most 10 bits differ
  kumo similar 12 --channel embedding=1 --channel tags=0.5
  kumo similar ./12                          a file whose name is a number

Channels: embedding (what a model sees), hash (the same drawing), colour (the same colours in the
same places), tags (rare ones counting more). Scores are 0 to 1; a post without a channel (no vector
yet) is judged by the others. A channel that could not be used is named with its reason.
JSON keys of each line: those of `kumo post`, score, channels {embedding, hash, colour, tags}. The
last line is {\"channels\":[{channel, weight, used, reason, message}],\"lag\":N}.
Exit code 0 also if nothing is alike; 1 if there is no such post or file.")]
pub(crate) struct Flags {
    /// Number, SHA-256 or MD5 of a post, or a picture of at most 256 MiB.
    #[arg(value_name = "POST|FILE")]
    subject: PathBuf,

    /// Only posts that this search finds.
    #[arg(long, value_name = "QUERY", allow_hyphen_values = true)]
    query: Option<String>,

    /// Posts to show, at most 1,000.
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(i32).range(1..=1000))]
    limit: i32,

    /// Compare by this channel, with this weight; several times for several. By default all, with
    /// weights that suit most.
    #[arg(long = "channel", value_name = "NAME[=WEIGHT]", value_parser = channel::weight)]
    channels: Vec<ChannelWeight>,

    /// Only posts with at least this score, 0 to 1.
    #[arg(long, value_name = "SCORE", default_value_t = 0.0, value_parser = share)]
    min_score: f32,

    /// Wait for an embedder if none runs, at most so many seconds (60).
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
          default_missing_value = "60", value_parser = wait)]
    wait: Option<Duration>,

    /// Print only names, such as `posts/12`.
    #[arg(long)]
    ids: bool,
}

/// Reads a number from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err("must be between 0 and 1".to_owned()),
    }
}

fn wait(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        length if length <= LONGEST_WAIT => Ok(length),
        _ => Err("at most 60 seconds".to_owned()),
    }
}

impl Flags {
    fn options(&self) -> SimilarOptions {
        SimilarOptions {
            page_size: self.limit,
            weights: self.channels.clone(),
            query: self.query.as_deref().unwrap_or_default().trim().to_owned(),
            within: None,
            min_score: self.min_score,
            wait: self.wait.unwrap_or_default().try_into().ok(),
        }
    }
}

pub(crate) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let subject = Subject::new(&flags.subject);
    let connection = session.connect()?;
    let found = ask::find(&subject, flags.options(), &connection).await?;
    let terminal = &session.terminal;
    if flags.ids && !terminal.json() {
        for post in &found.posts {
            terminal.line(&escape(&post.post))?;
        }
    } else {
        let names: Vec<String> = found.posts.iter().map(|post| post.post.clone()).collect();
        let posts = post::batch(&connection, &names).await?;
        show(&found, &posts, session)?;
    }
    if terminal.json() {
        let channels: Vec<Value> = found.channels.iter().map(channel::as_json).collect();
        return terminal.object(&json!({ "channels": channels, "lag": found.lag }));
    }
    if found.posts.is_empty() {
        terminal.say("no post is like it");
    }
    channel::missing(&found, !flags.channels.is_empty(), terminal);
    Ok(())
}

/// Writes what was found, with what the store says of it. A post that went meanwhile is left out.
fn show(found: &SimilarPosts, posts: &[Post], session: &Session) -> Result<(), Error> {
    let by_name: HashMap<&str, &Post> = posts.iter().map(|post| (&*post.name, post)).collect();
    let mut table = Table::new([
        ">score",
        ">embedding",
        ">hash",
        ">colour",
        ">tags",
        "post",
        ">size",
        ">bytes",
        "file",
    ]);
    for similar in &found.posts {
        let Some(post) = by_name.get(&*similar.post) else {
            continue;
        };
        let scores = channel::ALL.map(|channel| channel::score(similar, channel));
        if session.terminal.json() {
            let mut object = as_json(post, true);
            object["score"] = similar.score.into();
            let said = channel::ALL.into_iter().zip(scores);
            let said =
                said.filter_map(|(c, score)| Some((channel::name(c).to_owned(), score?.into())));
            object["channels"] = said.collect::<Map<_, _>>().into();
            session.terminal.object(&object)?;
            continue;
        }
        let [embedding, hash, colour, tags] =
            scores.map(|score| score.map_or_else(|| "–".to_owned(), |s| format!("{s:.3}")));
        table.row([
            format!("{:.3}", similar.score),
            embedding,
            hash,
            colour,
            tags,
            post.name.clone(),
            format!("{}×{}", post.width, post.height),
            amount::bytes(post.byte_size),
            path(post),
        ]);
    }
    session.terminal.table(&table)
}

/// Where a post lies; where it is present, if there is such a place.
pub(crate) fn path(post: &Post) -> String {
    use proto::store::v1::LocationState;
    let mut present = post.locations.iter();
    let present = present.find(|location| location.state() == LocationState::Present);
    let location = present.or(post.locations.first());
    location.map_or_else(String::new, |location| location.display_path.clone())
}
