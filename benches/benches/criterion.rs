//! The cheap workloads under criterion, for a quick look at one change: distributions, and the difference from
//! the last run.
//!
//! This process only keeps the statistics, on the system allocator. The loops run in the worker processes, one
//! for each allocator and workload, which are told over a pipe how many iterations to do and answer with the
//! nanoseconds that they took.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use criterion::Criterion;
use tenure_benches::allocators::{Worker, workers};
use tenure_benches::built_workers;

const WORKLOADS: [&str; 5] = ["pair32", "lifo64", "mixed-1", "prodcons", "vec-small"];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let workers = workers(&built_workers!(), &[], true);
    for workload in WORKLOADS {
        let mut group = criterion.benchmark_group(workload);
        for worker in &workers {
            // Started here and not in the routine, which a name filter may skip: a worker that is told nothing
            // costs nothing.
            let mut driven = Driven::start(worker);
            group.bench_function(worker.name, |bencher| {
                bencher.iter_custom(|iterations| driven.time(workload, iterations))
            });
        }
        group.finish();
    }
    criterion.final_summary();
}

/// A worker process that does what it is told.
struct Driven {
    name: &'static str,
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Driven {
    fn start(worker: &Worker) -> Self {
        let mut process = Command::new(&worker.path)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", worker.path.display()));
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        Self { name: worker.name, process, orders, answers }
    }

    fn time(&mut self, workload: &str, iterations: u64) -> Duration {
        let mut answer = String::new();
        let orders = self.orders.as_mut().expect("taken only at the end");
        let told = writeln!(orders, "{workload} {iterations}");
        told.and_then(|()| self.answers.read_line(&mut answer))
            .unwrap_or_else(|error| panic!("{workload} on {}: {error}", self.name));
        let nanoseconds = answer.trim().parse();
        Duration::from_nanos(nanoseconds.unwrap_or_else(|_| panic!("{workload} on {}: it ended", self.name)))
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // The end of its orders ends it.
        self.orders = None;
        let _ = self.process.wait();
    }
}
