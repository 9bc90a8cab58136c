//! Assembly: the follower in the background, the door open at once, ready when loaded.

use std::sync::Arc;

use kit::{Context, client::Peer, server::Api};
use proto::similarity::v1::similarity_service_server::SimilarityServiceServer;
use renderer::Pool;

use crate::find::Finder;
use crate::follow::Follower;
use crate::groups::Groups;
use crate::grpc::{Door, SCOPES};
use crate::live::Live;
use crate::store::Store;
use crate::{Config, Error};

/// Largest request: a set of 100,000 posts beside a vector of 16,384 numbers, or a piece.
const LARGEST_REQUEST: usize = 2 << 20;

/// Serves until the shutdown.
///
/// # Errors
/// If the store's address is none, or serving fails.
pub async fn serve(config: Config, cx: Context) -> Result<(), Error> {
    let store = Store::new(Peer::new(&config.store, &cx.credential)?);
    let live = Arc::new(Live::new(cx.tasks.clone()));
    name_memory(&cx, &live);
    let pool = Pool::new(renderer::Config {
        program: config.renderer.clone(),
        size: usize::from(config.renderers),
        ..renderer::Config::default()
    });
    cx.tasks.spawn("renderer", probe(pool.clone(), cx.clone()));
    let follower = Follower::new(
        store.clone(),
        Arc::clone(&live),
        &cx,
        cx.health.condition("index"),
        config.snapshot_every,
    );
    cx.tasks.spawn("follow", follower.run());
    let door = Door {
        finder: Finder::new(
            Arc::clone(&live),
            store.clone(),
            cx.credential.clone(),
            pool,
            config.renderers,
        ),
        groups: Groups::new(Arc::clone(&live), store, cx.shutdown.clone()),
        live,
        snapshot_every: config.snapshot_every,
    };
    let service = SimilarityServiceServer::new(door).max_decoding_message_size(LARGEST_REQUEST);
    Ok(cx.serve(Api::new().scopes(SCOPES).add(service)).await?)
}

/// Names the parts of the memory. The figures are kept beside the index, so that asking for them
/// waits for nobody.
fn name_memory(cx: &Context, live: &Arc<Live>) {
    for (name, _) in live.standing().memory {
        let live = Arc::clone(live);
        cx.process.memory_part(name, move || {
            let standing = live.standing();
            let part = standing.memory.iter().find(|(part, _)| *part == name);
            part.map_or(0, |(_, bytes)| *bytes)
        });
    }
}

/// Finds out early whether pictures can be taken from callers. The rest can do without.
async fn probe(pool: Pool, cx: Context) {
    if let Some(Some((code, message))) = cx.shutdown.or(pool.complaint()).await {
        tracing::warn!(error.reason = code, "pictures sent by callers: {message}");
        cx.process.notice(code, message);
    }
}
