//! `kumo completions`: lets the shell complete commands and flags.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{arguments::Arguments, error::Error};

/// Flags of `kumo completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kumo completions bash > ~/.local/share/bash-completion/completions/kumo
  kumo completions fish > ~/.config/fish/completions/kumo.fish")]
pub(crate) struct Flags {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(flags: &Flags) -> Result<(), Error> {
    // `generate` panics if it cannot write, so it writes to memory.
    let mut script = Vec::new();
    generate(flags.shell, &mut Arguments::command(), "kumo", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script).map_err(Error::Output)
}
