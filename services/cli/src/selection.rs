//! Which posts a command is about: named one by one, read from stdin, or found by a query.

use std::{
    ffi::OsStr,
    io::{BufRead, Read},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use clap::Args;
use proto::store::v1::{MatchQueryRequest, match_service_client::MatchServiceClient};
use tokio_stream::StreamExt;

use crate::{
    connection::Connection,
    error::Error,
    query::{Token, tokens},
    subject::Subject,
};

/// Most posts that one call of the store changes.
pub(crate) const BATCH: usize = 500;
/// Longest line of stdin: a path.
const LONGEST_LINE: u64 = 16 << 10;

/// Posts that a person chose.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Posts by number, SHA-256, MD5 or file; `-` reads them from stdin, one a line.
    #[arg(value_name = "POST", required_unless_present = "query")]
    posts: Vec<PathBuf>,

    /// All posts that this search finds, instead of named ones.
    #[arg(
        long,
        value_name = "QUERY",
        allow_hyphen_values = true,
        value_parser = chosen,
        conflicts_with = "posts"
    )]
    query: Option<String>,
}

impl Selection {
    /// The numbers of the posts, each once, in the order they were named; 4 bytes a post.
    /// `trashed`: a query looks into the trash.
    pub(crate) async fn numbers(
        &self,
        connection: &Connection,
        trashed: bool,
    ) -> Result<Vec<u32>, Error> {
        if let Some(query) = &self.query {
            return found(connection, &in_trash(query, trashed)).await;
        }
        named(connection, &self.posts).await
    }
}

/// A query that was meant: an unset variable of a script must not choose the whole library.
pub(crate) fn chosen(query: &str) -> Result<String, String> {
    match query.trim() {
        "" => {
            Err("an empty query would choose every post; if you mean that, say `id:>0`".to_owned())
        }
        query => Ok(query.to_owned()),
    }
}

/// A query that finds only what is in the trash, unless it says itself where to look.
///
/// `status:` is no condition of one alternative: it holds for the whole query, so no parentheses are
/// needed around an `or`. They would do harm: they would close at the end of a tag like `:)`, count
/// as a level of their own, and every place that a refusal names would be off by some bytes.
fn in_trash(query: &str, trashed: bool) -> String {
    let says = |words: &[Token]| words.iter().any(|word| word.is_metatag("status"));
    if !trashed || tokens(query).is_ok_and(|words| says(&words)) {
        return query.to_owned();
    }
    format!("{query} status:trash")
}

/// The numbers of all posts that a query finds, ascending.
pub(crate) async fn found(connection: &Connection, query: &str) -> Result<Vec<u32>, Error> {
    let mut client = MatchServiceClient::new(connection.store());
    let request = MatchQueryRequest {
        query: query.to_owned(),
    };
    let mut pages = connection.ask(client.match_query(request)).await?;
    let mut numbers = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|status| connection.refusal(&status))?;
        numbers.extend(page.ids);
    }
    Ok(numbers)
}

/// The numbers of posts that were named, each once, in that order.
pub(crate) async fn named(connection: &Connection, posts: &[PathBuf]) -> Result<Vec<u32>, Error> {
    let mut numbers = Vec::new();
    for typed in posts {
        if typed.as_os_str() == "-" {
            // Numbers are read to the end before anything is done, and nobody else is served.
            let mut lines = std::io::stdin().lock();
            while let Some(line) = line(&mut lines)? {
                let subject = Subject::new(&line);
                numbers.push(subject.number(connection).await?);
            }
        } else {
            numbers.push(Subject::new(typed).number(connection).await?);
        }
    }
    let mut seen = std::collections::HashSet::new();
    numbers.retain(|number| seen.insert(*number));
    Ok(numbers)
}

/// The next line that is not blank. A path may hold any byte.
fn line(lines: &mut impl BufRead) -> Result<Option<PathBuf>, Error> {
    loop {
        let mut line = Vec::new();
        let length = lines
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line);
        let length = length.map_err(Error::file("read", "stdin"))?;
        if length == 0 {
            return Ok(None);
        }
        if length as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
            return Err(Error::Usage(
                "a line of stdin is longer than 16 KiB; each names one post".to_owned(),
            ));
        }
        let line = line.trim_ascii();
        if !line.is_empty() {
            return Ok(Some(OsStr::from_bytes(line).into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_one_by_one_and_blank_ones_mean_nothing() {
        let mut lines = &b"posts/1\n\n  7 \na\xff.png\nlast"[..];
        let mut next = || line(&mut lines).expect("reads");
        for wanted in [&b"posts/1"[..], b"7", b"a\xff.png", b"last"] {
            assert_eq!(next().as_deref(), Some(OsStr::from_bytes(wanted).as_ref()));
        }
        assert_eq!(next(), None);
    }

    #[test]
    fn a_query_about_the_trash_says_so_once_and_is_otherwise_as_it_was_typed() {
        for (typed, asked) in [
            ("a or b", "a or b status:trash"),
            ("~a ~b -(c d)", "~a ~b -(c d) status:trash"),
            (":)", ":) status:trash"),
            ("\"status:trash\"", "\"status:trash\" status:trash"),
            ("not_status:trash", "not_status:trash status:trash"),
            ("a status:trash", "a status:trash"),
            ("STATUS:Trash a or b", "STATUS:Trash a or b"),
        ] {
            assert_eq!(in_trash(typed, true), asked);
            assert_eq!(in_trash(typed, false), typed);
        }
        assert!(chosen(" ").is_err() && chosen("id:>0").is_ok());
    }
}
