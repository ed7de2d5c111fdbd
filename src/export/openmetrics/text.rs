//! The text format: <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.

use std::fmt::Write;

/// What a family's samples are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    Counter,
    Info,
}

/// A text in the making. Writing to it does not fail.
#[derive(Default)]
pub(crate) struct Text {
    out: String,
    /// What samples of the family that was begun are called.
    name: String,
    /// The head of that family, until its first sample: one without samples is left out.
    head: String,
}

impl Text {
    /// Begins a family. `name` is without the ending of a counter.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let (kind, ending) = match kind {
            Kind::Gauge => ("gauge", ""),
            Kind::Counter => ("counter", "_total"),
            Kind::Info => ("info", "_info"),
        };
        self.name = format!("{name}{ending}");
        self.head = format!("# TYPE {name} {kind}\n");
        if name.ends_with("_bytes") {
            let _ = writeln!(self.head, "# UNIT {name} bytes");
        }
        let _ = writeln!(self.head, "# HELP {name} {help}");
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, Kind::Gauge, help);
        self.value(value);
    }

    /// A sample without labels.
    pub(crate) fn value(&mut self, value: f64) {
        self.sample::<&str>(&[], value);
    }

    pub(crate) fn sample<T: AsRef<str>>(&mut self, labels: &[(&str, T)], value: f64) {
        self.out.push_str(&std::mem::take(&mut self.head));
        self.out.push_str(&self.name);
        for (i, (name, value)) in labels.iter().enumerate() {
            self.out.push(if i == 0 { '{' } else { ',' });
            let _ = write!(self.out, "{name}=\"");
            value.as_ref().chars().for_each(|c| self.escaped(c));
            self.out.push('"');
        }
        let _ = writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn escaped(&mut self, c: char) {
        match c {
            '\\' => self.out.push_str("\\\\"),
            '"' => self.out.push_str("\\\""),
            '\n' => self.out.push_str("\\n"),
            c => self.out.push(c),
        }
    }

    pub(crate) fn end(mut self) -> String {
        self.out.push_str("# EOF\n");
        self.out
    }
}
