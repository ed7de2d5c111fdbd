//! Instructions for one 32-byte block, allocated and freed, as callgrind counts them: the one figure that no
//! neighbour on the machine disturbs.

use std::path::Path;
use std::process::Command;

use crate::allocators::{SUBJECT, Worker};
use crate::workloads::LOOP;

/// Enough to be past what happens once.
const BEFORE: u64 = 10_000;
/// Enough for what happens at each refill, and the like, to be spread over all pairs.
const COUNTED: u64 = 200_000;

/// Prints a table. Returns the number of failures that matter: a peer that does not run under valgrind is named
/// in its row, and is no fault of ours.
pub(super) fn print(header: &str, workers: &[Worker]) -> usize {
    println!("{header}");
    println!("### Instructions for a pair of 32 bytes (callgrind), the loop around it left out\n");
    println!("| allocator | instructions |\n| --- | ---: |");
    let mut failures = 0;
    for worker in workers {
        let per_pair = |workload| per_operation(&worker.path, workload);
        match per_pair("pair32").and_then(|pair| Ok(pair - per_pair(LOOP.name)?)) {
            Ok(instructions) => println!("| {} | {instructions:.1} |", worker.name),
            Err(error) => {
                println!("| {} | does not run: {error} |", worker.name);
                failures += usize::from(worker.name == SUBJECT);
            }
        }
    }
    println!();
    failures
}

/// The difference of two runs, so that the start and the end of the process do not count.
fn per_operation(worker: &Path, workload: &str) -> Result<f64, String> {
    let few = counted(worker, workload, BEFORE)?;
    let many = counted(worker, workload, BEFORE + COUNTED)?;
    Ok((many as f64 - few as f64) / COUNTED as f64)
}

fn counted(worker: &Path, workload: &str, ops: u64) -> Result<u64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(worker)
        .args([workload, "--ops", &ops.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let last = log.lines().rfind(|line| !line.starts_with("==")).unwrap_or_default();
        return Err(format!("{} {last}", output.status).trim().to_owned());
    }
    let count = log.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.ok_or_else(|| "valgrind printed no count".into())
}
