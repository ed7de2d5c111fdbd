//! What stands on the command line.

use std::path::PathBuf;
use tenure_programs::preload::PEERS;
use tenure_programs::program::Program;
use tenure_programs::table;

const USAGE: &str = "\
usage: cargo bench -p tenure-benches --bench programs [-- options]
  --rounds N         each program with each allocator once in each (7)
  --only A,B         only these programs
  --alloc A,B        only these allocators (none,tenure,exact,glibc,mimalloc2,mimalloc3,jemalloc,tcmalloc,heaptrack,hardened)
  --peer NAME=PATH   the library of one of them, where Debian's is not there or not wanted; or of hardened,
                     libtenure_preload.so built with that feature
  --library PATH     libtenure_preload.so, instead of one that is built now
  --seed N           the order (1)
  --quick            as little work as the tests do: less is said by the figures
  --smoke            everything once, with nothing and with tenure: measures nothing";

pub(super) struct Options {
    pub(super) rounds: usize,
    pub(super) only: Vec<String>,
    pub(super) allocators: Vec<String>,
    pub(super) peers: Vec<(String, PathBuf)>,
    pub(super) library: Option<PathBuf>,
    pub(super) seed: u64,
    pub(super) quick: bool,
}

impl Options {
    /// An error is a text for the user.
    pub(super) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            rounds: 7,
            only: vec![],
            allocators: vec![],
            peers: vec![],
            library: None,
            seed: 1,
            quick: false,
        };
        let (mut from_cargo_bench, mut smoke) = (false, false);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value\n{USAGE}"));
            let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is not a number\n{USAGE}"));
            let list = |text: String| text.split(',').map(String::from).collect();
            match argument.as_str() {
                "--bench" => from_cargo_bench = true,
                "--rounds" => options.rounds = number(value()?)? as usize,
                "--only" => options.only = list(value()?),
                "--alloc" => options.allocators = list(value()?),
                "--peer" => {
                    let text = value()?;
                    let (name, path) = text.split_once('=').ok_or(format!("{text:?} is not NAME=PATH\n{USAGE}"))?;
                    if name != "hardened" && PEERS.iter().all(|(known, _)| *known != name) {
                        return Err(format!("{name:?} is no peer\n{USAGE}"));
                    }
                    options.peers.push((name.into(), path.into()));
                }
                "--library" => options.library = Some(value()?.into()),
                "--seed" => options.seed = number(value()?)?,
                "--quick" => options.quick = true,
                "--smoke" => smoke = true,
                _ if from_cargo_bench => return Err(format!("unknown argument {argument}\n{USAGE}")),
                _ => (),
            }
        }
        // `cargo test --benches` passes the arguments of a test harness, and no `--bench`.
        if smoke || !from_cargo_bench {
            (options.rounds, options.quick) = (1, true);
            options.allocators = ["none", "tenure", "exact"].map(String::from).to_vec();
        }
        match options.only.iter().find(|name| table::ALL.iter().all(|program| program.name != **name)) {
            Some(name) => Err(format!("there is no program {name:?}\n{USAGE}")),
            None => Ok(options),
        }
    }

    pub(super) fn programs(&self) -> impl Iterator<Item = &'static Program> {
        table::ALL.iter().filter(|program| self.only.is_empty() || self.only.iter().any(|name| name == program.name))
    }
}
