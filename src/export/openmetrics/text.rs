//! The text format: <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.

use std::fmt::Write;

/// What a family's samples are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    Counter,
    #[cfg(feature = "http")]
    Histogram,
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
            #[cfg(feature = "http")]
            Kind::Histogram => ("histogram", ""),
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
        self.line("", labels, value);
    }

    /// The samples of a histogram: how many values were above the bound before and not above this one, the last above all.
    #[cfg(feature = "http")]
    pub(crate) fn histogram(&mut self, label: (&str, &str), bounds: &[u64], counts: &[u64], sum: u64) {
        let bounds = bounds.iter().map(|bound| format!("{bound}.0")).chain(["+Inf".to_string()]);
        let mut below = 0;
        for (bound, count) in bounds.zip(counts) {
            below += count;
            self.line("_bucket", &[label, ("le", &bound)], below as f64);
        }
        self.line("_count", &[label], below as f64);
        self.line("_sum", &[label], sum as f64);
    }

    fn line<T: AsRef<str>>(&mut self, ending: &str, labels: &[(&str, T)], value: f64) {
        self.out.push_str(&std::mem::take(&mut self.head));
        self.out.push_str(&self.name);
        self.out.push_str(ending);
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
