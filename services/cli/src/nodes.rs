//! `kumo nodes`: the inference nodes and watchers of the cluster.

use proto::store::v1::Node;
use serde_json::{Value, json};

use crate::{amount, error::Error, run::Session, terminal::Table, words};

/// What `kumo nodes --help` ends with.
pub(crate) const HELP: &str = "\
Examples:
  kumo nodes
  kumo nodes --json | jq -r 'select(.online) | [.name, .device_proof] | @tsv'

A node is an inference process (tagger, embedder); none runs while there is nothing to do. A node
that the store gives no work says why; `kumo resume --node NAME` lets it work again.
JSON keys of each line: name, role, online, stopped_reason, device, device_proof, models [], leased,
address, version, last_seen; for watchers also pending, scanning, scanned.";

pub(crate) async fn run(session: &Session) -> Result<(), Error> {
    let nodes = session.connect()?.nodes().await?;
    if session.terminal.json() {
        return nodes
            .iter()
            .try_for_each(|node| session.terminal.object(&as_json(node)));
    }
    if nodes.is_empty() {
        session.terminal.say("no node and no watcher is known yet");
        session.terminal.hint("`kumo up DIR` starts them");
    }
    session.terminal.table(&table(&nodes))
}

/// A node as its JSON object.
pub(crate) fn as_json(node: &Node) -> Value {
    let mut object = json!({
        "name": node.name,
        "role": node.role,
        "online": node.online,
        "stopped_reason": node.stopped_reason,
        "device": words::device(node.device_class()),
        "device_proof": node.device_proof,
        "models": node.models,
        "leased": node.leased,
        "address": node.address,
        "version": node.version,
        "last_seen": node.last_seen_time.map(|time| time.to_string()),
    });
    if let Some(progress) = &node.progress {
        object["pending"] = progress.pending.into();
        object["scanning"] = progress.scanning.into();
        object["scanned"] = progress.scanned.into();
    }
    object
}

/// The nodes as a table.
pub(crate) fn table(nodes: &[Node]) -> Table {
    let mut table = Table::new([
        "node",
        "role",
        "state",
        ">leased",
        "doing",
        "device",
        "proof",
        "address",
        "last seen",
    ]);
    for node in nodes {
        let state = match (node.online, node.stopped_reason.as_str()) {
            (false, _) => "offline".to_owned(),
            (true, "") => "online".to_owned(),
            (true, reason) => format!("stopped: {reason}"),
        };
        table.row([
            node.name.clone(),
            node.role.clone(),
            state,
            node.leased.to_string(),
            doing(node),
            words::device(node.device_class()).to_owned(),
            node.device_proof.clone(),
            node.address.clone(),
            node.last_seen_time
                .map_or_else(String::new, |time| time.to_string()),
        ]);
    }
    table
}

fn doing(node: &Node) -> String {
    match &node.progress {
        None => node.models.join(" "),
        Some(progress) if progress.scanning => format!(
            "scanning: {} seen, {} pending",
            amount::count(progress.scanned),
            amount::count(progress.pending)
        ),
        Some(progress) => format!("{} pending", amount::count(progress.pending)),
    }
}
