//! Real programs with a preloaded allocator: processor time, time on the wall, and peak memory.
//!
//! A round runs each program with each allocator once, all in shuffled order, each in a process of its own. The programs
//! are those of `tenure-programs`, which are also what the tests of `preload/` run. Before anything is measured, each
//! program runs once with each allocator: files are in the page cache then.

mod options;
mod print;

use crate::compare::{Results, Sample};
use crate::rng::Rng;
use crate::table::{csv, machine};
use options::Options;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use tenure_programs::preload::{PEERS, Preload};
use tenure_programs::program::{Prepared, Size};

/// A process that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(300);
/// The allocators that are compared with, those of the goal.
const RIVALS: [&str; 3] = ["mimalloc2", "mimalloc3", "jemalloc"];

/// `main` of the bench target, which alone knows where there is room for results.
pub fn main(room: &'static str) -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options, Path::new(room))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options, room: &Path) -> Result<(), String> {
    let all = allocators(options, room)?;
    let mut programs = vec![];
    for program in options.programs() {
        if let Some(why) = program.missing() {
            eprintln!("{why}");
            continue;
        }
        let size = if options.quick { Size::Quick } else { Size::Full };
        programs.push(program.prepare(size).map_err(|why| format!("{}: {why}", program.name))?);
    }
    let mut header = machine::header(&[]);
    for preload in &all {
        let libraries: Vec<_> = preload.libraries.iter().map(|path| path.display().to_string()).collect();
        header += &format!("- {}: {}{}\n", preload.name, libraries.join(":"), preload.wrapper.join(" "));
    }
    let mut results = Results::default();
    let mut rng = Rng::new(options.seed);
    for round in 0..=options.rounds {
        let mut runs: Vec<(&Prepared, &Preload)> =
            programs.iter().flat_map(|program| all.iter().map(move |preload| (program, preload))).collect();
        runs.retain(|(program, preload)| is_for(preload, program));
        rng.shuffle(&mut runs);
        eprintln!(
            "round {round} of {}: {} runs{}",
            options.rounds,
            runs.len(),
            if round == 0 { ", not counted" } else { "" }
        );
        for (program, preload) in runs {
            let samples = one(program, preload, round)?;
            if round > 0 {
                results.samples.extend(samples);
            }
        }
    }
    let path = room.join(format!("programs-{}.csv", machine::time_stamp()));
    csv::write(&path, &header, &results).map_err(|why| format!("{}: {why}", path.display()))?;
    eprintln!("every figure: {}", path.display());
    print::tables(&header, &results);
    Ok(())
}

/// heaptrack takes long, and says something only where it is compared; and glibc is what a program runs with that has no
/// allocator of its own.
fn is_for(preload: &Preload, prepared: &Prepared) -> bool {
    match preload.name.as_str() {
        "heaptrack" => ["python", "python-malloc", "redis"].contains(&prepared.program.name),
        "glibc" => prepared.program.own_allocator,
        _ => true,
    }
}

fn one(program: &Prepared, preload: &Preload, round: usize) -> Result<Vec<Sample>, String> {
    let name = format!("{} with {}", program.program.name, preload.name);
    let outcome = program.run(preload, PATIENCE).map_err(|why| format!("{name}: {why}"))?;
    if !outcome.succeeded().map_err(|why| format!("{name}: {why}"))? {
        // What it took is no figure. A peer that fails has an empty cell; ours ends the bench.
        if preload.name == "none" || preload.variables.iter().any(|(name, _)| *name == "TENURE") {
            return Err(format!("{name} fails: see {}", outcome.keep().display()));
        }
        eprintln!("{name} fails");
        return Ok(vec![]);
    }
    let usage = outcome.usage;
    let figures =
        [("time_ns", usage.processor * 1e9), ("wall_ns", usage.wall * 1e9), ("peak_kib", usage.peak_kib as f64)];
    let sample = |(metric, value): (&str, f64)| Sample {
        round,
        workload: program.program.name.into(),
        allocator: preload.name.clone(),
        metric: metric.into(),
        value,
    };
    Ok(figures.into_iter().map(sample).collect())
}

/// Everything that is compared and is there; what is not is named.
fn allocators(options: &Options, room: &Path) -> Result<Vec<Preload>, String> {
    let library = match &options.library {
        Some(path) => path.canonicalize().map_err(|why| format!("{}: {why}", path.display()))?,
        None => build(room)?,
    };
    let mut all = vec![
        Some(Preload::none()),
        Some(Preload::tenure("tenure", &library, "sampled")),
        Some(Preload::tenure("exact", &library, "exact")),
    ];
    let hardened = options.peers.iter().find(|(given, _)| given == "hardened");
    all.push(hardened.map(|(_, path)| Preload::tenure("hardened", path, "sampled")));
    for (name, file) in PEERS {
        let given = options.peers.iter().find(|(given, _)| given == name);
        let peer = match given {
            Some((_, path)) => Some(Preload { name: name.into(), libraries: vec![path.clone()], ..Preload::none() }),
            None => Preload::peer(name),
        };
        if peer.is_none() && RIVALS.contains(&name) {
            eprintln!("skipped: {name}, because there is no {file}; --peer {name}=PATH says where one is");
        }
        all.push(peer);
    }
    let heaptrack = Preload::heaptrack();
    if heaptrack.is_none() {
        eprintln!("skipped: heaptrack, because it is not installed");
    }
    all.push(heaptrack);
    let wanted = |preload: &Preload| options.allocators.is_empty() || options.allocators.contains(&preload.name);
    Ok(all.into_iter().flatten().filter(wanted).collect())
}

/// Builds the library as it is shipped.
fn build(room: &Path) -> Result<PathBuf, String> {
    // `room` is the folder `tmp` of where everything is built.
    let target = room.parent().unwrap_or(room);
    eprintln!("building libtenure_preload.so ...");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["build", "--quiet", "--profile", "preload", "-p", "tenure-preload"])
        .env("CARGO_TARGET_DIR", target)
        .status()
        .map_err(|why| format!("cargo: {why}"))?;
    match status.success() {
        true => Ok(target.join("preload/libtenure_preload.so")),
        false => Err("the library was not built; --library PATH names one that is there".into()),
    }
}
