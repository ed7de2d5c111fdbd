//! What an HTTP service pays for its allocator and its instruments. See the package's README.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenure_benches::service::main(env!("CARGO_TARGET_TMPDIR"))
}
