//! `kumo-tagger`: tags pictures.

fn main() -> std::process::ExitCode {
    kumo_tagger::main()
}
