//! What was found, for people and for programs.

use proto::store::v1::{Post, SearchPostsResponse};
use serde_json::json;

use super::Flags;
use crate::{
    amount,
    error::Error,
    post::as_json,
    run::Session,
    similar::path,
    terminal::{Table, escape},
    words,
};

/// Tags of a post that a table shows.
const SOME: usize = 8;

/// Writes a page. `score`: how alike a post is, if that was asked for.
pub(super) fn page(
    flags: &Flags,
    page: &SearchPostsResponse,
    score: &dyn Fn(&str) -> Option<f32>,
    session: &Session,
) -> Result<(), Error> {
    let terminal = &session.terminal;
    if terminal.json() {
        for post in &page.posts {
            let mut object = as_json(post, flags.long);
            if let Some(score) = score(&post.name) {
                object["score"] = score.into();
            }
            terminal.object(&object)?;
        }
        return terminal.object(&json!({
            "total": page.total_size,
            "next_page_token": page.next_page_token,
        }));
    }
    if flags.ids {
        for post in &page.posts {
            terminal.line(&escape(&post.name))?;
        }
    } else {
        terminal.table(&table(&page.posts, score, flags.long))?;
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

/// Writes one post on a line of its own.
pub(super) fn line(flags: &Flags, post: &Post, session: &Session) -> Result<(), Error> {
    let terminal = &session.terminal;
    if terminal.json() {
        return terminal.object(&as_json(post, flags.long));
    }
    if flags.ids {
        return terminal.line(&escape(&post.name));
    }
    terminal.line(&escape(&format!(
        "{}  {}×{}  {}  {}",
        post.name,
        post.width,
        post.height,
        tags(post, flags.long),
        path(post)
    )))
}

fn tags(post: &Post, long: bool) -> String {
    let names: Vec<&str> = post.tags.iter().map(|tag| tag.name.as_str()).collect();
    let most = if long { names.len() } else { SOME };
    let mut tags = names[..names.len().min(most)].join(" ");
    if names.len() > most {
        tags.push_str(&format!(" … {} more", names.len() - most));
    }
    tags
}

fn table(posts: &[Post], score: &dyn Fn(&str) -> Option<f32>, long: bool) -> Table {
    let row = |post: &Post| {
        [
            post.name.clone(),
            format!("{}×{}", post.width, post.height),
            words::rating(post.rating()).to_owned(),
            tags(post, long),
            path(post),
        ]
    };
    if posts.iter().all(|post| score(&post.name).is_none()) {
        let mut table = Table::new(["post", ">size", "rating", "tags", "file"]);
        for post in posts {
            table.row(row(post));
        }
        return table;
    }
    let mut table = Table::new([">score", "post", ">size", "rating", "tags", "file"]);
    for post in posts {
        let score = score(&post.name).map_or_else(String::new, |score| format!("{score:.3}"));
        let [name, size, rating, tags, file] = row(post);
        table.row([score, name, size, rating, tags, file]);
    }
    table
}
