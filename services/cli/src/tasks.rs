//! `kumo tasks`: what waits, what runs, what failed and why.

use clap::Args;
use proto::store::v1::{ListTasksRequest, Task, TaskState, task_service_client::TaskServiceClient};
use serde_json::json;

use crate::{
    amount, connection::Connection, error::Error, run::Session, status::REFRESH, terminal::Table,
    words,
};

/// Flags of `kumo tasks`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo tasks --failed                 what failed and why; `kumo retry` tries again
  kumo tasks --parked                 what waits for a machine that holds the picture
  kumo tasks --leased --watch         what runs now, until Ctrl-C
  kumo tasks --failed --json | jq -r '.reason // empty' | sort | uniq -c

JSON keys of each line: name, work (tag, embed, ingest), state (queued, leased, parked, failed),
post, model, path, attempt, crashes, reason, message, node, created, changed. If there are more
than --limit, the last line is {\"next_page_token\":\"…\"}.")]
pub(crate) struct Flags {
    /// Only what was given up, files that could not become posts among it.
    #[arg(long, group = "state")]
    failed: bool,

    /// Only what waits for a node.
    #[arg(long, group = "state")]
    queued: bool,

    /// Only what a node holds.
    #[arg(long, group = "state")]
    leased: bool,

    /// Only what waits for a machine that holds the picture.
    #[arg(long, group = "state")]
    parked: bool,

    /// Tasks to show.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Show the page after the one that gave this token.
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    page_token: Option<String>,

    /// Show it again every two seconds.
    #[arg(long, conflicts_with = "page_token")]
    watch: bool,
}

impl Flags {
    fn state(&self) -> TaskState {
        let flags = [
            (self.failed, TaskState::Failed),
            (self.queued, TaskState::Queued),
            (self.leased, TaskState::Leased),
            (self.parked, TaskState::Parked),
        ];
        let chosen = flags.into_iter().find(|(given, _)| *given);
        chosen.map_or(TaskState::Unspecified, |(_, state)| state)
    }
}

pub(crate) async fn run(flags: &Flags, session: &Session) -> Result<(), Error> {
    let connection = session.connect()?;
    if !flags.watch {
        return list(flags, &connection, session).await;
    }
    loop {
        session.terminal.clear()?;
        list(flags, &connection, session).await?;
        session.terminal.finish()?;
        tokio::time::sleep(REFRESH).await;
    }
}

async fn list(flags: &Flags, connection: &Connection, session: &Session) -> Result<(), Error> {
    let mut page_token = flags.page_token.clone().unwrap_or_default();
    let mut left = flags.limit;
    let mut table = Table::new([
        "task", "work", "state", ">tries", "reason", "about", "message",
    ]);
    let mut shown = 0;
    while left > 0 {
        let page_size = left.min(1000);
        let (tasks, next) = page(connection, flags.state(), page_size, page_token).await?;
        page_token = next;
        for task in &tasks {
            if session.terminal.json() {
                session.terminal.object(&as_json(task))?;
            } else {
                add_row(&mut table, task);
            }
        }
        let length = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        shown += length;
        left = left.saturating_sub(length);
        if page_token.is_empty() || tasks.is_empty() {
            break;
        }
    }
    if session.terminal.json() {
        if !page_token.is_empty() {
            let next = json!({ "next_page_token": page_token });
            session.terminal.object(&next)?;
        }
        return Ok(());
    }
    session.terminal.table(&table)?;
    finish(flags, shown, &page_token, session);
    Ok(())
}

fn finish(flags: &Flags, shown: u32, page_token: &str, session: &Session) {
    let terminal = &session.terminal;
    let state = words::task_state(flags.state());
    let separator = if state.is_empty() { "" } else { " " };
    if shown == 0 {
        terminal.say(&format!("no {state}{separator}tasks"));
    }
    if flags.failed && shown > 0 {
        terminal.hint("try again with `kumo retry --all-failed`, or `kumo retry NAME…`");
    }
    if !page_token.is_empty() {
        terminal.hint(&format!("there are more: --page-token {page_token}"));
    }
}

async fn page(
    connection: &Connection,
    state: TaskState,
    page_size: u32,
    page_token: String,
) -> Result<(Vec<Task>, String), Error> {
    let request = ListTasksRequest {
        state: state.into(),
        page_size: i32::try_from(page_size).unwrap_or(1000),
        page_token,
    };
    let mut client = TaskServiceClient::new(connection.store());
    let answer = connection.ask(client.list_tasks(request)).await?;
    Ok((answer.tasks, answer.next_page_token))
}

fn add_row(table: &mut Table, task: &Task) {
    let about = if task.display_path.is_empty() {
        &task.post
    } else {
        &task.display_path
    };
    let crashes = match task.crashes {
        0 => String::new(),
        crashes => format!(", {}", amount::of(u64::from(crashes), "death")),
    };
    table.row([
        task.name.clone(),
        words::work(task.kind()).to_owned(),
        words::task_state(task.state()).to_owned(),
        format!("{}{crashes}", task.attempt),
        task.reason.clone(),
        about.clone(),
        task.message.clone(),
    ]);
}

fn as_json(task: &Task) -> serde_json::Value {
    json!({
        "name": task.name,
        "work": words::work(task.kind()),
        "state": words::task_state(task.state()),
        "post": task.post,
        "model": task.model,
        "path": task.display_path,
        "attempt": task.attempt,
        "crashes": task.crashes,
        "reason": task.reason,
        "message": task.message,
        "node": task.node,
        "created": task.create_time.map(|time| time.to_string()),
        "changed": task.update_time.map(|time| time.to_string()),
    })
}
