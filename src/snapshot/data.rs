//! What a snapshot consists of, as plain structs.

use super::{Lifetimes, Sum};
use crate::track;

/// How a stack ended. Part of its identity: the same frames with another ending are another site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Ending {
    /// With the outermost function of the thread.
    Complete,
    /// At the depth limit: there are more frames.
    Depth,
    /// There are no unwind rules for the last frame's code.
    NoRules,
    /// There are rules, but of a kind that is not followed.
    Complex,
    /// The stack goes on where it could not be read safely.
    Foreign,
}

impl Ending {
    /// What stands in reports and exports in place of the frames that are missing; `None` if none is.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Ending::Complete => None,
            Ending::Depth => Some("(cut: depth limit)"),
            Ending::NoRules => Some("(cut: no unwind rules)"),
            Ending::Complex => Some("(cut: unwind rule not followed)"),
            Ending::Foreign => Some("(cut: stack not readable)"),
        }
    }
}

impl From<track::Ending> for Ending {
    fn from(ending: track::Ending) -> Ending {
        match ending {
            track::Ending::Complete => Ending::Complete,
            track::Ending::Depth => Ending::Depth,
            track::Ending::NoRules => Ending::NoRules,
            track::Ending::Complex => Ending::Complex,
            track::Ending::Foreign => Ending::Foreign,
        }
    }
}

/// A call stack that allocates.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Site {
    /// The same for the same stack as long as the process lives. See [`Site::UNKNOWN`] and [`Site::OVERFLOW`].
    pub number: u32,
    /// Where each frame stands, the leaf first: an address within the call, not the one that it returns to.
    pub stack: Vec<u64>,
    /// How the stack ended.
    pub ending: Ending,
    /// What lives: the sum of the site's [rows](super::Snapshot::rows_of).
    pub live: Sum,
    /// What was allocated since the start.
    pub allocated: Sum,
    /// What was freed since the start.
    pub freed: Sum,
    /// How old blocks became that were freed.
    pub lifetimes: Lifetimes,
    /// The smallest size requested since the start, in bytes; of sampled blocks, only those that were samples. 0 if
    /// none was.
    pub smallest: u64,
    /// The largest size requested, likewise.
    pub largest: u64,
    /// The largest that the live bytes and blocks were at this or any earlier snapshot of the process; not in between.
    /// Remembered for the 2,048 largest sites of each snapshot, and for 12,288 in all: of others it is what lives now.
    pub peak: Peak,
}

impl Site {
    /// The site of blocks whose stack was not captured: allocated while one was, by a signal handler for example.
    pub const UNKNOWN: u32 = 0;
    /// The site of blocks whose stack found no more room in the table of sites.
    pub const OVERFLOW: u32 = 1;

    /// What stands in reports and exports in place of a stack that is not there.
    pub(crate) fn without_stack(&self) -> &'static str {
        match self.number {
            Site::OVERFLOW => "(overflow)",
            _ => "(unknown)",
        }
    }
}

/// The largest that something was at a snapshot; each figure for itself, estimated as [`Sum`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Peak {
    /// Live blocks.
    pub blocks: f64,
    /// Live bytes, as requested.
    pub bytes: f64,
}

/// A label that the program put on a scope.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Tag {
    /// The same for the same tag as long as the process lives. See [`Tag::NONE`] and [`Tag::OTHER`].
    pub number: u16,
    /// What the program called it. Empty for blocks without a tag.
    pub name: String,
    /// What lives: the sum of the tag's rows.
    pub live: Sum,
    /// What was allocated since the start.
    pub allocated: Sum,
    /// What was freed since the start.
    pub freed: Sum,
    /// How old blocks became that were freed.
    pub lifetimes: Lifetimes,
    /// The largest that the live bytes and blocks were at this or any earlier snapshot of the process; not in between.
    pub peak: Peak,
}

impl Tag {
    /// No tag.
    pub const NONE: u16 = 0;
    /// Tags beyond the bound on their number.
    pub const OTHER: u16 = 1;
}

/// Live tracked blocks that have everything here in common.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Row {
    /// A [`Site::number`].
    pub site: u32,
    /// A [`Tag::number`].
    pub tag: u16,
    /// Bytes of each block: the size class', or a large block's own.
    pub block_size: u64,
    /// The epoch of their birth; the first of as many as [`Snapshot::epoch_step`](super::Snapshot::epoch_step) says, or of
    /// those in which their generation was born.
    pub epoch: u64,
    /// The blocks.
    pub live: Sum,
}

impl Row {
    pub(crate) fn key(&self) -> (u32, u16, u64, u64) {
        (self.site, self.tag, self.block_size, self.epoch)
    }
}

/// The program or a library: what is needed to look addresses up elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Module {
    /// The file. For the program, what `/proc/self/exe` said: it may end in ` (deleted)`.
    pub path: String,
    /// The linker's build id in hexadecimal; empty if there is none.
    pub build_id: String,
    /// An address less this is the address in the file, as `addr2line` takes it.
    pub base: u64,
    /// Where its code lies in memory.
    pub code: Vec<Code>,
}

/// A range of memory that holds code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Code {
    /// The first address.
    pub start: u64,
    /// The address after the last.
    pub end: u64,
    /// Where `start` stands in the file.
    pub file_offset: u64,
}

impl Module {
    /// Whether the module's code lies at an address.
    pub fn contains(&self, address: u64) -> bool {
        self.code.iter().any(|c| c.start <= address && address < c.end)
    }

    /// The last part of the path.
    pub fn file_name(&self) -> &str {
        let path = self.path.strip_suffix(DELETED).unwrap_or(&self.path);
        path.rsplit('/').next().unwrap_or(path)
    }
}

/// What the system adds to the name of a program whose file is gone.
pub(crate) const DELETED: &str = " (deleted)";
