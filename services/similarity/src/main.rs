//! `kumo-similarity`: finds look-alikes.

fn main() -> std::process::ExitCode {
    kumo_similarity::main()
}
