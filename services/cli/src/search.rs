//! `kumo search`: finds posts by tags, and by what they look like.

mod like;
mod show;
mod watch;

use clap::Args;
use proto::{
    similarity::v1::SimilarOptions,
    store::v1::{
        PostSet, PostView, SearchPostsRequest, SearchPostsResponse,
        post_service_client::PostServiceClient,
    },
};

use crate::{
    connection::Connection,
    error::Error,
    run::Session,
    similar::{ask, channel},
    subject::Subject,
};
use like::Like;

/// Flags of `kumo search`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo search blue_theme -monochrome            has the one tag, not the other
  kumo search rating:g order:newest --limit 20
  kumo search                                   everything
  kumo search similar:12 rating:g               what is like post 12, most alike first
  kumo search similar:~/new.jpg                 like this picture, quotes around blanks
  kumo search red_theme --ids | wc -l
  kumo search red_theme --json | jq -r '.sha256 // empty'
  kumo search red_theme --watch                 new posts as they come, until Ctrl-C

similar:POST or similar:FILE stands once, without a sign, outside parentheses, and without order:.
--watch takes no order: either.
JSON keys of each line: those of `kumo post` without locations, predictions, edits and records (with
--long: all); with similar: also score. The number of all matches and the token of the next page go
to stderr; with --json, the last line is {\"total\":N,\"next_page_token\":\"…\"} (not with --watch).")]
pub(crate) struct Flags {
    /// Tags that a post must have; `-tag` excludes one. Several words are one query.
    #[arg(value_name = "QUERY")]
    words: Vec<String>,

    /// Posts to show, at most 1,000.
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub(crate) limit: i32,

    /// Show the page after the one that gave this token.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    page_token: Option<String>,

    /// Print only names, such as `posts/12`.
    #[arg(long)]
    ids: bool,

    /// Show all tags; with --json also locations, predictions, edits and source records.
    #[arg(long, conflicts_with = "ids")]
    long: bool,

    /// Print posts that begin to match, as they come, until Ctrl-C.
    #[arg(long, conflicts_with_all = ["limit", "page_token"])]
    watch: bool,
}

impl Flags {
    /// The query as one text.
    pub(crate) fn query(&self) -> String {
        let words: Vec<String> = self.words.iter().map(|word| one(word.trim())).collect();
        words.join(" ")
    }

    /// People know their pictures by their files; programs ask for what they need.
    fn view(&self, session: &Session) -> PostView {
        if self.long || !(self.ids || session.terminal.json()) {
            PostView::Full
        } else {
            PostView::Basic
        }
    }

    fn request(
        &self,
        query: String,
        within: Option<PostSet>,
        session: &Session,
    ) -> SearchPostsRequest {
        let page_token = self.page_token.as_deref().unwrap_or_default();
        SearchPostsRequest {
            within,
            query,
            page_size: self.limit,
            page_token: page_token.trim().to_owned(),
            view: self.view(session).into(),
        }
    }
}

/// A word as the shell gave it. `similar:\"my file.jpg\"` has lost its quotes there.
fn one(word: &str) -> String {
    let path = word.strip_prefix("similar:").filter(|path| {
        let blank = path.contains(char::is_whitespace);
        blank && !path.starts_with('"') && like::at_home(path).is_file()
    });
    path.map_or_else(|| word.to_owned(), like::quoted)
}

pub(crate) async fn run(flags: Flags, session: &Session) -> Result<(), Error> {
    let query = flags.query();
    let like = like::take(&query)?;
    let connection = session.connect()?;
    match like {
        Some(_) if flags.watch => Err(Error::Usage(
            "--watch follows a query by tags; leave similar: out".to_owned(),
        )),
        Some(like) => similar(&flags, like, &connection, session).await,
        None if flags.watch => watch::run(&flags, &query, &connection, session).await,
        None => {
            let request = flags.request(query, None, session);
            let page = search(request, &connection).await?;
            show::page(&flags, &page, &|_| None, session)
        }
    }
}

async fn search(
    request: SearchPostsRequest,
    connection: &Connection,
) -> Result<SearchPostsResponse, Error> {
    let mut client = PostServiceClient::new(connection.store());
    connection.ask(client.search_posts(request)).await
}

/// All pages of a search within a set: the store ends one early if its posts are large.
async fn search_all(
    mut request: SearchPostsRequest,
    connection: &Connection,
) -> Result<SearchPostsResponse, Error> {
    let mut posts = Vec::new();
    loop {
        let page = search(request.clone(), connection).await?;
        posts.extend(page.posts);
        if page.next_page_token.is_empty() {
            return Ok(SearchPostsResponse { posts, ..page });
        }
        request.page_token = page.next_page_token;
    }
}

/// What is like the subject, of what the rest of the query finds. To a person all of it is one
/// page: another one would be that of another answer.
async fn similar(
    flags: &Flags,
    like: Like,
    connection: &Connection,
    session: &Session,
) -> Result<(), Error> {
    if flags.page_token.is_some() {
        return Err(Error::Usage(
            "a search with similar: has one page; --limit shows more, at most 1000".to_owned(),
        ));
    }
    let options = SimilarOptions {
        page_size: flags.limit,
        query: like.rest.clone(),
        ..SimilarOptions::default()
    };
    let subject = Subject::new(&like.subject);
    let found = ask::find(&subject, options, connection).await?;
    let number = |name: &str| name.strip_prefix("posts/").and_then(|n| n.parse().ok());
    let within = PostSet {
        ids: found
            .posts
            .iter()
            .filter_map(|post| number(&post.post))
            .collect(),
        keep_order: true,
    };
    let request = flags.request(like.rest, Some(within), session);
    let page = search_all(request, connection).await?;
    let score = |name: &str| {
        let mut posts = found.posts.iter();
        posts.find(|post| post.post == name).map(|post| post.score)
    };
    show::page(flags, &page, &score, session)?;
    if !session.terminal.json() {
        channel::missing(&found, false, &session.terminal);
        if found
            .channels
            .iter()
            .any(|report| report.reason == "NO_EMBEDDER")
        {
            let hint = "`kumo similar --wait` waits until an embedder is there";
            session.terminal.hint(hint);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_that_the_shell_took_come_back_around_a_file_that_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("my file.jpg");
        let path = path.to_str().expect("UTF-8");
        let word = format!("similar:{path}");
        assert_eq!(one(&word), word, "no such file: two words");
        std::fs::write(path, b"x").expect("writes");
        assert_eq!(one(&word), format!("similar:\"{path}\""));
        assert_eq!(one("similar:12"), "similar:12");
    }
}
