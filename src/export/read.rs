//! Reading a snapshot's file.

use crate::Symbols;
use crate::dump::format::{FORMAT, VERSION};
use crate::generation::Generations;
use crate::generation::clock::Bands;
use crate::reading::untracked;
use crate::snapshot::{
    Code, Ending, Frame, Lifetimes, Mode, Module, Peak, Row, Said, Snapshot, Sum, Suspect, Unchecked, Untracked,
};
use crate::stats::Stats;
use serde::Deserialize;
use std::fmt;
use std::path::Path;

/// Reads what [`json()`](super::json()), [`raw`](super::raw) or a [dump](crate::dump) wrote, here or elsewhere: an equal
/// snapshot, and names for it.
///
/// If the file has names, they serve for that snapshot, and for others of the same modules; they look nothing up. If it
/// has none, they are looked up in the files of the modules that the snapshot names: [`Symbols`] says where it looks.
///
/// All or nothing: what is cut off, not a snapshot, contradicts itself, or comes from a newer version is refused.
/// Unknown members are passed over. Allocates, untracked.
pub fn from_json(text: &str) -> Result<(Snapshot, Symbols), ReadError> {
    untracked(|| read(text))
}

/// The same from a file. An error says which file it is.
pub fn from_file(path: impl AsRef<Path>) -> Result<(Snapshot, Symbols), ReadError> {
    untracked(|| {
        let path = path.as_ref();
        let of_file = |why: &dyn fmt::Display| ReadError::new(format_args!("{}: {why}", path.display()));
        let text = std::fs::read(path).map_err(|e| of_file(&e))?;
        // What is cut off may end within a character.
        read(&String::from_utf8_lossy(&text)).map_err(|e| of_file(&e))
    })
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    format: serde_json::Value,
    #[serde(default)]
    version: serde_json::Value,
}

#[derive(Deserialize)]
struct File {
    snapshot: FileSnapshot,
    names: Vec<Named>,
}

/// A place: the index of a module and an address in its file; or an address that lies in no module.
type FilePlace = (Option<u32>, u64);

#[derive(Deserialize)]
struct Named {
    place: FilePlace,
    frames: Vec<Frame>,
}

#[derive(Deserialize)]
struct FileSnapshot {
    unix_nanos: u64,
    began_unix_nanos: u64,
    pid: u32,
    mode: Mode,
    epoch_step: u64,
    generations: Bands,
    #[serde(default)]
    collections: Generations,
    #[serde(default)]
    suspects: Vec<Suspect>,
    #[serde(default)]
    suspects_left_out: u64,
    stats: Stats,
    sites: Vec<FileSite>,
    tags: Vec<FileTag>,
    rows: Vec<Row>,
    modules: Vec<Module>,
    // What follows from the rows, unless they were filtered.
    tracked: Option<Sum>,
    untracked: Option<Untracked>,
}

#[derive(Deserialize)]
struct FileSite {
    number: u32,
    stack: Vec<FilePlace>,
    ending: Ending,
    live: Option<Sum>,
    peak: Option<Peak>,
    allocated: Sum,
    freed: Sum,
    #[serde(default)]
    lifetimes: Lifetimes,
    smallest: u64,
    largest: u64,
}

#[derive(Deserialize)]
struct FileTag {
    number: u16,
    name: String,
    live: Option<Sum>,
    peak: Option<Peak>,
    allocated: Sum,
    freed: Sum,
    #[serde(default)]
    lifetimes: Lifetimes,
}

