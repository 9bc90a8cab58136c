//! What goes to stdout and stderr: tables for people, JSON for programs, and nothing that a name
//! could use to take over a terminal.

mod escape;
mod report;
mod table;
mod tally;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub(crate) use escape::escape;
pub(crate) use report::Report;
pub(crate) use table::Table;
pub(crate) use tally::Tally;

use crate::error::Error;

/// Both outputs of this process.
#[derive(Debug)]
pub(crate) struct Terminal {
    json: bool,
    colour: bool,
}

impl Terminal {
    /// `json`: whether a program reads the output.
    pub(crate) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            colour: io::stderr().is_terminal() && !plain,
        }
    }

    /// Whether a program reads the output.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// One JSON object on its own line of stdout.
    pub(crate) fn object(&self, object: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(object)
            .map_err(|error| Error::Output(io::Error::other(error)))?;
        self.line(&escape::json(&text))
    }

    /// One line of stdout.
    pub(crate) fn line(&self, text: &str) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .map_err(Error::Output)
    }

    /// Clears the terminal for what is shown again and again; nothing if it is none.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        if self.json || !io::stdout().is_terminal() {
            return Ok(());
        }
        // Cursor to the first cell, and clear what is below.
        self.line("\u{1b}[H\u{1b}[J")
    }

    /// A table on stdout; nothing if it has no rows.
    pub(crate) fn table(&self, table: &Table) -> Result<(), Error> {
        match table.render() {
            Some(text) => self.line(&text),
            None => Ok(()),
        }
    }

    /// Flushes stdout.
    pub(crate) fn finish(&self) -> Result<(), Error> {
        io::stdout().flush().map_err(Error::Output)
    }

    /// A line for the person at the terminal, on stderr. If nobody can read it, nothing is lost.
    pub(crate) fn say(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", escape(text));
    }

    /// What a person may do next.
    pub(crate) fn hint(&self, text: &str) {
        self.labelled("hint", "1;36", text);
    }

    /// What went wrong.
    pub(crate) fn error(&self, text: &str) {
        self.labelled("error", "1;31", text);
    }

    fn labelled(&self, label: &str, colour: &str, text: &str) {
        let text = escape(text);
        let mut err = io::stderr().lock();
        let _ = if self.colour {
            writeln!(err, "\u{1b}[{colour}m{label}:\u{1b}[0m {text}")
        } else {
            writeln!(err, "{label}: {text}")
        };
    }
}
