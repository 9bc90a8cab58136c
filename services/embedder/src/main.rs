//! `kumo-embedder`: turns pictures into vectors.

fn main() -> std::process::ExitCode {
    kumo_embedder::main()
}
