//! All workloads on all allocators: see the package's README.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenure_benches::table::main(&tenure_benches::built_workers!())
}
