//! What tracking, or whatever else `TENURE` switches, costs: the worker of tenure with one value and others, in shuffled rounds.
//!
//! A round runs each mode once, so that a ratio compares neighbours in time. Printed are the median of each mode and the
//! median ratio to the base with its 95 % interval, which follows from the ratios' order alone (the binomial distribution of
//! how many lie below the median): no assumption about the noise.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::compare::{interval, median};
use crate::rng::Rng;
use crate::workloads::{WORKLOADS, Workload};

const USAGE: &str = "\
usage: cargo bench -p tenure-benches --bench modes [-- options]
  --runs N           rounds (30)
  --only A,B         only these workloads (syn-warm is one, too)
  --modes A,B        values of TENURE to compare with the base (sampled,exact); a + in one is a comma
  --base A           the value that they are compared with (off)
  --instructions     instructions instead of time: one run of each under callgrind
  --seed N           the order of the runs (1)
  --smoke            everything once, tiny: shows that it works, measures nothing";

struct Options {
    runs: usize,
    workloads: Vec<String>,
    modes: Vec<String>,
    base: String,
    instructions: bool,
    seed: u64,
    smoke: bool,
}

/// `main` of the bench target, which alone knows where the worker is.
pub fn main(worker: Option<&'static str>) -> ExitCode {
    let Some(worker) = worker else {
        eprintln!("the worker of tenure was not built");
        return ExitCode::FAILURE;
    };
    match parse(std::env::args().skip(1)).and_then(|options| compare(Path::new(worker), &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let list = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut options = Options {
        runs: 30,
        workloads: vec![],
        modes: list("sampled,exact".into()),
        base: "off".into(),
        instructions: false,
        seed: 1,
        smoke: false,
    };
    let mut from_cargo_bench = false;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text:?} is not a number"));
        match arg.as_str() {
            "--bench" => from_cargo_bench = true,
            "--smoke" => options.smoke = true,
            "--runs" => options.runs = number(value()?)? as usize,
            "--seed" => options.seed = number(value()?)?,
            "--only" => options.workloads = list(value()?),
            "--modes" => options.modes = list(value()?),
            "--base" => options.base = value()?,
            "--instructions" => options.instructions = true,
            _ if from_cargo_bench => return Err(format!("unknown argument {arg}")),
            _ => (),
        }
    }
    // `cargo test --benches` passes the arguments of a test harness, and no `--bench`.
    options.smoke |= !from_cargo_bench;
    if options.smoke || options.instructions {
        options.runs = 1;
    }
    match options.workloads.iter().find(|name| Workload::named(name).is_none()) {
        Some(name) => Err(format!("there is no {name:?} to run")),
        None => Ok(options),
    }
}

fn compare(worker: &Path, options: &Options) -> Result<(), String> {
    let all = WORKLOADS.iter().filter(|w| w.timed).map(|w| w.name).chain(["syn-warm"]);
    let chosen: Vec<&str> = match &options.workloads[..] {
        [] => all.collect(),
        names => names.iter().map(String::as_str).collect(),
    };
    let modes: Vec<String> =
        [&options.base].into_iter().chain(&options.modes).map(|mode| mode.replace('+', ",")).collect();
    let mut rng = Rng::new(options.seed);
    print!("| | {} |", options.base);
    options.modes.iter().for_each(|mode| print!(" {mode} | ratio, 95 % interval | peak memory |"));
    println!("\n| --- | --- |{}", " --- | --- | --- |".repeat(options.modes.len()));
    for name in chosen {
        let workload = Workload::named(name).ok_or(format!("there is no {name:?}"))?;
        let mut figures = vec![Vec::new(); modes.len()];
        for _ in 0..options.runs {
            let mut order: Vec<usize> = (0..modes.len()).collect();
            rng.shuffle(&mut order);
            for mode in order {
                figures[mode].push(run(worker, name, &modes[mode], options)?);
            }
        }
        let (scale, unit) = if options.instructions { (1e6, "M instructions") } else { workload.unit };
        let median_of =
            |mode: usize, i: usize| median(figures[mode].iter().map(|f: &[f64; 2]| f[i]).collect()).unwrap_or(f64::NAN);
        print!("| {name} | {:.1} {unit} |", median_of(0, 0) / scale);
        for mode in 1..modes.len() {
            let ratios = figures[mode].iter().zip(&figures[0]).map(|(a, b)| a[0] / b[0]).collect();
            let (low, middle, high) = interval(ratios);
            print!(" {:.1} {unit} | {middle:.3} ({low:.3} to {high:.3}) |", median_of(mode, 0) / scale);
            print!(" {:.2} |", median_of(mode, 1) / median_of(0, 1));
        }
        println!();
    }
    Ok(())
}

/// Nanoseconds, or instructions, and peak KiB of one run.
fn run(worker: &Path, workload: &str, mode: &str, options: &Options) -> Result<[f64; 2], String> {
    let mut command = if options.instructions {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(worker).stderr(Stdio::piped());
        valgrind
    } else {
        let mut command = Command::new(worker);
        command.stderr(Stdio::inherit());
        command
    };
    command.arg(workload).env("TENURE", mode).stdin(Stdio::null());
    if options.smoke {
        command.arg("--smoke");
    }
    let output = command.output().map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if options.instructions {
        let log = String::from_utf8_lossy(&output.stderr);
        let count = log.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
        return Ok([count.ok_or_else(|| format!("valgrind printed no count: {log}"))?, 1.0]);
    }
    let figure = |key: &str| {
        let found = text.split_whitespace().find_map(|word| word.strip_prefix(key)?.parse().ok());
        found.ok_or(format!("{workload} with TENURE={mode} ended with {} and printed {text:?}", output.status))
    };
    Ok([figure("time_ns=")?, figure("peak_kib=")?])
}
