//! Runs the workers, one at a time, in shuffled order.

use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Options;
use crate::allocators::Worker;
use crate::compare::{Results, Sample};
use crate::rng::Rng;
use crate::sources;
use crate::workloads::{WORKLOADS, Workload};

/// Longer than any allocator takes for any workload: this one hangs.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Found {
    pub(super) results: Results,
    pub(super) rounds: usize,
    pub(super) failures: Vec<String>,
}

pub(super) fn run(options: &Options, workers: &[Worker], folder: &Path) -> Result<Found, String> {
    let files = source_list(folder)?;
    let chosen = |workload: &&Workload| {
        options.workloads.is_empty() || options.workloads.iter().any(|name| name == workload.name)
    };
    let mut rng = Rng::new(options.seed);
    let mut found = Found { results: Results::default(), rounds: options.runs, failures: Vec::new() };
    for round in 1..=options.runs {
        let mut cells: Vec<(&Workload, &Worker)> =
            WORKLOADS.iter().filter(chosen).flat_map(|w| workers.iter().map(move |a| (w, a))).collect();
        if !stderr().is_terminal() {
            eprintln!("round {round}/{}, {} runs", options.runs, cells.len());
        }
        // A workload that leaves the machine in another state (huge pages to be zeroed, a warm core) must not
        // always be followed by the same one.
        rng.shuffle(&mut cells);
        for (i, (workload, worker)) in cells.iter().enumerate() {
            progress(&format!(
                "round {round}/{}, {}/{}: {} on {}",
                options.runs,
                i + 1,
                cells.len(),
                workload.name,
                worker.name
            ));
            match figures(options, workload, worker, &files) {
                Ok(figures) => found.results.samples.extend(figures.into_iter().map(|(metric, value)| Sample {
                    round,
                    workload: workload.name.into(),
                    allocator: worker.name.into(),
                    metric,
                    value,
                })),
                Err(error) => {
                    found.failures.push(format!("{} on {} in round {round}: {error}", workload.name, worker.name))
                }
            }
        }
    }
    progress("done\n");
    Ok(found)
}

/// One line that changes, where there is a terminal to change it in.
fn progress(text: &str) {
    if stderr().is_terminal() {
        eprint!("\r{text}\x1b[K");
    }
}

/// Chosen once, so that all workers parse the same.
fn source_list(folder: &Path) -> Result<PathBuf, String> {
    let list: String = sources::choose().iter().map(|path| format!("{}\n", path.display())).collect();
    let path = folder.join("sources.txt");
    fs::write(&path, list).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

fn figures(
    options: &Options,
    workload: &Workload,
    worker: &Worker,
    files: &Path,
) -> Result<Vec<(String, f64)>, String> {
    let mut command = Command::new(&worker.path);
    command.arg(workload.name).arg("--files").arg(files).stdin(Stdio::null()).stdout(Stdio::piped());
    if options.smoke {
        command.arg("--smoke");
    }
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break status,
            None if begun.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("stopped after {} s", PATIENCE.as_secs()));
            }
            // Rare enough to disturb no worker that uses all cores.
            None => sleep(Duration::from_millis(5)),
        }
    };
    // The one line that a worker prints fits the pipe, so reading it can wait until the worker has ended.
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if !status.success() {
        return Err(status.to_string());
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(line: &str) -> Result<Vec<(String, f64)>, String> {
    let pair = |word: &str| {
        let (metric, value) = word.split_once('=')?;
        Some((metric.to_owned(), value.parse().ok()?))
    };
    line.split_whitespace().map(|word| pair(word).ok_or(format!("a worker printed {word:?}"))).collect()
}
