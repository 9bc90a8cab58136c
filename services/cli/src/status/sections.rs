//! The parts of `kumo status`.

use std::time::Duration;

use proto::store::v1::Node;
use serde_json::{Value, json};

use super::Overview;
use crate::{
    amount,
    connection::Found,
    error::Error,
    models, roots,
    run::Session,
    terminal::{Table, escape},
    words,
};

/// Writes all parts as tables.
pub(super) fn print(overview: &Overview, session: &Session) -> Result<(), Error> {
    let terminal = &session.terminal;
    let stats = &overview.stats;
    terminal.line(&escape(&format!(
        "library  {}, {}, {} done; {} on disk  ({})",
        amount::of(stats.posts, "post"),
        amount::of(stats.tags, "tag"),
        amount::count(stats.posts_done),
        amount::bytes(stats.database_bytes + stats.wal_bytes),
        overview.address,
    )))?;
    terminal.line(&format!(
        "queue    {} queued, {} leased, {} parked, {} failed; {} left to reach",
        amount::count(stats.tasks_queued),
        amount::count(stats.tasks_leased),
        amount::count(stats.tasks_parked),
        amount::count(stats.tasks_failed),
        amount::of(stats.backfill_left, "post"),
    ))?;
    terminal.line(&format!(
        "files    {} present, {} missing, {} that could not become posts",
        amount::count(stats.locations_present),
        amount::count(stats.locations_missing),
        amount::count(stats.ingest_failures),
    ))?;
    let tables = [
        roots::table(&overview.roots),
        models::table(&overview.models),
        nodes(&overview.nodes),
        processes(&overview.processes),
    ];
    for table in tables.iter().filter(|table| !table.is_empty()) {
        terminal.line("")?;
        terminal.table(table)?;
    }
    for found in &overview.processes {
        for notice in found.answer.iter().flat_map(|answer| &answer.notices) {
            terminal.line(&escape(&format!(
                "note: {}: {} ({})",
                found.role, notice.message, notice.code
            )))?;
        }
    }
    Ok(())
}

fn nodes(nodes: &[Node]) -> Table {
    let mut table = Table::new(["node", "state", ">leased", "device", "proof", "doing"]);
    for node in nodes {
        let state = match (node.online, node.stopped_reason.as_str()) {
            (false, _) => "offline".to_owned(),
            (true, "") => "online".to_owned(),
            (true, reason) => format!("stopped: {reason}"),
        };
        table.row([
            node.name.clone(),
            state,
            node.leased.to_string(),
            words::device(node.device_class()).to_owned(),
            node.device_proof.clone(),
            doing(node),
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

fn processes(processes: &[Found]) -> Table {
    let mut table = Table::new(["process", ">up", "version", "address", "state"]);
    for found in processes {
        let [name, up, version, state] = match &found.answer {
            Ok(answer) => [
                format!("{} {}", answer.role, answer.instance),
                amount::duration(uptime(answer.uptime)),
                answer.version.clone(),
                words::readiness(answer),
            ],
            Err(error) => [
                found.role.clone(),
                String::new(),
                String::new(),
                error.to_string(),
            ],
        };
        table.row([name, up, version, found.address.clone(), state]);
    }
    table
}

fn uptime(duration: Option<prost_types::Duration>) -> Duration {
    duration
        .and_then(|duration| duration.try_into().ok())
        .unwrap_or_default()
}

/// All parts as JSON objects.
pub(super) fn objects(overview: &Overview, advice: &[String]) -> Vec<Value> {
    let stats = &overview.stats;
    let mut objects = vec![
        json!({
            "type": "library",
            "posts": stats.posts,
            "tags": stats.tags,
            "associations": stats.associations,
            "done": stats.posts_done,
            "predictions": stats.predictions,
            "locations_present": stats.locations_present,
            "locations_missing": stats.locations_missing,
            "database_bytes": stats.database_bytes,
            "wal_bytes": stats.wal_bytes,
        }),
        json!({
            "type": "queue",
            "queued": stats.tasks_queued,
            "leased": stats.tasks_leased,
            "parked": stats.tasks_parked,
            "failed": stats.tasks_failed,
            "ingest_failures": stats.ingest_failures,
            "backfill_left": stats.backfill_left,
        }),
    ];
    objects.extend(
        overview
            .roots
            .iter()
            .map(|r| typed("root", roots::as_json(r))),
    );
    objects.extend(
        overview
            .models
            .iter()
            .map(|m| typed("model", models::as_json(m))),
    );
    objects.extend(overview.nodes.iter().map(|n| typed("node", node(n))));
    objects.extend(
        overview
            .processes
            .iter()
            .map(|p| typed("process", process(p))),
    );
    objects.extend(
        advice
            .iter()
            .map(|text| json!({"type": "advice", "text": text})),
    );
    objects
}

fn typed(kind: &str, mut object: Value) -> Value {
    object["type"] = kind.into();
    object
}

fn node(node: &Node) -> Value {
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

fn process(found: &Found) -> Value {
    match &found.answer {
        Err(error) => json!({
            "role": found.role,
            "address": found.address,
            "error": error.to_string(),
        }),
        Ok(answer) => {
            let notices: Vec<Value> = answer
                .notices
                .iter()
                .map(|notice| json!({"code": notice.code, "message": notice.message}))
                .collect();
            json!({
                "role": answer.role,
                "instance": answer.instance,
                "address": found.address,
                "pid": answer.pid,
                "version": answer.version,
                "uptime_seconds": uptime(answer.uptime).as_secs_f64(),
                "ready": answer.ready,
                "waiting_for": answer.not_ready_reasons,
                "notices": notices,
            })
        }
    }
}
