//! Snapshots in the formats of other tools: each a function of a snapshot.
//!
//! | function | for | feature |
//! | --- | --- | --- |
//! | `pprof` | `go tool pprof`, and what else reads its profiles | `pprof` |
//! | [`folded()`] | flame graphs of any maker; `grep`, `sort` | |
//! | `flame_graph`, `flame_graph_diff` | a browser | `flamegraph` |
//! | `dhat` | the viewer of valgrind's DHAT | `json` |
//! | [`openmetrics()`] | Prometheus, and what else scrapes | |
//! | [`json()`], [`raw`] | programs of your own; keeping a snapshot, with its names and without | |
//! | `from_json`, `from_file` | reading those, and [dumps](crate::dump) | `json` |
//!
//! Reports and flame graphs leave out the frames of the allocator and the standard library; the other exports keep every
//! frame, but for the allocator's own in DHAT's. A stack that was cut has a last frame that says why, like
//! `(cut: depth limit)`; a site without a stack has the one frame `(unknown)` or `(overflow)`.
//!
//! `docs/exports.md` in tenure's repository shows each of them with what its consumer makes of it.

#[cfg(any(feature = "json", feature = "pprof"))]
mod allocator;
#[cfg(any(feature = "json", feature = "flamegraph"))]
mod asked;
#[cfg(feature = "json")]
mod dhat;
#[cfg(feature = "flamegraph")]
mod flame_graph;
mod folded;
mod json;
mod openmetrics;
#[cfg(feature = "pprof")]
mod pprof;
#[cfg(feature = "pprof")]
mod proto;
#[cfg(feature = "json")]
mod read;
mod rounded;
mod stacks;

pub use crate::dump::format::VERSION;
pub use crate::snapshot::Value;
#[cfg(feature = "json")]
pub use dhat::dhat;
#[cfg(feature = "http")]
pub(crate) use flame_graph::flame_stacks;
#[cfg(feature = "flamegraph")]
pub use flame_graph::{flame_graph, flame_graph_diff};
pub use folded::folded;
pub use json::{json, raw};
pub use openmetrics::{OPENMETRICS_CONTENT_TYPE, OpenMetrics, openmetrics};
#[cfg(feature = "http")]
pub(crate) use openmetrics::{openmetrics_and, printable, text};
#[cfg(feature = "pprof")]
pub use pprof::pprof;
#[cfg(feature = "http")]
pub(crate) use pprof::{Shown, pprof_with};
#[cfg(feature = "json")]
pub use read::{ReadError, from_file, from_json};
