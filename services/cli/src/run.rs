//! From the arguments to the exit code.

use std::{ffi::OsStr, process::ExitCode};

use clap::Parser;
use kit::{Fault, code};

use crate::{
    arguments::{Arguments, Command, Global, query_terms},
    completions,
    connection::Connection,
    contract, duplicates, edit,
    error::Error,
    memory, models, nodes, post, predict, queue, records, rejected, retry, roots, search, similar,
    status, tasks,
    terminal::{Terminal, escape},
    token, trash, up,
};

/// What a command is handed.
#[derive(Debug)]
pub(crate) struct Session {
    /// Flags of every command.
    pub(crate) global: Global,
    /// Where it writes.
    pub(crate) terminal: Terminal,
}

impl Session {
    /// The cluster that the flags name.
    pub(crate) fn connect(&self) -> Result<Connection, Error> {
        Connection::open(&self.global)
    }
}

/// Runs the command of this process's arguments. This is the whole `main` of `kumo`.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse_from(query_terms(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(error) => {
            // If stdout or stderr is closed, the exit code still tells.
            if std::env::args_os().all(|word| is_plain(&word)) {
                let _ = error.print();
            } else {
                let text = error.to_string();
                text.lines().for_each(|line| Terminal::new(false).say(line));
            }
            return ExitCode::from(if error.use_stderr() { 64 } else { 0 });
        }
    };
    let session = Session {
        terminal: Terminal::new(arguments.global.json),
        global: arguments.global,
    };
    let outcome = run(arguments.command, &session).and_then(|code| {
        session.terminal.finish()?;
        Ok(code)
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            session.terminal.error(&code::chain(&error));
            if let Some(hint) = error.hint() {
                session.terminal.hint(&hint);
            }
            ExitCode::from(error.code().exit_code())
        }
    }
}

/// Whether a terminal shows a word as it is, and does nothing else with it.
fn is_plain(word: &OsStr) -> bool {
    let word = word.to_string_lossy();
    escape(&word) == word
}

/// One thread is enough, and it must be the main one: the kernel ends the children of `kumo up`
/// with the thread that started them.
fn run(command: Command, session: &Session) -> Result<u8, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .map_err(|source| Error::System {
            action: "start",
            source,
        })?;
    let code = runtime.block_on(Box::pin(dispatch(command, session)));
    runtime.shutdown_background();
    code
}

async fn dispatch(command: Command, session: &Session) -> Result<u8, Error> {
    match command {
        Command::Up(flags) => return up::run(flags, session).await,
        Command::Status(flags) => status::run(&flags, session).await,
        Command::Search(flags) => search::run(flags, session).await,
        Command::Similar(flags) => similar::run(&flags, session).await,
        Command::Duplicates(flags) => duplicates::run(&flags, session).await,
        Command::Post(flags) => post::run(&flags, session).await,
        Command::Edit(flags) => edit::run(&flags, session).await,
        Command::Trash(flags) => trash::trash(&flags, session).await,
        Command::Restore(flags) => trash::restore(&flags, session).await,
        Command::Purge(flags) => trash::purge(&flags, session).await,
        Command::Rejected(flags) => rejected::run(flags, session).await,
        Command::Records(flags) => records::run(&flags, session).await,
        Command::Predict(flags) => predict::run(&flags, session).await,
        Command::Tasks(flags) => tasks::run(&flags, session).await,
        Command::Retry(flags) => retry::run(flags, session).await,
        Command::Memory => memory::run(session).await,
        Command::Token(flags) => token::run(&flags, session),
        Command::Roots => roots::run(session).await,
        Command::Models => models::run(session).await,
        Command::Nodes => nodes::run(session).await,
        Command::Pause(flags) => queue::pause(&flags, session).await,
        Command::Resume(flags) => queue::resume(flags, session).await,
        Command::Proto(flags) => contract::run(&flags, session),
        Command::Completions(flags) => completions::run(&flags),
    }
    .map(|()| 0)
}
