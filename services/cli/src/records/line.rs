//! A line of a file of records → a record.

use proto::store::v1::{SourceRecord, SourceTag};
use serde::Deserialize;

use crate::{
    subject::Subject,
    words::{categorised, rating_named},
};

/// What a line holds; other keys are for whoever reads it again.
#[derive(Debug, Deserialize)]
struct Line {
    /// `12`, `posts/12`, a SHA-256 or an MD5.
    post: Post,
    source: String,
    id: Id,
    #[serde(default)]
    tags: Vec<String>,
    rating: Option<String>,
    raw: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Post {
    Number(u32),
    Name(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

/// Reads a line. Without `raw` the line itself is what is kept.
///
/// # Errors
/// With a text that says what is wrong.
pub(super) fn read(line: &str) -> Result<SourceRecord, String> {
    let read: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let post = match read.post {
        Post::Number(number) => format!("posts/{number}"),
        Post::Name(text) => match Subject::new(std::path::Path::new(&text)) {
            Subject::Post(name) => name,
            Subject::File(_) => {
                return Err(format!("post {text:?} is no number, SHA-256 or MD5"));
            }
        },
    };
    let rating = match read.rating.as_deref() {
        None | Some("") => proto::store::v1::Rating::Unspecified,
        Some(word) => rating_named(&word.to_ascii_lowercase())
            .ok_or_else(|| format!("there is no rating {word:?}"))?,
    };
    let tags = read.tags.iter().map(|tag| {
        let (category, name) = categorised(tag);
        SourceTag {
            name: name.to_owned(),
            category: category.into(),
        }
    });
    Ok(SourceRecord {
        post,
        source: read.source,
        external_id: match read.id {
            Id::Number(number) => number.to_string(),
            Id::Text(text) => text,
        },
        tags: tags.collect(),
        rating: rating.into(),
        raw: read
            .raw
            .unwrap_or_else(|| line.to_owned())
            .into_bytes()
            .into(),
        fetch_time: None,
    })
}

#[cfg(test)]
mod tests {
    use proto::store::v1::{Rating, TagCategory};

    use super::*;

    #[test]
    fn a_line_names_a_post_and_is_kept_verbatim() {
        let md5 = "9e107d9d372bb6826bd81d3542a419d6";
        let line = format!(
            r#"{{"post":"{md5}", "source":"danbooru","id":77,"tags":["sky","artist:foo"],"rating":"s","score":3}}"#
        );
        let record = read(&line).expect("reads");
        assert_eq!(record.post, format!("posts/md5:{md5}"));
        assert_eq!(
            (record.source.as_str(), record.external_id.as_str()),
            ("danbooru", "77")
        );
        assert_eq!(record.rating(), Rating::Sensitive);
        assert_eq!(record.tags[1].name, "foo");
        assert_eq!(record.tags[1].category(), TagCategory::Artist);
        assert_eq!(record.raw, line.as_bytes());
        let record = read(r#"{"post":12,"source":"x","id":"a","raw":"as it was"}"#);
        let record = record.expect("reads");
        assert_eq!(
            (record.post.as_str(), &record.raw[..]),
            ("posts/12", &b"as it was"[..])
        );
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        for (line, said) in [
            ("{", "EOF"),
            (r#"{"source":"x","id":1}"#, "post"),
            (r#"{"post":"a.jpg","source":"x","id":1}"#, "a.jpg"),
            (r#"{"post":1,"source":"x","id":1,"rating":"z"}"#, "\"z\""),
        ] {
            let error = read(line).expect_err(line);
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
