//! Snapshots in the formats of other tools: each a function of a snapshot.
//!
//! Reports leave out the frames of the allocator and the standard library; exports keep every frame. A stack that was
//! cut has a last frame that says why, like `(cut: depth limit)`; a site without a stack has the one frame `(unknown)`
//! or `(overflow)`.

#[cfg(feature = "pprof")]
mod pprof;
#[cfg(feature = "pprof")]
mod proto;
#[cfg(feature = "json")]
mod read;

pub use crate::dump::format::VERSION;
pub use crate::dump::text::{json, raw};
#[cfg(feature = "pprof")]
pub use pprof::pprof;
#[cfg(feature = "json")]
pub use read::{ReadError, from_file, from_json};
