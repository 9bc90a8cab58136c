//! The store's program; everything is in the library.

fn main() -> std::process::ExitCode {
    kit::run::main::<kumo_store::Config, _, _, _>("store", kumo_store::serve)
}
