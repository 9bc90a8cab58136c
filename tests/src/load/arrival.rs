//! How long it takes from a file's close, or its rename into place, until a search finds it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use proto::store::v1::{
    Cursor, SearchPostsRequest, WatchChangesRequest, WatchChangesResponse,
    feed_service_client::FeedServiceClient, post_service_client::PostServiceClient,
};
use serde_json::{Value, json};
use tonic::Streaming;

use super::{link::Link, times::Times};

/// Which files, and where to.
#[derive(Debug, Clone, Args)]
pub struct Arrival {
    /// The watched folder.
    #[arg(long)]
    pub library: PathBuf,
    /// Files that the library does not have yet; they are copied.
    pub files: Vec<PathBuf>,
}

impl Arrival {
    /// Brings one file after the other.
    ///
    /// # Errors
    /// If a file does not become a post within half a minute.
    pub async fn run(&self, link: &Link) -> Result<Value> {
        let stats = link.stats().await?;
        let cursor = Cursor {
            epoch: stats.epoch,
            seq: stats.seq,
        };
        let request = WatchChangesRequest {
            cursor: Some(cursor),
            until_now: false,
        };
        let mut feed = FeedServiceClient::new(link.store())
            .watch_changes(request)
            .await?
            .into_inner();
        let mut store = PostServiceClient::new(link.store());
        let mut posts = stats.posts;
        let (mut closed, mut renamed) = (Times::default(), Times::default());
        let (mut told, mut decodes) = (Times::default(), Times::default());
        for (number, file) in self.files.iter().enumerate() {
            let bytes = fs::read(file)?;
            let decode = decode_time(&bytes)?;
            // So that nothing of the one before is still under way.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let rename = number % 2 == 0;
            self.bring(file, &bytes, rename)?;
            let begun = Instant::now();
            tokio::time::timeout(Duration::from_secs(30), change(&mut feed))
                .await
                .with_context(|| format!("{} did not arrive", file.display()))??;
            told.add(begun.elapsed().saturating_sub(decode));
            let request = SearchPostsRequest {
                page_size: 1,
                ..SearchPostsRequest::default()
            };
            let found = store.search_posts(request).await?.into_inner().total_size;
            let whole = begun.elapsed().saturating_sub(decode);
            posts += 1;
            ensure!(found == posts, "{found} posts are found, not {posts}");
            if rename {
                renamed.add(whole);
            } else {
                closed.add(whole);
            }
            decodes.add(decode);
        }
        let mut both = closed.clone();
        both.extend(&renamed);
        Ok(
            json!({"searchable": both.summary(), "closed": closed.summary(),
                  "renamed": renamed.summary(), "in_feed": told.summary(),
                  "decode": decodes.summary(), "times_ms": both.milliseconds()}),
        )
    }

    fn bring(&self, file: &Path, bytes: &[u8], rename: bool) -> Result<()> {
        let name = file.file_name().context("a file has a name")?;
        let place = self.library.join(name);
        if rename {
            let draft = place.with_extension("part");
            fs::write(&draft, bytes)?;
            fs::rename(draft, place)?;
        } else {
            fs::write(place, bytes)?;
        }
        Ok(())
    }
}

/// The next message that tells of a change.
async fn change(feed: &mut Streaming<WatchChangesResponse>) -> Result<()> {
    loop {
        let message = feed.message().await?.context("the feed ended")?;
        if !message.changes.is_empty() {
            return Ok(());
        }
    }
}

/// How long the picture takes to decode on one thread: the shortest of three times.
fn decode_time(bytes: &[u8]) -> Result<Duration> {
    let mut times = [Duration::MAX; 3];
    for time in &mut times {
        let begun = Instant::now();
        turbojpeg::decompress(bytes, turbojpeg::PixelFormat::RGB)?;
        *time = begun.elapsed();
    }
    Ok(times.into_iter().min().unwrap_or_default())
}
