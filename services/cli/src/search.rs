//! `kumo search`: finds posts by tags.

use clap::Args;
use proto::store::v1::{
    Post, PostView, SearchPostsRequest, post_service_client::PostServiceClient,
};
use serde_json::json;

use crate::{amount, error::Error, post::as_json, run::Session, terminal::Table, words};

/// Flags of `kumo search`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo search blue_theme -monochrome            has the one tag, not the other
  kumo search rating:g order:newest --limit 20
  kumo search                                   everything
  kumo search red_theme --ids | wc -l
  kumo search red_theme --json | jq -r .sha256

JSON keys of each line: those of `kumo post` without locations and predictions (with --long: all).
The number of all matches and the token of the next page go to stderr; with --json, the last line
is {\"total\":N,\"next_page_token\":\"…\"}.")]
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

    /// Show all tags; with --json also locations and predictions.
    #[arg(long, conflicts_with = "ids")]
    long: bool,
}

impl Flags {
    /// The query as one text.
    pub(crate) fn query(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|word| word.trim()).collect();
        words.join(" ")
    }
}

pub(crate) async fn run(flags: Flags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    // People know their pictures by their files; programs ask for what they need.
    let view = if flags.long || !(flags.ids || session.terminal.json()) {
        PostView::Full
    } else {
        PostView::Basic
    };
    let request = SearchPostsRequest {
        within: None,
        query: flags.query(),
        page_size: flags.limit,
        page_token: flags
            .page_token
            .as_deref()
            .unwrap_or_default()
            .trim()
            .to_owned(),
        view: view.into(),
    };
    let mut client = PostServiceClient::new(connection.store());
    let page = connection.ask(client.search_posts(request)).await?;

    let terminal = &session.terminal;
    if terminal.json() {
        for post in &page.posts {
            terminal.object(&as_json(post, flags.long))?;
        }
        return terminal.object(&json!({
            "total": page.total_size,
            "next_page_token": page.next_page_token,
        }));
    }
    if flags.ids {
        for post in &page.posts {
            terminal.line(&crate::terminal::escape(&post.name))?;
        }
    } else {
        terminal.table(&table(&page.posts, flags.long))?;
    }
    let shown = page.posts.len() as u64;
    match (page.total_size, shown) {
        (0, _) => terminal.say("no post matches"),
        (total, shown) if total == shown => terminal.say(&amount::of(total, "post")),
        (total, shown) => terminal.say(&format!(
            "{} of {}",
            amount::count(shown),
            amount::of(total, "post")
        )),
    }
    if !page.next_page_token.is_empty() {
        terminal.hint(&format!("next page: --page-token {}", page.next_page_token));
    }
    Ok(())
}

fn table(posts: &[Post], long: bool) -> Table {
    let mut table = Table::new(["post", ">size", "rating", "tags", "file"]);
    for post in posts {
        let names: Vec<&str> = post.tags.iter().map(|tag| tag.name.as_str()).collect();
        let most = if long { names.len() } else { 8 };
        let mut tags = names[..names.len().min(most)].join(" ");
        if names.len() > most {
            tags.push_str(&format!(" … {} more", names.len() - most));
        }
        table.row([
            post.name.clone(),
            format!("{}×{}", post.width, post.height),
            words::rating(post.rating()).to_owned(),
            tags,
            match post.locations.first() {
                Some(location) => location.display_path.clone(),
                None => String::new(),
            },
        ]);
    }
    table
}
