//! JSON: everything that is in a snapshot, and the names of its addresses.

use crate::Symbols;
use crate::reading::untracked;
use crate::snapshot::{Frame, Names, Place, Snapshot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The version of the format. It changes when a reader of the one before would misread what is written.
pub const VERSION: u64 = 1;

const FORMAT: &str = "tenure snapshot";

#[derive(Serialize)]
struct Written<'a> {
    format: &'a str,
    version: u64,
    snapshot: &'a Snapshot,
    names: Vec<Named>,
}

#[derive(Deserialize)]
struct Read {
    snapshot: Snapshot,
    names: Vec<Named>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    format: serde_json::Value,
    #[serde(default)]
    version: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct Named {
    address: u64,
    frames: Vec<Frame>,
}

/// A snapshot and the names of all its addresses, on one line, as `docs/snapshot.schema.json` in tenure's repository
/// has it. [`from_json`] reads an equal snapshot back.
///
/// Looks up the names of all frames: see [`Names`]. Allocates, untracked, some 200 bytes for each row and each frame.
pub fn json(snapshot: &Snapshot, names: &mut dyn Names) -> String {
    untracked(|| {
        let addresses: BTreeSet<u64> = snapshot.sites().iter().flat_map(|s| &s.stack).copied().collect();
        let place = |address| Place::new(address, snapshot.modules());
        let named = |address| Named { address, frames: names.frames(&place(address)).to_vec() };
        let names_of_all = addresses.into_iter().map(named).collect();
        names.finish();
        let written = Written { format: FORMAT, version: VERSION, snapshot, names: names_of_all };
        // Every key is a text, and no number is infinite: nothing here can fail.
        serde_json::to_string(&written).unwrap_or_default()
    })
}

/// Reads what [`json`] wrote, here or elsewhere: an equal snapshot, and the names that came with it. The names serve for
/// that snapshot, and for others of the same modules at the same addresses; they look nothing up in this process.
///
/// All or nothing: what is cut off, not a snapshot, contradicts itself, or comes from a newer version is refused.
/// Unknown members are passed over.
pub fn from_json(text: &str) -> Result<(Snapshot, Symbols), ReadError> {
    let head: Head = serde_json::from_str(text).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => ReadError::new("it is no object"),
        // A number that is cut off counts as malformed.
        _ if e.is_eof() || !text.trim_end().ends_with('}') => ReadError::new(format_args!("it is cut off: {e}")),
        _ => ReadError::new(e),
    })?;
    match head.version.as_u64() {
        _ if head.format != FORMAT => return Err(ReadError::new(format_args!("its format is not \"{FORMAT}\""))),
        Some(VERSION) => (),
        Some(newer) if newer > VERSION => {
            let what = format_args!("it has version {newer}, and this build of tenure reads up to {VERSION}");
            return Err(ReadError::new(what));
        }
        _ => return Err(ReadError::new("it has no version that ever was")),
    }
    let read: Read = serde_json::from_str(text).map_err(ReadError::new)?;
    if read.names.iter().any(|n| n.frames.is_empty()) {
        return Err(ReadError::new("an address has no frame"));
    }
    let modules = read.snapshot.modules().to_vec();
    let symbols = Symbols::given(modules, read.names.into_iter().map(|n| (n.address, n.frames)));
    Ok((read.snapshot, symbols))
}

/// Why a text is no snapshot. Prints one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError(String);

impl ReadError {
    fn new(why: impl fmt::Display) -> ReadError {
        // A text that is quoted may hold anything.
        ReadError(why.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not read as a snapshot of tenure: {}", self.0)
    }
}

impl std::error::Error for ReadError {}

#[cfg(test)]
mod tests;
