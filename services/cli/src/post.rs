//! `kumo post`: everything about one post, found by number, hash or file.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;
use proto::store::v1::{
    GetPostRequest, Post, PostView, ScoredTag, post_service_client::PostServiceClient,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    amount,
    error::Error,
    run::Session,
    terminal::{Table, escape},
    words,
};

/// Flags of `kumo post`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo post 12
  kumo post ~/Pictures/cloud.jpg       hashes the file and looks it up, wherever it lay before
  kumo post 9e107d9d372bb6826bd81d3542a419d6
  kumo post ./12                       a file whose name is a number

JSON keys: name, sha256, md5, media_type, byte_size, width, height, frames, has_alpha, partial,
rating, tags [{name, category}], created, sample {width, height, byte_size, sha256,
render_revision}, perceptual_hash, colours, locations [{path, root, state}], predictions [{model,
model_name, node, device, render_revision, tags [{name, category, confidence}]}].")]
pub(crate) struct Flags {
    /// Number, SHA-256 or MD5 of a post, or a file.
    #[arg(value_name = "ID|SHA256|MD5|FILE")]
    post: PathBuf,
}

pub(crate) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let name = resolve(&flags.post)?;
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
        }) if name.starts_with("posts/sha256:") && flags.post.exists() => {
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

/// The resource name that a person means.
fn resolve(typed: &Path) -> Result<String, Error> {
    if let Some(text) = typed.to_str() {
        let lower = text.to_ascii_lowercase();
        let hash = lower
            .strip_prefix("sha256:")
            .or_else(|| lower.strip_prefix("md5:"))
            .unwrap_or(&lower);
        let number = lower.strip_prefix("posts/").unwrap_or(&lower);
        if !number.is_empty() && number.len() < 32 && number.bytes().all(|b| b.is_ascii_digit()) {
            let number = number.trim_start_matches('0');
            return Ok(format!(
                "posts/{}",
                if number.is_empty() { "0" } else { number }
            ));
        }
        if kit::hex::decode::<32>(hash).is_some() {
            return Ok(format!("posts/sha256:{hash}"));
        }
        if kit::hex::decode::<16>(hash).is_some() {
            return Ok(format!("posts/md5:{hash}"));
        }
    }
    Ok(format!("posts/sha256:{}", hash(typed)?))
}

/// SHA-256 of a file, read in pieces.
fn hash(path: &Path) -> Result<String, Error> {
    let mut file = open(path)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        let length = file.read(&mut piece).map_err(Error::file("read", path))?;
        if length == 0 {
            return Ok(kit::hex::encode(&hasher.finalize()));
        }
        hasher.update(&piece[..length]);
    }
}

/// Opens a picture that a person named; anything but a file would block, or never end.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => File::open(path).map_err(Error::file("open", path)),
        Ok(_) => Err(Error::Failed(format!("{} is not a file", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NoSuchThing(format!(
                "there is no file {}; a post is named by its number, its SHA-256 or MD5, or a file",
                path.display()
            )))
        }
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

/// A post as its JSON object.
pub(crate) fn as_json(post: &Post, full: bool) -> Value {
    let tag = |name: &str, category| json!({"name": name, "category": words::category(category)});
    let tags: Vec<Value> = post
        .tags
        .iter()
        .map(|t| tag(&t.name, t.category()))
        .collect();
    let mut object = json!({
        "name": post.name,
        "sha256": post.sha256,
        "md5": post.md5,
        "media_type": post.media_type,
        "byte_size": post.byte_size,
        "width": post.width,
        "height": post.height,
        "frames": post.frames,
        "has_alpha": post.has_alpha,
        "partial": post.partial,
        "rating": words::rating(post.rating()),
        "tags": tags,
        "created": post.create_time.map(|time| time.to_string()),
        "sample": post.sample.as_ref().map(|sample| json!({
            "width": sample.width,
            "height": sample.height,
            "byte_size": sample.byte_size,
            "sha256": sample.sha256,
            "render_revision": sample.render_revision,
        })),
        "perceptual_hash": post.perceptual_hash,
        "colours": post.colours,
    });
    if full {
        object["locations"] = locations(post).into();
        object["predictions"] = predictions(post).into();
    }
    object
}

fn locations(post: &Post) -> Vec<Value> {
    let location = |location: &proto::store::v1::Location| {
        json!({
            "path": location.display_path,
            "root": location.root,
            "state": words::location_state(location.state()),
        })
    };
    post.locations.iter().map(location).collect()
}

/// What a model says, as every command shows it to programs.
pub(crate) fn scored_tags(tags: &[ScoredTag]) -> Vec<Value> {
    let scored = |tag: &ScoredTag| {
        json!({
            "name": tag.name,
            "category": words::category(tag.category()),
            "confidence": tag.confidence,
        })
    };
    tags.iter().map(scored).collect()
}

fn predictions(post: &Post) -> Vec<Value> {
    let prediction = |prediction: &proto::store::v1::Prediction| {
        json!({
            "model": prediction.model,
            "model_name": prediction.model_name,
            "node": prediction.node,
            "device": prediction.device,
            "render_revision": prediction.render_revision,
            "tags": scored_tags(&prediction.tags),
        })
    };
    post.predictions.iter().map(prediction).collect()
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
    field("sha256", &post.sha256)?;
    field("md5", &post.md5)?;
    field("rating", words::rating(post.rating()))?;
    if let Some(time) = &post.create_time {
        field("added", &time.to_string())?;
    }
    let tags: Vec<&str> = post.tags.iter().map(|tag| tag.name.as_str()).collect();
    field("tags", &tags.join(" "))?;
    for location in &post.locations {
        field(
            words::location_state(location.state()),
            &location.display_path,
        )?;
    }
    for prediction in &post.predictions {
        terminal.line("")?;
        terminal.line(&escape(&format!(
            "{} on {} ({})",
            prediction.model_name, prediction.node, prediction.device
        )))?;
        terminal.table(&scored(&prediction.tags))?;
    }
    Ok(())
}

/// Labels and confidences as a table.
pub(crate) fn scored(tags: &[proto::store::v1::ScoredTag]) -> Table {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(typed: &str) -> Option<String> {
        resolve(Path::new(typed)).ok()
    }

    #[test]
    fn numbers_hashes_and_names_are_told_apart() {
        assert_eq!(name("12").as_deref(), Some("posts/12"));
        assert_eq!(name("posts/012").as_deref(), Some("posts/12"));
        let sha = "AB".repeat(32);
        let wanted = format!("posts/sha256:{}", "ab".repeat(32));
        assert_eq!(name(&sha), Some(wanted.clone()));
        assert_eq!(name(&format!("sha256:{sha}")), Some(wanted));
        let md5 = "9e107d9d372bb6826bd81d3542a419d6";
        assert_eq!(name(md5), Some(format!("posts/md5:{md5}")));
        assert_eq!(name("no such file"), None);
    }

    #[test]
    fn a_file_is_known_by_its_content() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("12");
        std::fs::write(&path, b"abc").expect("writes");
        let wanted =
            "posts/sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(resolve(&path).ok().as_deref(), Some(wanted));
        let error = resolve(folder.path()).expect_err("a folder is no picture");
        assert!(error.to_string().contains("is not a file"));
    }
}