fn read(text: &str) -> Result<(Snapshot, Symbols), ReadError> {
    match text.trim_start().chars().next() {
        Some('{') => (),
        Some(_) => return Err(ReadError::not("it is no JSON object")),
        None => return Err(ReadError::not("it is empty")),
    }
    // A number that is cut off counts as malformed.
    let is_cut = |e: &serde_json::Error| e.is_eof() || !text.trim_end().ends_with('}');
    let head: Head = serde_json::from_str(text).map_err(|e| match is_cut(&e) {
        true => ReadError::not(format_args!("it is cut off: {e}")),
        false => ReadError::not(e),
    })?;
    match head.version.as_u64() {
        _ if head.format != FORMAT => return Err(ReadError::not(format_args!("its format is not \"{FORMAT}\""))),
        Some(VERSION) => (),
        Some(newer) if newer > VERSION => {
            let what = format_args!("it has version {newer}, and this build of tenure reads up to {VERSION}");
            return Err(ReadError::not(what));
        }
        _ => return Err(ReadError::not("it has no version that ever was")),
    }
    let File { snapshot, names } = serde_json::from_str(text).map_err(ReadError::not)?;
    if names.iter().any(|n| n.frames.is_empty()) {
        return Err(ReadError::not("an address has no frame"));
    }
    let modules = absolute(snapshot.modules);
    let address = |(module, at): FilePlace| match module {
        None => Ok(at),
        Some(i) => match modules.get(i as usize) {
            Some(module) => Ok(module.base.wrapping_add(at)),
            None => Err(ReadError::not(format_args!("a stack names module {i}, and there are {}", modules.len()))),
        },
    };
    let mut named = Vec::with_capacity(names.len());
    for n in names {
        named.push((address(n.place)?, n.frames));
    }
    let mut all = Unchecked::new(snapshot.stats, snapshot.epoch_step, snapshot.generations);
    (all.unix_nanos, all.began_unix_nanos) = (snapshot.unix_nanos, snapshot.began_unix_nanos);
    (all.pid, all.mode) = (snapshot.pid, snapshot.mode);
    (all.generations, all.suspects) = (snapshot.collections, snapshot.suspects);
    all.suspects_left_out = snapshot.suspects_left_out;
    for site in snapshot.sites {
        let stack = site.stack.into_iter().map(address).collect::<Result<_, _>>()?;
        let (sizes, said) = ((site.smallest, site.largest), Said { live: site.live, peak: site.peak });
        let did = (site.allocated, site.freed, site.lifetimes);
        all.site(site.number, (stack, site.ending), did, sizes, said);
    }
    for tag in snapshot.tags {
        let did = (tag.allocated, tag.freed, tag.lifetimes);
        all.tag(tag.number, tag.name, did, Said { live: tag.live, peak: tag.peak });
    }
    all.rows = snapshot.rows;
    (all.tracked, all.untracked) = (snapshot.tracked, snapshot.untracked);
    all.modules = modules.clone();
    let snapshot = all.check().map_err(ReadError::not)?;
    let symbols = if named.is_empty() { Symbols::new() } else { Symbols::given(modules, named) };
    Ok((snapshot, symbols))
}

/// Modules as a snapshot has them: code at absolute addresses.
fn absolute(mut modules: Vec<Module>) -> Vec<Module> {
    for module in &mut modules {
        let base = module.base;
        let range = |c: &Code| Code { start: c.start.wrapping_add(base), end: c.end.wrapping_add(base), ..*c };
        module.code = module.code.iter().map(range).collect();
    }
    modules
}

/// Why a text is no snapshot. Prints one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(String);

impl ReadError {
    fn not(why: impl fmt::Display) -> ReadError {
        // What is quoted may be as long as the file; where it stands is said at the end.
        const BEGIN: usize = 200;
        const END: usize = 100;
        let why: Vec<char> = why.to_string().chars().collect();
        let why: String = match why.len().checked_sub(END) {
            Some(end) if end > BEGIN => why[..BEGIN].iter().chain(&['…']).chain(&why[end..]).collect(),
            _ => why.iter().collect(),
        };
        ReadError::new(format_args!("not read as a snapshot of tenure: {why}"))
    }

    fn new(why: impl fmt::Display) -> ReadError {
        // A text that is quoted may hold anything.
        ReadError(why.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}

#[cfg(test)]
mod tests;
