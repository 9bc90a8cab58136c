//! `kumo`: the whole cluster from one command, and every question from a terminal.

fn main() -> std::process::ExitCode {
    kumo_cli::main()
}
