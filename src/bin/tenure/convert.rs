//! From a snapshot to other formats.

use std::str::FromStr;
use tenure::export::{self, OpenMetrics};
use tenure::snapshot::Value;
use tenure::{Snapshot, Symbols};

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Raw,
    Pprof,
    Folded,
    FlameGraph,
    Dhat,
    OpenMetrics,
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Format, Self::Err> {
        Ok(match text {
            "json" => Format::Json,
            "raw" => Format::Raw,
            "pprof" => Format::Pprof,
            "folded" => Format::Folded,
            "flamegraph" => Format::FlameGraph,
            "dhat" => Format::Dhat,
            "openmetrics" => Format::OpenMetrics,
            _ => return Err("no format: json, raw, pprof, folded, flamegraph, dhat or openmetrics"),
        })
    }
}

/// A snapshot and whoever names its functions.
type Named<'a> = (&'a Snapshot, &'a mut Symbols);

/// `since` is for flame graphs: what changed since another snapshot.
pub(crate) fn convert(
    format: Format,
    value: Value,
    (snapshot, symbols): Named<'_>,
    since: Option<Named<'_>>,
) -> Vec<u8> {
    match format {
        Format::Json => export::json(snapshot, symbols).into_bytes(),
        Format::Raw => export::raw(snapshot).into_bytes(),
        Format::Pprof => export::pprof(snapshot, symbols),
        Format::Folded => export::folded(snapshot, symbols, value).into_bytes(),
        Format::FlameGraph => match since {
            Some((before, names)) => {
                export::flame_graph_diff(snapshot, before, symbols, Some(names), value).into_bytes()
            }
            None => export::flame_graph(snapshot, symbols, value).into_bytes(),
        },
        Format::Dhat => export::dhat(snapshot, symbols).into_bytes(),
        Format::OpenMetrics => export::openmetrics(snapshot, symbols, OpenMetrics::new()).into_bytes(),
    }
}
