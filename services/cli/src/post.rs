//! `kumo post`: everything about one post, found by number, hash or file.

mod json;

use std::path::PathBuf;

use clap::Args;
use proto::store::v1::{
    BatchGetPostsRequest, GetPostRequest, Post, PostView, Prediction, Rating, ScoredTag,
    post_service_client::PostServiceClient,
};

pub(crate) use json::{as_json, scored_tags};

use crate::{
    amount,
    connection::Connection,
    error::Error,
    run::Session,
    subject::Subject,
    terminal::{Table, escape},
    words,
};

/// Posts asked for in one call. With all that is known of them, so many usually fit into an answer.
const BATCH: usize = 100;

/// Flags of `kumo post`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo post 12
  kumo post ~/Pictures/cloud.jpg       hashes the file and looks it up, wherever it lay before
  kumo post 9e107d9d372bb6826bd81d3542a419d6
  kumo post ./12                       a file whose name is a number

JSON keys: name, sha256, md5, media_type, byte_size, width, height, frames, has_alpha, partial,
rating, tags [{name, category}], created, trashed (null, or since when), sample {width, height,
byte_size, sha256, render_revision}, perceptual_hash, detail, colours, locations [{path, root,
state}], predictions [{model, model_name, node, device, render_revision, tags [{name, category,
confidence}]}], edits {tags [{name, removed, editor, time}], rating, rating_editor, rating_time},
source_records [{source, external_id, rating, tags [{name, category}], fetched}],
embedding_models [].")]
pub(crate) struct Flags {
    /// Number, SHA-256 or MD5 of a post, or a file.
    #[arg(value_name = "ID|SHA256|MD5|FILE")]
    post: PathBuf,
}

pub(crate) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let subject = Subject::new(&flags.post);
    let name = subject.resource_name()?;
    let connection = session.connect()?;
    let request = GetPostRequest {
        name: name.clone(),
        view: PostView::Full.into(),
    };
    let mut client = PostServiceClient::new(connection.store());
    let missing = || Error::NoSuchThing(format!("there is no post {name}"));
    let answer = match connection.ask(client.get_post(request)).await {
        Err(Error::Refused {
            code: kit::Code::NotFound,
            ..
        }) if matches!(subject, Subject::File(_)) => {
            return Err(Error::NoSuchThing(format!(
                "{} is not in the library (no post has its content, {})",
                flags.post.display(),
                &name["posts/".len()..]
            )));
        }
        other => other?,
    };
    let post = answer.post.ok_or_else(missing)?;
    if session.terminal.json() {
        return session.terminal.object(&as_json(&post, true));
    }
    print(&post, session)
}

/// Posts by their names with everything, in this order; those that are gone are left out.
pub(crate) async fn batch(connection: &Connection, names: &[String]) -> Result<Vec<Post>, Error> {
    let mut client = PostServiceClient::new(connection.store());
    let mut posts = Vec::with_capacity(names.len());
    let mut parts: Vec<&[String]> = names.chunks(BATCH).rev().collect();
    while let Some(part) = parts.pop() {
        let request = BatchGetPostsRequest {
            names: part.to_vec(),
            view: PostView::Full.into(),
        };
        match connection.ask(client.batch_get_posts(request)).await {
            Ok(answer) => posts.extend(answer.posts),
            Err(Error::Refused { reason, .. })
                if reason == "ANSWER_TOO_LARGE" && part.len() > 1 =>
            {
                let (one, other) = part.split_at(part.len() / 2);
                parts.extend([other, one]);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(posts)
}

fn print(post: &Post, session: &Session) -> Result<(), Error> {
    let terminal = &session.terminal;
    let mut notes = vec![
        post.media_type.clone(),
        format!("{}×{}", post.width, post.height),
        amount::bytes(post.byte_size),
    ];
    if post.frames > 1 {
        notes.push(amount::of(u64::from(post.frames), "frame"));
    }
    if post.partial {
        notes.push("ends early: only a part could be decoded".to_owned());
    }
    terminal.line(&escape(&format!("{}  {}", post.name, notes.join(", "))))?;
    let field = |name: &str, value: &str| match value {
        "" => Ok(()),
        value => terminal.line(&format!("  {name:<8} {}", escape(value))),
    };
    if let Some(time) = &post.trash_time {
        let text = format!("since {time}; found no more, `kumo restore` brings it back");
        field("in trash", &text)?;
    }
    field("sha256", &post.sha256)?;
    field("md5", &post.md5)?;
    field("rating", words::rating(post.rating()))?;
    if let Some(time) = &post.create_time {
        field("added", &time.to_string())?;
    }
    let tags: Vec<&str> = post.tags.iter().map(|tag| tag.name.as_str()).collect();
    field("tags", &tags.join(" "))?;
    field("edits", &edits(post))?;
    for record in &post.source_records {
        let tags: Vec<&str> = record.tags.iter().map(|tag| tag.name.as_str()).collect();
        let text = format!(
            "{} {} {} {}",
            record.source,
            record.external_id,
            words::rating(record.rating()),
            tags.join(" ")
        );
        field("source", text.trim())?;
    }
    field("vectors", &post.embedding_models.join(" "))?;
    for location in &post.locations {
        field(
            words::location_state(location.state()),
            &location.display_path,
        )?;
    }
    post.predictions
        .iter()
        .try_for_each(|prediction| predicted(prediction, session))
}

fn predicted(prediction: &Prediction, session: &Session) -> Result<(), Error> {
    let terminal = &session.terminal;
    terminal.line("")?;
    terminal.line(&escape(&format!(
        "{} on {} ({})",
        prediction.model_name, prediction.node, prediction.device
    )))?;
    terminal.table(&scored(&prediction.tags))
}

/// What people said, as `kumo edit` takes it.
fn edits(post: &Post) -> String {
    let Some(edits) = &post.edits else {
        return String::new();
    };
    let sign = |removed| if removed { '-' } else { '+' };
    let mut words: Vec<String> = edits
        .tags
        .iter()
        .map(|edit| format!("{}{} ({})", sign(edit.removed), edit.name, edit.editor))
        .collect();
    if edits.rating() != Rating::Unspecified {
        let rating = words::rating(edits.rating());
        words.push(format!("rating:{rating} ({})", edits.rating_editor));
    }
    words.join(" ")
}

/// Labels and confidences as a table.
pub(crate) fn scored(tags: &[ScoredTag]) -> Table {
    let mut table = Table::new([">confidence", "category", "tag"]);
    for tag in tags {
        table.row([
            format!("{:.3}", tag.confidence),
            words::category(tag.category()).to_owned(),
            tag.name.clone(),
        ]);
    }
    table
}
