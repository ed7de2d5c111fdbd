//! What real programs cost under a preloaded allocator. See the package's README.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenure_benches::programs::main(env!("CARGO_TARGET_TMPDIR"))
}
