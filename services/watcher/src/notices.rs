//! What a person should know of this watcher: roots that are away or polled, a renderer that is not
//! there, protections that this kernel lacks.

use std::time::Duration;

use kit::{Condition, Context};
use renderer::Pool;

use crate::{board::Board, roots::Root};

/// How long to wait before looking for the renderer again.
const PAUSE: Duration = Duration::from_secs(5);

/// Keeps the notices about roots as they are, until the shutdown begins.
pub(crate) async fn roots(cx: Context, board: Board) {
    let mut shown = board.watch_roots();
    loop {
        let roots = shown.borrow_and_update().clone();
        let offline = |root: &&Root| !root.is_online();
        tell(&cx, "ROOT_OFFLINE", roots.iter().filter(offline));
        let polled = |root: &&Root| root.is_online() && root.polled.is_some();
        tell(&cx, "ROOT_POLLED", roots.iter().filter(polled));
        match cx.shutdown.or(shown.changed()).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => return,
        }
    }
}

fn tell<'r>(cx: &Context, code: &'static str, roots: impl Iterator<Item = &'r Root>) {
    let lines: Vec<String> = roots
        .map(|root| format!("{}: {}", root.path.display(), root.notice()))
        .collect();
    if lines.is_empty() {
        cx.process.clear_notice(code);
    } else {
        cx.process.notice(code, lines.join("; "));
    }
}

/// Looks whether pictures can be rendered, until they can, and says what holds the renderer less
/// than it might.
pub(crate) async fn renderer(cx: Context, pool: Pool, condition: Condition) {
    loop {
        match cx.shutdown.or(pool.probe()).await {
            None => return,
            Some(Ok(confinement)) => {
                condition.ready();
                if let Some(missing) = confinement.missing() {
                    cx.process.notice("LANDLOCK_MISSING", missing);
                }
                return;
            }
            Some(Err(error)) => {
                if condition.waiting(error.to_string()) {
                    tracing::error!("{error}");
                }
            }
        }
        if cx.shutdown.or(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}
