//! `kumo memory`: where the memory of every process goes.

use proto::node::v1::{GetProcessResponse, Memory};
use serde_json::{Value, json};

use crate::{
    amount,
    connection::Found,
    error::Error,
    proc::{self, Resident},
    run::Session,
    terminal::Table,
};

/// What `kumo memory --help` ends with.
pub(crate) const HELP: &str = "\
Examples:
  kumo memory
  kumo memory --json | jq '{role, anonymous_bytes}'

ANONYMOUS is heap and stacks; FILE is mapped programs and libraries, which the kernel can drop.
Parts are what a process's own parts say they hold; they do not add up to the whole. Children (the
renderers of a watcher) are listed for processes of this machine.
JSON keys of each line: role, instance, pid, address, rss_bytes, anonymous_bytes, file_bytes,
shared_bytes, peak_rss_bytes, parts [{name, bytes}], children [{pid, name, rss_bytes,
anonymous_bytes, file_bytes, peak_rss_bytes}]; or role, address, error.";

pub(crate) async fn run(session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    let nodes = connection.nodes().await?;
    let mut table = Table::new([
        "process",
        ">pid",
        ">resident",
        ">anonymous",
        ">file",
        ">peak",
    ]);
    for found in connection.processes(&nodes).await {
        let answer = match &found.answer {
            Ok(answer) => answer,
            Err(error) => {
                silent(&found, error, session)?;
                continue;
            }
        };
        let children = if connection.is_local(&found.address, answer.pid) {
            children(answer.pid)
        } else {
            Vec::new()
        };
        if session.terminal.json() {
            let object = as_json(&found.address, answer, &children);
            session.terminal.object(&object)?;
        } else {
            add_rows(&mut table, answer, &children);
        }
    }
    session.terminal.table(&table)
}

fn silent(found: &Found, error: &Error, session: &Session) -> Result<(), Error> {
    if session.terminal.json() {
        return session.terminal.object(&json!({
            "role": found.role,
            "address": found.address,
            "error": error.to_string(),
        }));
    }
    session.terminal.say(&format!("{}: {error}", found.role));
    Ok(())
}

fn children(pid: u32) -> Vec<(proc::Child, Resident)> {
    proc::children(pid)
        .into_iter()
        .filter_map(|child| {
            let resident = Resident::read(child.pid)?;
            Some((child, resident))
        })
        .collect()
}

fn as_json(
    address: &str,
    answer: &GetProcessResponse,
    children: &[(proc::Child, Resident)],
) -> Value {
    let memory = answer.memory.clone().unwrap_or_default();
    let parts: Vec<Value> = memory
        .parts
        .iter()
        .map(|part| json!({ "name": part.name, "bytes": part.bytes }))
        .collect();
    let children: Vec<Value> = children
        .iter()
        .map(|(child, resident)| {
            json!({
                "pid": child.pid,
                "name": child.name,
                "rss_bytes": resident.rss_bytes,
                "anonymous_bytes": resident.anonymous_bytes,
                "file_bytes": resident.file_bytes,
                "peak_rss_bytes": resident.peak_rss_bytes,
            })
        })
        .collect();
    json!({
        "role": answer.role,
        "instance": answer.instance,
        "pid": answer.pid,
        "address": address,
        "rss_bytes": memory.rss_bytes,
        "anonymous_bytes": memory.anonymous_bytes,
        "file_bytes": memory.file_bytes,
        "shared_bytes": memory.shared_bytes,
        "peak_rss_bytes": memory.peak_rss_bytes,
        "parts": parts,
        "children": children,
    })
}

fn add_rows(table: &mut Table, answer: &GetProcessResponse, children: &[(proc::Child, Resident)]) {
    let Memory {
        rss_bytes,
        anonymous_bytes,
        file_bytes,
        peak_rss_bytes,
        mut parts,
        ..
    } = answer.memory.clone().unwrap_or_default();
    let row = |name: String, pid: u32, figures: [u64; 4]| {
        let [rss, anonymous, file, peak] = figures.map(amount::bytes);
        [name, pid.to_string(), rss, anonymous, file, peak]
    };
    let figures = [rss_bytes, anonymous_bytes, file_bytes, peak_rss_bytes];
    let name = format!("{} {}", answer.role, answer.instance);
    table.row(row(name, answer.pid, figures));
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    for part in parts {
        let (none, bytes) = (String::new, amount::bytes(part.bytes));
        let name = format!("  · {}", part.name);
        table.row([name, none(), none(), bytes, none(), none()]);
    }
    for (child, resident) in children {
        let figures = [
            resident.rss_bytes,
            resident.anonymous_bytes,
            resident.file_bytes,
            resident.peak_rss_bytes,
        ];
        table.row(row(format!("  └ {}", child.name), child.pid, figures));
    }
}
