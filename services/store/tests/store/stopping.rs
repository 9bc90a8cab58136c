//! What a store says to those who are reading when it stops.

use proto::store::v1::{StreamEmbeddingsRequest, WatchChangesRequest};

use crate::harness::Scene;

#[tokio::test]
async fn a_store_that_stops_does_not_say_that_it_has_told_everything() {
    let Scene {
        mut to,
        store,
        data: _data,
    } = Scene::new().await;
    for slice in 0..12 {
        to.register(slice * 500 + 1..=slice * 500 + 500).await;
    }
    let bulk = StreamEmbeddingsRequest::default();
    let bulk = to.embeddings.stream_embeddings(bulk).await;
    let mut bulk = bulk.expect("streams").into_inner();
    let all = WatchChangesRequest {
        cursor: None,
        until_now: true,
    };
    let changes = to.feed.watch_changes(all).await.expect("streams");
    let mut changes = changes.into_inner();
    let first = bulk.message().await.expect("is no error").expect("is one");
    let (mut looks, mut told) = (first.embeddings.len(), 0);
    let reading = async {
        let bulk = loop {
            match bulk.message().await {
                Ok(Some(page)) => looks += page.embeddings.len(),
                end => break end.map(drop),
            }
        };
        let changes = loop {
            match changes.message().await {
                Ok(Some(page)) => told += page.changes.len(),
                end => break end.map(drop),
            }
        };
        (bulk, changes)
    };
    let ((), (bulk, changes)) = tokio::join!(store.stop(), reading);
    assert!(bulk.is_err() || looks == 6_000, "ended well after {looks}");
    assert!(changes.is_err() || told == 6_000, "ended well after {told}");
}
