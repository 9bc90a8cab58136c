//! Figures about the store.

use proto::store::v1::{GetStatsRequest, GetStatsResponse, admin_service_server::AdminService};
use store_core::{Stats, feed::Cursor, task::TaskCounts};
use tonic::{Request, Response, Status};

use super::{Door, refuse};

#[tonic::async_trait]
impl AdminService for Door {
    async fn get_stats(
        &self,
        _: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        let read = self
            .engine
            .read(|store, _| Ok((store.stats()?, store.cursor())));
        let (stats, cursor) = read.await.map_err(refuse)?;
        Ok(Response::new(response(&stats, cursor)))
    }
}

fn response(stats: &Stats, cursor: Cursor) -> GetStatsResponse {
    let sum =
        |count: fn(&TaskCounts) -> u64| stats.tasks.iter().map(|(_, tasks)| count(tasks)).sum();
    GetStatsResponse {
        posts: stats.posts,
        posts_trashed: stats.posts_trashed,
        edits: stats.edits,
        source_records: stats.source_records,
        rejected: stats.rejected,
        tags: stats.tags,
        associations: stats.associations,
        locations_present: stats.locations_present,
        locations_missing: stats.locations_missing,
        tasks_queued: sum(|tasks| tasks.queued),
        tasks_leased: sum(|tasks| tasks.leased),
        tasks_parked: sum(|tasks| tasks.parked),
        tasks_failed: sum(|tasks| tasks.failed),
        ingest_failures: stats.ingest_failures,
        predictions: stats.predictions,
        database_bytes: stats.database_bytes,
        wal_bytes: stats.wal_bytes,
        epoch: cursor.epoch,
        seq: cursor.seq,
        backfill_left: stats.backfill_left,
        posts_done: stats.posts_done,
        embeddings: stats.embeddings,
    }
}
