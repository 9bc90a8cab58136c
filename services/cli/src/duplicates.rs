//! `kumo duplicates`: pictures that are there several times, nearly the same.

use std::collections::HashMap;

use clap::Args;
use proto::{
    similarity::v1::{
        DuplicateGroup, DuplicatePost, ListDuplicatesRequest, ListDuplicatesResponse,
        similarity_service_client::SimilarityServiceClient,
    },
    store::v1::Post,
};
use serde_json::{Value, json};

use crate::{
    amount,
    connection::{Connection, SIMILARITY, refusal},
    error::Error,
    post,
    run::Session,
    similar::{path, share},
    terminal::Table,
};

/// Flags of `kumo duplicates`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo duplicates
  kumo duplicates --distance 4              only what is nearly bit for bit the same
  kumo duplicates --all --json | jq -r '.posts[1:][]?.name // empty' | kumo trash -
  kumo duplicates --near-blank              pictures that are set apart, as they are nearly blank

Nothing is deleted: `kumo trash` puts away what you do not want to keep, and touches no file.
Two pictures belong together if their perceptual hashes differ in at most --distance of 256 bits and,
where both have vectors, if these agree. KEEP marks the one that is suggested, WHY says by what.
JSON keys of each line: keeper, keeper_reason, posts [{name, distance, cosine, verified, width,
height, byte_size, paths []}]. The last line is {\"total\":N,\"near_blank\":N,\"next_page_token\":\"…\"}.")]
pub(crate) struct Flags {
    /// Bits of 256 in which the hashes of two pictures may differ, 0 to 32; by default 10.
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(0..=32))]
    distance: Option<u32>,

    /// Cosine that the vectors of two pictures must reach, 0 to 1; by default 0.9.
    #[arg(long, value_name = "COSINE", value_parser = share)]
    min_cosine: Option<f32>,

    /// List the pictures that are set apart because they are nearly blank.
    #[arg(long)]
    near_blank: bool,

    /// Groups to show, at most 500.
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,

    /// Show all groups, page after page.
    #[arg(long, conflicts_with_all = ["limit", "page_token"])]
    all: bool,

    /// Show the page after the one that gave this token.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    page_token: Option<String>,
}

pub(crate) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let mut page_token = flags.page_token.clone().unwrap_or_default();
    let mut shown = 0;
    loop {
        let page = page(flags, page_token, &connection).await?;
        let names = page.groups.iter().flat_map(|group| &group.posts);
        let names: Vec<String> = names.map(|member| member.post.clone()).collect();
        let posts = post::batch(&connection, &names).await?;
        let posts = posts.iter().map(|post| (&*post.name, post)).collect();
        show(&page.groups, &posts, shown, session)?;
        shown += page.groups.len() as u64;
        if !flags.all || page.next_page_token.is_empty() {
            return finish(flags, &page, shown, session);
        }
        session.terminal.finish()?;
        page_token = page.next_page_token;
    }
}

async fn page(
    flags: &Flags,
    page_token: String,
    connection: &Connection,
) -> Result<ListDuplicatesResponse, Error> {
    let peer = connection.similarity()?;
    let request = ListDuplicatesRequest {
        page_size: if flags.all { 500 } else { flags.limit },
        page_token,
        max_distance: flags.distance,
        min_cosine: flags.min_cosine,
        near_blank: flags.near_blank,
    };
    let mut request = tonic::Request::new(request);
    // All pairs of the library are looked at.
    request.set_timeout(std::time::Duration::from_secs(300));
    let mut client = SimilarityServiceClient::new(peer.channel());
    match client.list_duplicates(request).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(refusal(SIMILARITY, peer.address(), &status)),
    }
}

/// `before`: how many groups were shown on the pages before.
fn show(
    groups: &[DuplicateGroup],
    posts: &HashMap<&str, &Post>,
    before: u64,
    session: &Session,
) -> Result<(), Error> {
    let terminal = &session.terminal;
    let mut table = Table::new([
        ">group",
        "",
        "post",
        ">size",
        ">bytes",
        ">distance",
        ">cosine",
        "file",
        "why",
    ]);
    for (number, group) in (before + 1..).zip(groups) {
        if terminal.json() {
            terminal.object(&as_json(group, posts))?;
            continue;
        }
        for member in &group.posts {
            add_row(&mut table, number, group, member, posts);
        }
    }
    terminal.table(&table)
}

fn add_row(
    table: &mut Table,
    number: u64,
    group: &DuplicateGroup,
    member: &DuplicatePost,
    posts: &HashMap<&str, &Post>,
) {
    let is_kept = member.post == group.keeper;
    let post = posts.get(&*member.post);
    let text = |text: &dyn Fn(&Post) -> String| post.map_or_else(String::new, |post| text(post));
    let cosine = member.cosine.map(|cosine| format!("{cosine:.3}"));
    // Of the one to keep is said why, of the others how far they are from it.
    let [mark, distance, cosine, why] = if is_kept {
        let (none, why) = (String::new, group.keeper_reason.clone());
        ["keep".to_owned(), none(), none(), why]
    } else {
        let (none, distance) = (String::new, member.distance.to_string());
        [none(), distance, cosine.unwrap_or_default(), none()]
    };
    table.row([
        amount::count(number),
        mark,
        member.post.clone(),
        text(&|post| format!("{}×{}", post.width, post.height)),
        text(&|post| amount::bytes(post.byte_size)),
        distance,
        cosine,
        text(&path),
        why,
    ]);
}

fn as_json(group: &DuplicateGroup, posts: &HashMap<&str, &Post>) -> Value {
    let members: Vec<Value> = group
        .posts
        .iter()
        .map(|member| {
            let post = posts.get(&*member.post);
            let paths = post.iter().flat_map(|post| &post.locations);
            let paths: Vec<&str> = paths.map(|location| &*location.display_path).collect();
            json!({
                "name": member.post,
                "distance": member.distance,
                "cosine": member.cosine,
                "verified": member.verified,
                "width": post.map(|post| post.width),
                "height": post.map(|post| post.height),
                "byte_size": post.map(|post| post.byte_size),
                "paths": paths,
            })
        })
        .collect();
    json!({
        "keeper": group.keeper,
        "keeper_reason": group.keeper_reason,
        "posts": members,
    })
}

fn finish(
    flags: &Flags,
    page: &ListDuplicatesResponse,
    shown: u64,
    session: &Session,
) -> Result<(), Error> {
    let terminal = &session.terminal;
    if terminal.json() {
        return terminal.object(&json!({
            "total": page.total_size,
            "near_blank": page.near_blank_posts,
            "next_page_token": page.next_page_token,
        }));
    }
    let noun = if flags.near_blank {
        "nearly blank picture"
    } else {
        "group"
    };
    let total = amount::of(page.total_size, noun);
    terminal.say(&match shown == page.total_size {
        true => total,
        false => format!("{} of {total}", amount::count(shown)),
    });
    if !flags.near_blank && page.near_blank_posts > 0 {
        terminal.say(&format!(
            "{} set apart: their hashes say little; --near-blank lists them",
            amount::of(page.near_blank_posts, "nearly blank picture")
        ));
    }
    if page.total_size > 0 {
        terminal.hint("nothing was deleted; `kumo trash POST…` puts away what you do not want");
    }
    if !page.next_page_token.is_empty() {
        let token = &page.next_page_token;
        terminal.hint(&format!("next page: --page-token {token}; --all shows all"));
    }
    Ok(())
}
