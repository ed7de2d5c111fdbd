//! Runs real programs with a preloaded allocator, and says where they do something else than without.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tenure_programs::check::Check;
use tenure_programs::count::{self, Counter};
use tenure_programs::preload::{PEERS, Preload};
use tenure_programs::program::{Program, Size};
use tenure_programs::table;

const USAGE: &str = "\
usage: programs [options]
  --library PATH     libtenure_preload.so; runs with TENURE=sampled and TENURE=exact
  --hardened PATH    the same, built with `hardened`
  --peer NAME        an allocator of the machine instead: glibc, mimalloc2, mimalloc3, jemalloc, tcmalloc (may be given again)
  --modes A,B        what TENURE is, for each of which everything runs (sampled,exact)
  --only A,B         only these programs
  --rounds N         how often each runs with each (1)
  --jobs N           programs that run at once (2)
  --patience N       seconds after which a process counts as hung (120)
  --full             more work in each run
  --keep             leaves the directories of runs that differ
  --count            counts allocations by a counter of its own, by tenure (exact), and by valgrind, and compares
  --list             the programs";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let (mut libraries, mut preloads) = (vec![], vec![]);
    let (mut modes, mut only) = (vec!["sampled".to_string(), "exact".to_string()], vec![]);
    let (mut rounds, mut jobs, mut patience) = (1, 2, 120);
    let (mut size, mut keep, mut counts) = (Size::Quick, false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value\n{USAGE}"));
        let list = |text: String| text.split(',').map(String::from).collect::<Vec<_>>();
        let number = |text: String| text.parse().map_err(|_| format!("{text:?} is no number\n{USAGE}"));
        match argument.as_str() {
            "--library" => libraries.push(("", PathBuf::from(value()?))),
            "--hardened" => libraries.push(("hardened, ", PathBuf::from(value()?))),
            "--peer" => {
                let name = value()?;
                let known = PEERS.iter().any(|peer| peer.0 == name);
                let peer = Preload::peer(&name);
                let why = if known { "is not installed" } else { "is no allocator that is known here" };
                preloads.push(peer.ok_or(format!("{name} {why}\n{USAGE}"))?);
            }
            "--modes" => modes = list(value()?),
            "--only" => only = list(value()?),
            "--rounds" => rounds = number(value()?)?,
            "--jobs" => jobs = number(value()?)?.max(1),
            "--patience" => patience = number(value()?)?,
            "--full" => size = Size::Full,
            "--keep" => keep = true,
            "--count" => counts = true,
            "--list" => {
                table::ALL.iter().for_each(|program| println!("{}", program.name));
                return Ok(true);
            }
            _ => return Err(format!("{argument} is no option\n{USAGE}")),
        }
    }
    if let Some(mode) = modes.iter().find(|mode| !is_mode(mode)) {
        return Err(format!("{mode:?} is no mode: give --modes some of off, sampled, sampled=BYTES, exact"));
    }
    for (kind, library) in &libraries {
        // A path that is not there would be a warning of the loader, and runs without the allocator.
        let library = library.canonicalize().map_err(|why| format!("{}: {why}", library.display()))?;
        preloads.extend(modes.iter().map(|mode| Preload::tenure(&format!("{kind}{mode}"), &library, mode)));
    }
    if let Some(name) = only.iter().find(|name| table::ALL.iter().all(|program| program.name != **name)) {
        return Err(format!("there is no program {name}: see --list"));
    }
    let wanted = |program: &&Program| only.is_empty() || only.iter().any(|name| name == program.name);
    let programs: Vec<Program> = table::ALL.iter().filter(wanted).copied().collect();
    let patience = Duration::from_secs(patience as u64);
    if counts {
        let library = libraries.first().ok_or(format!("--count needs --library\n{USAGE}"))?.1.canonicalize();
        let library = library.map_err(|why| format!("{}: {why}", libraries[0].1.display()))?;
        return count(&programs, &library, size, patience).map_err(|why| why.to_string());
    }
    let check = Check { programs: &programs, preloads: &preloads, rounds, size, patience, jobs, keep };
    let began = std::time::Instant::now();
    let found = check.run(|line| println!("{line}"));
    println!(
        "{} runs in {:.0} s with {}: {} differ, {} programs skipped",
        found.runs,
        began.elapsed().as_secs_f64(),
        preloads.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join("; "),
        found.differences.len(),
        found.skipped.len()
    );
    if found.runs == 0 && found.differences.is_empty() {
        return Err("nothing was compared: give --library, --hardened or --peer, at least one round, and programs that are there".into());
    }
    Ok(found.differences.is_empty())
}

/// The allocator would warn of another word, and run as if it were not there.
fn is_mode(word: &str) -> bool {
    matches!(word, "off" | "sampled" | "exact") || word.starts_with("sampled=")
}

/// Prints a line for each program; whether tenure and the counter agree about all.
fn count(programs: &[Program], library: &Path, size: Size, patience: Duration) -> std::io::Result<bool> {
    let (counter, mut agree, mut counted_any) = (Counter::build()?, true, false);
    println!(
        "| program | processes | blocks: counter | tenure | bytes: counter | tenure | apart | as tools count: counter | valgrind | apart |"
    );
    println!("| --- |{}", " --- |".repeat(9));
    for program in programs {
        if let Some(why) = program.missing() {
            println!("{why}");
            continue;
        }
        let prepared = program.prepare(size)?;
        let counted = counter.with_tenure(&prepared, library, patience)?;
        let apart = counted.tenure.distance(counted.as_tenure);
        agree &= counted.agree();
        counted_any = true;
        let by_valgrind = if program.repeats { count::valgrind(&prepared, patience)? } else { None };
        let valgrind = by_valgrind.map_or(String::from(" | "), |total| {
            let apart = 100.0 * counted.as_tools.distance(total);
            format!("{} blocks, {} bytes | {apart:.4} %", total.blocks, total.bytes)
        });
        println!(
            "| {} | {} | {} | {} | {} | {} | {:.4} % | {} blocks, {} bytes | {valgrind} |",
            program.name,
            counted.processes,
            counted.as_tenure.blocks,
            counted.tenure.blocks,
            counted.as_tenure.bytes,
            counted.tenure.bytes,
            100.0 * apart,
            counted.as_tools.blocks,
            counted.as_tools.bytes,
        );
    }
    if !counted_any {
        return Err(std::io::Error::other("nothing was counted: none of the programs is there"));
    }
    Ok(agree)
}
