//! Waiting until the store has so many posts, or nothing left to do, without looking so often that it
//! would disturb what is measured.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use proto::store::v1::{ResumeQueueRequest, task_service_client::TaskServiceClient};
use serde_json::{Value, json};

use super::link::Link;

/// What to wait for.
#[derive(Debug, Clone, Args)]
pub struct Drain {
    /// Until there are at least so many posts.
    #[arg(long, default_value_t = 0)]
    pub posts: u64,
    /// Until at least so many places of files are known.
    #[arg(long, default_value_t = 0)]
    pub locations: u64,
    /// Also until every task is done.
    #[arg(long)]
    pub done: bool,
    /// Start the queue first; the time counts from then.
    #[arg(long)]
    pub resume: bool,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 600)]
    pub seconds: u64,
}

impl Drain {
    /// Waits, and gives the counts with the seconds that it took.
    ///
    /// # Errors
    /// If the time is over, or the store does not answer.
    pub async fn run(&self, link: &Link) -> Result<Value> {
        if self.resume {
            let request = ResumeQueueRequest::default();
            TaskServiceClient::new(link.store())
                .resume_queue(request)
                .await?;
        }
        let begun = Instant::now();
        loop {
            let stats = match link.stats().await {
                Ok(stats) => stats,
                // It may be starting.
                Err(_) if begun.elapsed() < Duration::from_secs(self.seconds) => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let left = stats.tasks_queued + stats.tasks_leased + stats.tasks_parked;
            let here = stats.posts >= self.posts
                && stats.locations_present >= self.locations
                && (!self.done || left + stats.backfill_left == 0);
            if here {
                return Ok(
                    json!({"seconds": begun.elapsed().as_secs_f64(), "posts": stats.posts,
                           "locations": stats.locations_present, "tasks": left,
                           "failed": stats.tasks_failed + stats.ingest_failures,
                           "tags": stats.tags, "associations": stats.associations,
                           "source_records": stats.source_records,
                           "embeddings": stats.embeddings,
                           "database_bytes": stats.database_bytes}),
                );
            }
            if begun.elapsed() > Duration::from_secs(self.seconds) {
                bail!("not there after {} s: {stats:?}", self.seconds);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
