//! Searches one at a time over gRPC, as a person's browser would ask them.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use clap::Args;
use proto::store::v1::{
    GetPostRequest, SearchPostsRequest, post_service_client::PostServiceClient,
};
use serde_json::{Value, json};

use super::{link::Link, times::Times};

/// Which searches.
#[derive(Debug, Clone, Args)]
pub struct Questions {
    /// One query a line.
    #[arg(long)]
    pub queries: PathBuf,
    /// At most so many of them.
    #[arg(long, default_value_t = 10_000)]
    pub count: usize,
    /// Posts a page.
    #[arg(long, default_value_t = 100)]
    pub page_size: i32,
    /// Also read one of the posts that were found, and go on to the second page.
    #[arg(long)]
    pub mixed: bool,
}

impl Questions {
    /// Asks each in turn.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn run(&self, link: &Link) -> Result<Value> {
        let queries = fs::read_to_string(&self.queries)
            .with_context(|| format!("cannot read {}", self.queries.display()))?;
        let mut store = PostServiceClient::new(link.store());
        let (mut searches, mut posts) = (Times::default(), Times::default());
        let mut found = 0;
        for (number, query) in queries.lines().take(self.count).enumerate() {
            let mut request = SearchPostsRequest {
                query: query.to_owned(),
                page_size: self.page_size,
                ..SearchPostsRequest::default()
            };
            let begun = Instant::now();
            let page = store.search_posts(request.clone()).await?.into_inner();
            searches.since(begun);
            found += page.total_size;
            let Some(first) = page.posts.first().filter(|_| self.mixed) else {
                continue;
            };
            let name = first.name.clone();
            let begun = Instant::now();
            store.get_post(GetPostRequest { name, view: 0 }).await?;
            posts.since(begun);
            if number % 4 == 0 && !page.next_page_token.is_empty() {
                request.page_token = page.next_page_token;
                store.search_posts(request).await?;
            }
        }
        Ok(
            json!({"search": searches.summary(), "get_post": posts.summary(),
                  "times_ms": searches.milliseconds(), "found": found}),
        )
    }
}
