//! Allocations counted by a library of its own between the program and the allocator, and by valgrind.
//!
//! **How each counts a `realloc`.** valgrind and heaptrack: as a free and an allocation of the whole new size, wherever the block
//! comes to lie. tenure: as that if the block moves, which its caller can see, and else as no block and the bytes by which it
//! has grown. The counter knows what was asked for and what came back, so it counts both ways.
//!
//! The chain: valgrind and the counter agree about a program (so the counter is right), and the counter and tenure agree
//! about the very same process. Both count from the process' first allocation to its exit, and the few that one sees
//! before or after the other does are part of what differs.

use crate::place::Place;
use crate::preload::Preload;
use crate::program::Prepared;
use std::fs;
use std::io::{self, Error};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What was allocated, and requested for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Blocks.
    pub blocks: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What a program's processes have allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By the counter, as valgrind and heaptrack count.
    pub as_tools: Total,
    /// By the counter, as tenure counts.
    pub as_tenure: Total,
    /// By tenure, with `TENURE=exact`.
    pub tenure: Total,
    /// Processes that both have counted.
    pub processes: usize,
}

impl AddAssign for Total {
    fn add_assign(&mut self, other: Total) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}

impl Total {
    /// How far it is from another, as a part of that: the larger one of blocks and bytes.
    pub fn distance(self, other: Total) -> f64 {
        let part = |a: u64, b: u64| a.abs_diff(b) as f64 / b.max(1) as f64;
        part(self.blocks, other.blocks).max(part(self.bytes, other.bytes))
    }
}

impl Counted {
    /// Whether tenure and the counter agree within a thousandth; about few blocks, within two for each process: one of a byte, which is
    /// tenure's own first operation (`allocator::listen`), and those that a library allocates before the counter is there. Never about
    /// no process.
    pub fn agree(&self) -> bool {
        let few = |a: u64, b: u64, each: u64| a.abs_diff(b) <= each * self.processes as u64;
        let Total { blocks, bytes } = self.as_tenure;
        let near = self.tenure.distance(self.as_tenure) <= 0.001;
        self.processes > 0 && (near || few(self.tenure.blocks, blocks, 2) && few(self.tenure.bytes, bytes, 64))
    }
}

/// The counter, built.
#[derive(Debug)]
pub struct Counter(Place);

impl Counter {
    /// Compiles it. Needs gcc.
    pub fn build() -> io::Result<Counter> {
        let place = Place::new("counter")?;
        fs::write(place.join("count.c"), include_str!("../inputs/count.c"))?;
        // -fno-builtin: gcc knows what malloc and calloc do, and would make one of the other.
        let words = [
            "gcc",
            "-O2",
            "-fno-builtin",
            "-fPIC",
            "-shared",
            "-ftls-model=initial-exec",
            "-o",
            "libcount.so",
            "count.c",
            "-ldl",
        ];
        crate::table::compile(&words, place.path())?;
        Ok(Counter(place))
    }

    fn library(&self) -> PathBuf {
        self.0.join("libcount.so")
    }

    /// Runs a program with the counter before `libtenure_preload.so` at `library`. Processes that end without `exit`, or are
    /// replaced by another program, are counted by neither.
    pub fn with_tenure(&self, prepared: &Prepared, library: &Path, patience: Duration) -> io::Result<Counted> {
        // One place for all, wherever a process has its current directory.
        let room = Place::new("dumps")?;
        let dumps = room.join("%p.%n.json");
        let asked = format!("exact,dump=exit,dump_path={},dump_size=1GiB", dumps.display());
        let preload = Preload::tenure("exact", library, &asked).with_first(&self.library());
        let room_text = room.path().display().to_string();
        prepared.run_with(&preload, patience, &[("COUNT_IN", &room_text)])?.must_succeed()?;
        let mut sum = Counted::default();
        for entry in fs::read_dir(room.path())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Some(pid) = name.strip_prefix("count.") else { continue };
            let Ok(dump) = fs::read(room.join(&format!("{pid}.1.json"))) else { continue };
            let [tools, tenure] = counter_file(&fs::read_to_string(room.join(&name))?)?;
            sum.as_tools += tools;
            sum.as_tenure += tenure;
            sum.tenure += dumped(&dump)?;
            sum.processes += 1;
        }
        Ok(sum)
    }
}

/// What the counter wrote.
fn counter_file(text: &str) -> io::Result<[Total; 2]> {
    let line = |name: &str| {
        let words = text.lines().find_map(|line| line.strip_prefix(name))?;
        let mut numbers = words.split_whitespace().map(|word| word.parse().ok());
        Some(Total { blocks: numbers.next()??, bytes: numbers.next()?? })
    };
    let both = line("tools").zip(line("tenure"));
    both.map(|(a, b)| [a, b]).ok_or_else(|| Error::other(format!("the counter wrote {text:?}")))
}

/// The sum of all sites of a dump.
fn dumped(json: &[u8]) -> io::Result<Total> {
    let snapshot: serde_json::Value = serde_json::from_slice(json)?;
    let sites = snapshot["snapshot"]["sites"].as_array().ok_or_else(|| Error::other("a dump without sites"))?;
    let mut sum = Total::default();
    for site in sites {
        let amount = |key| site["allocated"][key].as_f64().unwrap_or(f64::NAN) as u64;
        sum += Total { blocks: amount("blocks"), bytes: amount("bytes") };
    }
    Ok(sum)
}

/// What valgrind's memcheck counts of a program without children, without any allocator preloaded. `None` if there is no valgrind.
/// The program sees `UNDER_VALGRIND`, to leave out what ends it there.
pub fn valgrind(prepared: &Prepared, patience: Duration) -> io::Result<Option<Total>> {
    if crate::program::which("valgrind").is_none() {
        return Ok(None);
    }
    let room = Place::new("valgrind")?;
    let log = format!("--log-file={}", room.join("%p").display());
    let wrapper = [
        "valgrind",
        "--leak-check=no",
        "--undef-value-errors=no",
        "--run-libc-freeres=no",
        "--run-cxx-freeres=no",
        &log,
    ];
    let preload = Preload { name: "valgrind".into(), wrapper: wrapper.map(String::from).to_vec(), ..Preload::none() };
    prepared.run_with(&preload, patience, &[("UNDER_VALGRIND", "1")])?.must_succeed()?;
    let mut sum = Total::default();
    for entry in fs::read_dir(room.path())? {
        let text = fs::read_to_string(entry?.path())?;
        sum += of_valgrind(&text).ok_or_else(|| Error::other(format!("valgrind wrote {text:?}")))?;
    }
    Ok(Some(sum))
}

/// From `total heap usage: 1,234 allocs, 1,000 frees, 56,789 bytes allocated`.
fn of_valgrind(text: &str) -> Option<Total> {
    let (_, usage) = text.split_once("total heap usage:")?;
    let digits = |word: &str| word.replace(',', "").parse::<u64>().ok();
    let mut numbers = usage.lines().next()?.split_whitespace().filter_map(digits);
    let (blocks, _, bytes) = (numbers.next()?, numbers.next()?, numbers.next()?);
    Some(Total { blocks, bytes })
}
