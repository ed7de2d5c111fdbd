//! The command line of the table.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::allocators;
use crate::workloads::Workload;

pub(super) const USAGE: &str = "\
usage: cargo bench -p tenure-benches --bench table [--features c-peers] -- [options]
  --runs N           rounds, each of which runs everything once (7)
  --only A,B         only these workloads
  --alloc A,B        only these allocators
  --seed N           the order of the runs (from the clock)
  --smoke            everything once, tiny, without the C peers: shows that it works, measures nothing
  --instructions     count the instructions of a 32-byte pair with valgrind instead
  --from FILE.csv    run nothing, print the tables of earlier figures";

/// What to run.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// Rounds; each runs everything once.
    pub runs: usize,
    /// Names of workloads; all if empty.
    pub workloads: Vec<String>,
    /// Names of allocators; all that were built if empty.
    pub allocators: Vec<String>,
    /// Decides the order of the runs.
    pub seed: u64,
    /// Whether to run tiny sizes.
    pub smoke: bool,
    /// Whether to count instructions instead of time.
    pub instructions: bool,
    /// Earlier figures to print instead.
    pub from: Option<PathBuf>,
}

impl Options {
    /// Reads what follows the program's name. Nothing is to be done at all if a test runner only asks for a list.
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_secs());
        let mut options = Self {
            runs: 7,
            workloads: vec![],
            allocators: vec![],
            seed: clock,
            smoke: false,
            instructions: false,
            from: None,
        };
        let mut from_cargo_bench = false;
        let mut unknown = Vec::new();
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--bench" => from_cargo_bench = true,
                "--list" => return Ok(None),
                "--smoke" => options.smoke = true,
                "--instructions" => options.instructions = true,
                "--runs" => options.runs = number(&arg, &value()?)?.max(1) as usize,
                "--seed" => options.seed = number(&arg, &value()?)?,
                "--only" => options.workloads = names(&value()?, |name| Workload::named(name).is_some())?,
                "--alloc" => options.allocators = names(&value()?, |name| allocators::named(name).is_some())?,
                "--from" => options.from = Some(value()?.into()),
                _ => unknown.push(arg),
            }
        }
        // `cargo test --benches` passes the arguments of a test harness, and no `--bench`.
        if !from_cargo_bench {
            options.smoke = options.from.is_none();
        } else if let Some(arg) = unknown.first() {
            return Err(format!("unknown argument {arg}"));
        }
        if options.smoke {
            options.runs = 1;
        }
        Ok(Some(options))
    }
}

fn number(arg: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{arg} needs a number, not {text:?}"))
}

fn names(list: &str, known: impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
    let names: Vec<String> = list.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !known(name)) {
        Some(name) => Err(format!("there is no {name:?} to run")),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn filters_and_rounds() {
        let options = parse("--runs 3 --only pair32,json --alloc tenure --seed 5 --bench");
        let options = options.expect("all known").expect("something to do");
        assert_eq!((options.runs, options.seed, options.smoke), (3, 5, false));
        assert_eq!(options.workloads, ["pair32", "json"]);
        assert_eq!(options.allocators, ["tenure"]);
    }

    #[test]
    fn cargo_test_gets_a_smoke_run() {
        let options = parse("--nocapture some_filter").expect("foreign arguments pass").expect("something to do");
        assert!(options.smoke);
        assert_eq!(parse("--list --format terse"), Ok(None));
    }

    #[test]
    fn misspelt_names_are_errors() {
        assert!(parse("--bench --only pair33").is_err());
        assert!(parse("--bench --alloc mimalloc").is_err());
        assert!(parse("--bench --run 3").is_err());
    }
}
