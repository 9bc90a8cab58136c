//! `kumo roots`: the watched folders.

use proto::store::v1::{ListRootsRequest, Root, location_service_client::LocationServiceClient};
use serde_json::{Value, json};

use crate::{amount, connection::Connection, error::Error, run::Session, terminal::Table, words};

/// What `kumo roots --help` ends with.
pub(crate) const HELP: &str = "\
Examples:
  kumo roots
  kumo roots --json | jq -r 'select(.state == \"offline\") | .path'

Nothing of a root that is offline counts as missing.
JSON keys of each line: name, watcher, path, state (online, offline), notice, present, missing.";

/// All roots of the cluster.
pub(crate) async fn list(connection: &Connection) -> Result<Vec<Root>, Error> {
    let mut client = LocationServiceClient::new(connection.store());
    let answer = connection.ask(client.list_roots(ListRootsRequest {}));
    Ok(answer.await?.roots)
}

pub(crate) async fn run(session: &Session) -> Result<(), Error> {
    let roots = list(&session.connect()?).await?;
    if session.terminal.json() {
        return roots
            .iter()
            .try_for_each(|root| session.terminal.object(&as_json(root)));
    }
    if roots.is_empty() {
        session.terminal.say("no folder is watched yet");
        session.terminal.hint("watch one with `kumo up DIR`");
    }
    session.terminal.table(&table(&roots))
}

/// A root as its JSON object.
pub(crate) fn as_json(root: &Root) -> Value {
    json!({
        "name": root.name,
        "watcher": root.watcher,
        "path": root.display_path,
        "state": words::root_state(root.state()),
        "notice": root.notice,
        "present": root.present,
        "missing": root.missing,
    })
}

/// The roots as a table.
pub(crate) fn table(roots: &[Root]) -> Table {
    let mut table = Table::new([
        "root", "state", ">files", ">missing", "watcher", "folder", "notice",
    ]);
    for root in roots {
        table.row([
            root.name.clone(),
            words::root_state(root.state()).to_owned(),
            amount::count(root.present),
            amount::count(root.missing),
            root.watcher.clone(),
            root.display_path.clone(),
            root.notice.clone(),
        ]);
    }
    table
}
