//! What tracking costs: tenure against itself, in pairs of runs. See the package's README.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenure_benches::modes::main(option_env!("CARGO_BIN_EXE_worker_tenure"))
}
