//! The store as a service: one thread that owns the truth, and the gRPC door to it.
//!
//! What is true, and how it is kept, is in `core`, which knows nothing of networks. Here are the
//! thread that owns it ([`engine`]), the translation of messages ([`grpc`]), flags and failures.

mod clock;
mod config;
mod engine;
mod error;
mod grpc;

use std::time::Duration;

use kit::Context;

pub use clock::Clock;
pub use config::Config;
pub use error::Error;

use engine::Engine;

/// How long the thread may take to write the log back into the database when the process ends.
const CLOSING: Duration = Duration::from_secs(15);

/// Opens the store and serves it until the shutdown has begun and what was in progress is done.
///
/// The door is open while the database is still being read: health says what is waited for, and
/// calls wait with it.
///
/// # Errors
/// If the database cannot be opened, or cannot be trusted any more: then the process must end and
/// be started anew.
pub async fn serve(config: Config, cx: Context) -> Result<(), Error> {
    cx.make_first_admin()?;
    let database = cx.health.condition("database");
    database.waiting("opening");
    let (engine, mut thread) = Engine::spawn(&config, &cx, database)?;
    let api = grpc::api(&engine, &cx);
    let serving = cx.serve(api);
    tokio::pin!(serving);
    let died = tokio::select! {
        served = &mut serving => {
            served?;
            None
        }
        ended = &mut thread => Some(ended),
    };
    match died {
        Some(ended) => {
            // Whoever waits is told before the process goes.
            cx.shutdown.begin();
            serving.await?;
            ended
        }
        None => {
            engine.close();
            match tokio::time::timeout(CLOSING, thread).await {
                Ok(ended) => ended,
                Err(_) => {
                    tracing::warn!(
                        "closing the database takes longer than {CLOSING:?}; leaving, nothing is lost"
                    );
                    Ok(())
                }
            }
        }
    }
}
