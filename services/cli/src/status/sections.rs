//! The parts of `kumo status`.

use std::time::Duration;

use proto::store::v1::Demand;
use serde_json::{Value, json};

use super::Overview;
use crate::{
    amount,
    connection::Found,
    error::Error,
    models, nodes, roots,
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
    terminal.line(&escape(&format!("similar  {}", similar(overview))))?;
    if stats.posts_trashed + stats.rejected > 0 {
        terminal.line(&format!(
            "trash    {} (`kumo search status:trash`), {} purged and rejected (`kumo rejected`)",
            amount::of(stats.posts_trashed, "post"),
            amount::count(stats.rejected),
        ))?;
    }
    let tables = [
        roots::table(&overview.roots),
        models::table(&overview.models),
        nodes::table(&overview.nodes),
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

/// How look-alike search is, in a line.
fn similar(overview: &Overview) -> String {
    let index = match &overview.index {
        Ok(index) => index,
        Err(error) => return error.to_string(),
    };
    let lag = match (index.following, index.lag) {
        (false, _) => "the store is not followed now".to_owned(),
        (true, 0) => "up to date".to_owned(),
        (true, lag) => format!("{} behind", amount::of(lag, "change")),
    };
    let model = match index.model.as_str() {
        "" => "no embedding model".to_owned(),
        model => format!("{} of {model}", amount::of(index.vectors, "vector")),
    };
    format!("{}, {model}; {lag}", amount::of(index.posts, "post"))
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
            "trashed": stats.posts_trashed,
            "rejected": stats.rejected,
            "tags": stats.tags,
            "associations": stats.associations,
            "edits": stats.edits,
            "source_records": stats.source_records,
            "done": stats.posts_done,
            "predictions": stats.predictions,
            "embeddings": stats.embeddings,
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
        typed("similarity", index(overview)),
    ];
    objects.extend(overview.demand.iter().map(|d| typed("demand", demand(d))));
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
    objects.extend(
        overview
            .nodes
            .iter()
            .map(|n| typed("node", nodes::as_json(n))),
    );
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

fn index(overview: &Overview) -> Value {
    match &overview.index {
        Err(error) => json!({ "error": error.to_string() }),
        Ok(index) => json!({
            "posts": index.posts,
            "vectors": index.vectors,
            "model": index.model,
            "revision": index.revision,
            "dimensions": index.dimensions,
            "lag": index.lag,
            "following": index.following,
            "snapshot": index.snapshot,
        }),
    }
}

fn demand(demand: &Demand) -> Value {
    json!({
        "kind": words::work(demand.kind()),
        "model": demand.model,
        "leasable": demand.leasable,
        "leased": demand.leased,
        "parked": demand.parked,
        "interactive": demand.interactive,
        "backfill_left": demand.backfill_left,
    })
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
