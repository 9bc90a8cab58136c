//! The program `kumo-watcher`.

fn main() -> std::process::ExitCode {
    kit::run::main::<kumo_watcher::Config, _, _, _>("watcher", kumo_watcher::serve)
}
