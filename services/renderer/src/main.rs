//! `kumo-renderer`: the confined child. Started by `renderer::Pool`, never by hand.

fn main() -> std::process::ExitCode {
    kumo_renderer::child::run()
}
