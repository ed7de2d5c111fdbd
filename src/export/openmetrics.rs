//! OpenMetrics, for Prometheus and what else scrapes.

pub(crate) mod text;

use crate::generation::Generation;
use crate::reading::untracked;
use crate::snapshot::{By, Estimate, Group, Mode, Names, Snapshot, Sum, Tenuring};
use crate::stats::Stats;
use std::collections::HashMap;
use text::{Kind, Text};

/// What a server sends as the `Content-Type` of [`openmetrics()`].
pub const OPENMETRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many series [`openmetrics()`] may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenMetrics {
    sites: usize,
    tags: usize,
}

/// The most lines or tags that can be asked for.
const MOST: usize = 1000;

impl Default for OpenMetrics {
    fn default() -> Self {
        OpenMetrics { sites: 20, tags: 20 }
    }
}

impl OpenMetrics {
    /// 20 lines of source, and 20 tags.
    pub fn new() -> OpenMetrics {
        OpenMetrics::default()
    }

    /// How many lines of source have series of their own: those that hold the most bytes. At most 1,000.
    pub fn sites(self, sites: usize) -> OpenMetrics {
        OpenMetrics { sites: sites.min(MOST), ..self }
    }

    /// How many tags have series of their own: those that hold the most bytes. At most 1,000.
    pub fn tags(self, tags: usize) -> OpenMetrics {
        OpenMetrics { tags: tags.min(MOST), ..self }
    }

    /// No more series than this are written, whatever the snapshot holds: 40 of the process, 5 for each of 88 size
    /// classes, 6 for each of 15 ages, 92 of generations, 6 for each line and each tag, and 6 for what is left over of each.
    pub fn most_series(&self) -> usize {
        40 + 5 * 88 + 6 * 15 + 92 + 6 * (self.sites + 1) + 6 * (self.tags + 1)
    }
}

/// OpenMetrics text, to be sent with [`OPENMETRICS_CONTENT_TYPE`]. All names begin with `tenure_`.
///
/// - **The process**: the figures of [`Stats`], of all blocks, tracked or not, and whole blocks; what is
///   tracked and what is not.
/// - **`class`**: each size class in use, by `block_size`.
/// - **`site`**: what stacks have in common by the line of the program that they end at, as [`By::Line`] has it, so that a
///   series outlives a restart; by `function` and `site` (`file:line`). The largest by live bytes; what is left is summed
///   in `site="(others)"`.
/// - **`tag`**: likewise by `tag`, with `tag="(no tag)"` and `tag="(others)"`.
/// - **`generation`**: what lives in `young`, `middle` and `old`, and what is `permanent`; what died there; what was promoted
///   to the middle and the old one; and `tenure_die_young_ratio`.
/// - **`age`**: what lives and what died by `age_epochs`, the epochs since birth rounded down to a power of two: `0`, `1`,
///   `2`, `4`, ... `8192`.
/// - **`collection`**: how many there were of each generation, what they gave back (`how`), their pauses; `tenure_suspects`, and
///   `tenure_suspect_bytes_per_second` by `function` and `site`.
///
/// What is estimated has its standard error beside it, in a gauge `..._standard_error`. What was allocated is a
/// counter; what died at an age, in a generation, or was promoted is a gauge, because it is a difference of readings or goes by
/// thresholds, and may fall; what is left over has none, because what comes and goes there would make it fall. Counters of the process are readings while threads run, so that one may be
/// lower than the one before by what a magazine holds.
///
/// No more than [`OpenMetrics::most_series`] series. Looks up names and allocates as
/// [`Snapshot::group_by`] does.
pub fn openmetrics(snapshot: &Snapshot, names: &mut dyn Names, options: OpenMetrics) -> String {
    openmetrics_and(snapshot, names, options, |_| ())
}

/// The same, and families that somebody else knows of before the end.
pub(crate) fn openmetrics_and(
    snapshot: &Snapshot,
    names: &mut dyn Names,
    options: OpenMetrics,
    more: impl FnOnce(&mut Text),
) -> String {
    untracked(|| {
        let mut text = Text::default();
        process(&mut text, snapshot);
        classes(&mut text, snapshot.stats());
        let labels = |g: &Group| {
            let site = if g.location.is_empty() { &g.name } else { &g.location };
            vec![("function", g.name.clone()), ("site", site.clone())]
        };
        let lines = snapshot.group_by(By::Line, names);
        let sites = Series::of(&lines, options.sites, labels);
        groups(&mut text, "site", "the stacks that end at a line of the program", &sites);
        let labels = |g: &Group| vec![("tag", g.name.clone())];
        let tags = Series::of(&snapshot.group_by(By::Tag, names), options.tags, labels);
        groups(&mut text, "tag", "a tag", &tags);
        let tenuring = snapshot.tenuring();
        generations(&mut text, &tenuring);
        ages(&mut text, &tenuring);
        collections(&mut text, snapshot, &lines, names);
        more(&mut text);
        text.end()
    })
}

fn process(text: &mut Text, snapshot: &Snapshot) {
    let s = snapshot.stats();
    let mode = match snapshot.mode() {
        Mode::Off => "off",
        Mode::Exact => "exact",
        Mode::Sampled { .. } => "sampled",
    };
    text.family("tenure_tracking", Kind::Info, "How blocks come to be tracked.");
    text.sample(&[("mode", mode), ("version", env!("CARGO_PKG_VERSION"))], 1.0);
    if let Mode::Sampled { mean } = snapshot.mode() {
        text.gauge("tenure_sampling_mean_bytes", "Bytes between samples, on average.", mean as f64);
    }
    for (name, help, bytes) in [
        ("live", "Live blocks.", s.live),
        ("committed", "Memory that is physical as far as the allocator knows.", s.committed),
        ("peak_committed", "The largest that committed bytes have been.", s.peak_committed),
        ("reserved", "Address space reserved from the system.", s.reserved),
        ("resident", "The whole process, as the system counts it; 0 where it does not.", s.resident),
        ("due", "Free memory that is due to be purged; part of committed bytes.", s.due),
        ("holes", "Memory given back inside pages that are in use.", s.holes),
        ("fragmentation", "Committed less live bytes.", s.fragmentation),
        ("in_magazines", "Free blocks in threads' magazines.", s.in_magazines),
        ("in_depots", "Free blocks in depots.", s.in_depots),
        ("own", "Address space of the allocator's own tables.", s.own),
        ("large_live", "Live blocks of more than 64 KiB.", s.large.live),
    ] {
        text.gauge(&format!("tenure_{name}_bytes"), help, bytes as f64);
    }
    text.gauge(
        "tenure_held_bytes",
        "Committed bytes and the allocator's own: what the limits are on.",
        s.limits.held as f64,
    );
    for (name, help, bytes) in [
        ("soft_limit", "Collections are asked for as held bytes come near.", s.limits.soft),
        ("hard_limit", "Allocations that would need more are refused.", s.limits.hard),
        ("hard_limit_closest", "The least that was left below the hard limit.", s.limits.closest),
    ] {
        if let Some(bytes) = bytes {
            text.gauge(&format!("tenure_{name}_bytes"), help, bytes as f64);
        }
    }
    for (name, help, n) in [
        ("live_blocks", "Live blocks.", s.live_blocks as f64),
        ("large_live_blocks", "Live blocks of more than 64 KiB.", s.large.live_blocks as f64),
        ("threads", "Threads that have allocated or freed and not ended.", s.threads as f64),
    ] {
        text.gauge(&format!("tenure_{name}"), help, n);
    }
    for (name, help, n) in [
        ("purged_bytes", "Memory given back, but for holes.", s.purged as u64),
        ("allocated_blocks", "Blocks allocated.", s.allocated_blocks),
        ("freed_blocks", "Blocks freed.", s.freed_blocks),
        ("sent_home_blocks", "Blocks sent home to their pages.", s.sent_home),
        ("large_allocated_blocks", "Blocks of more than 64 KiB allocated.", s.large.allocated_blocks),
        ("epochs", "Ticks of the allocator's clock.", s.epoch),
        ("refused_allocations", "Allocations refused for the hard limit.", s.limits.refused),
        ("refused_bytes", "Requested by those.", s.limits.refused_bytes),
        ("soft_limit_young_collections", "Young collections asked for near the soft limit.", s.limits.young_asked),
        ("soft_limit_middle_collections", "Middle ones.", s.limits.middle_asked),
        ("soft_limit_old_collections", "Old ones.", s.limits.old_asked),
        ("soft_limit_reached", "How often the soft limit was reached.", s.limits.soft_reached),
    ] {
        text.family(&format!("tenure_{name}"), Kind::Counter, help);
        text.value(n as f64);
    }
    let untracked = snapshot.untracked().bytes;
    let tracked = snapshot.tracked().bytes();
    for (name, help, value, error) in [
        ("tracked", "Live tracked blocks, as requested.", tracked.value, tracked.standard_error),
        ("untracked", "Live blocks that are not tracked.", untracked.value, untracked.standard_error),
    ] {
        text.gauge(&format!("tenure_{name}_bytes"), help, value);
        text.gauge(&format!("tenure_{name}_bytes_standard_error"), "Of the estimate.", error);
    }
}

fn classes(text: &mut Text, stats: &Stats) {
    let used: Vec<_> = stats.classes.iter().filter(|c| c.page_bytes > 0 || c.allocated_blocks > 0).collect();
    let sizes: Vec<String> = used.iter().map(|c| c.block_size.to_string()).collect();
    let mut family = |name: &str, kind: Kind, help: &str, of: &dyn Fn(usize) -> u64| {
        text.family(name, kind, help);
        sizes.iter().enumerate().for_each(|(i, size)| text.sample(&[("block_size", size)], of(i) as f64));
    };
    family("tenure_class_live_bytes", Kind::Gauge, "Live blocks of a size class.", &|i| {
        used[i].live_blocks.saturating_mul(used[i].block_size as u64)
    });
    family("tenure_class_live_blocks", Kind::Gauge, "Live blocks of a size class.", &|i| used[i].live_blocks);
    family("tenure_class_page_bytes", Kind::Gauge, "Pages of a size class.", &|i| used[i].page_bytes as u64);
    family("tenure_class_cached_blocks", Kind::Gauge, "Free blocks of a size class in magazines and depots.", &|i| {
        used[i].cached_blocks
    });
    family("tenure_class_allocated_blocks", Kind::Counter, "Blocks of a size class allocated.", &|i| {
        used[i].allocated_blocks
    });
}

/// A group, as far as it has series.
struct Series {
    labels: Vec<(&'static str, String)>,
    live: Sum,
    allocated: Option<Sum>,
}

impl Series {
    /// The first groups, and what is left over.
    fn of(groups: &[Group], most: usize, labels: impl Fn(&Group) -> Vec<(&'static str, String)>) -> Vec<Series> {
        let (first, rest) = groups.split_at(groups.len().min(most));
        let mut all: Vec<Series> = Vec::with_capacity(first.len() + 1);
        let mut known = HashMap::new();
        let mut add = |labels: Vec<(&'static str, String)>, live: Sum, allocated: Option<Sum>| {
            let at = *known.entry(labels.clone()).or_insert(all.len());
            match all.get_mut(at) {
                // Another one that reads the same: a scrape with a series twice is refused as a whole.
                Some(series) => {
                    series.live += live;
                    series.allocated =
                        series.allocated.zip(allocated).map(|(a, b)| [a, b].into_iter().sum()).or(series.allocated);
                }
                None => all.push(Series { labels, live, allocated }),
            }
        };
        for group in first {
            let labels = labels(group).into_iter().map(|(name, value)| (name, printable(&value)));
            add(labels.collect(), group.live, group.allocated);
        }
        if let Some(group) = rest.first() {
            let text = |name| if name == "function" { String::new() } else { "(others)".into() };
            let labels = labels(group).into_iter().map(|(name, _)| (name, text(name)));
            // A program may have a tag of that name.
            add(labels.collect(), rest.iter().map(|g| g.live).sum(), None);
        }
        all
    }
}

/// Without control characters, but for the end of a line. A zero ends the text for some readers, and the others are nothing that
/// a person could read.
pub(crate) fn printable(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            c if c.is_control() && c != '\n' => text.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// What a sum is of.
type Figure = fn(&Sum) -> Estimate;
const UNITS: [(&str, Figure); 2] = [("bytes", Sum::bytes), ("blocks", Sum::blocks)];

fn groups(text: &mut Text, name: &str, what: &str, all: &[Series]) {
    for (unit, estimate) in UNITS {
        let name = format!("tenure_{name}_live_{unit}");
        text.family(&name, Kind::Gauge, &format!("Live tracked {unit} of {what}."));
        all.iter().for_each(|s| text.sample(&s.labels, estimate(&s.live).value));
        text.family(&format!("{name}_standard_error"), Kind::Gauge, "Of the estimate.");
        all.iter().for_each(|s| text.sample(&s.labels, estimate(&s.live).standard_error));
    }
    for (unit, estimate) in UNITS {
        let help = format!("Tracked {unit} of {what} allocated since the start.");
        text.family(&format!("tenure_{name}_allocated_{unit}"), Kind::Counter, &help);
        for (series, allocated) in all.iter().filter_map(|s| Some((s, s.allocated?))) {
            text.sample(&series.labels, estimate(&allocated).value);
        }
    }
}

/// What collections did, and the suspects that they found.
fn collections(text: &mut Text, snapshot: &Snapshot, lines: &[Group], names: &mut dyn Names) {
    let all = || Generation::ALL.into_iter().zip(&snapshot.generations().stats);
    let of = |g: Generation| [("generation", g.name())];
    text.family("tenure_collections", Kind::Counter, "Collections of a generation since the start.");
    all().for_each(|(g, stats)| text.sample(&of(g), stats.collections as f64));
    text.family("tenure_automatic_collections", Kind::Counter, "Those that a threshold began.");
    all().for_each(|(g, stats)| text.sample(&of(g), stats.automatic as f64));
    text.family("tenure_collection_reclaimed_bytes", Kind::Counter, "What collections gave back, by how.");
    for (g, stats) in all() {
        let r = stats.reclaimed;
        for (how, bytes) in
            [("sent_home", r.sent_home), ("retired", r.retired), ("adopted", r.adopted), ("purged", r.purged)]
        {
            text.sample(&[("generation", g.name()), ("how", how)], bytes as f64);
        }
    }
    text.family("tenure_collection_pause_seconds", Kind::Counter, "Processor time of collections.");
    all().for_each(|(g, stats)| text.sample(&of(g), stats.pause_ns as f64 / 1e9));
    text.family(
        "tenure_collection_longest_pause_seconds",
        Kind::Gauge,
        "Processor time of the longest step since the start.",
    );
    all().for_each(|(g, stats)| text.sample(&of(g), stats.longest_pause_ns as f64 / 1e9));
    let last = all().filter_map(|(_, stats)| stats.last).max_by_key(|last| last.began_ns);
    let help = "Physical memory in pages that no block has, after the last collection.";
    text.gauge("tenure_pinned_bytes", help, last.map_or(0.0, |last| last.pinned as f64));
    text.gauge(
        "tenure_suspects",
        "Sites and tags whose old generation keeps growing.",
        snapshot.suspects().len() as f64,
    );
    // Two stacks may end at one line, in functions of different names if it is generic. Its labels are those that it has in the
    // families by `site`.
    let known: HashMap<&str, &str> = lines.iter().map(|line| (&*line.location, &*line.name)).collect();
    let mut lines: Vec<([String; 2], f64)> = Vec::new();
    for (suspect, frame) in snapshot.suspects_named(names).iter() {
        let location = frame.location();
        let name = known.get(&*location).filter(|_| frame.line.is_some()).copied().unwrap_or(&frame.function);
        let (name, location) = (printable(name), printable(&location));
        let labels = if location.is_empty() { [name.clone(), name] } else { [name, location] };
        match lines.iter_mut().find(|line| line.0 == labels) {
            Some(line) => line.1 += suspect.bytes_per_minute / 60.0,
            None => lines.push((labels, suspect.bytes_per_minute / 60.0)),
        }
    }
    text.family("tenure_suspect_bytes_per_second", Kind::Gauge, "Growth of a suspect's old generation.");
    for ([function, site], rate) in &lines {
        text.sample(&[("function", function), ("site", site)], *rate);
    }
}

/// The share of a generation or an age in what lives and in what died.
struct Aged {
    labels: Vec<(&'static str, String)>,
    live: Sum,
    /// `None` of what is in no generation.
    died: Option<Sum>,
}

fn generations(text: &mut Text, tenuring: &Tenuring) {
    let of = |name: &str| vec![("generation", name.to_string())];
    let mut all: Vec<Aged> = Generation::ALL
        .into_iter()
        .map(|g| (g, tenuring.generation(g)))
        .map(|(g, t)| Aged { labels: of(g.name()), live: t.live, died: Some(t.died) })
        .collect();
    all.push(Aged { labels: of("permanent"), live: tenuring.permanent, died: None });
    aged(text, "generation", "a generation", &all);
    let promoted = [(Generation::Middle, tenuring.middle.reached), (Generation::Old, tenuring.old.reached)];
    for (unit, estimate) in UNITS {
        let name = format!("tenure_generation_promoted_{unit}");
        text.family(&name, Kind::Gauge, &format!("Tracked {unit} that have come to a generation since the start."));
        promoted.iter().for_each(|(g, s)| text.sample(&of(g.name()), estimate(s).value));
        text.family(&format!("{name}_standard_error"), Kind::Gauge, "Of the estimate.");
        promoted.iter().for_each(|(g, s)| text.sample(&of(g.name()), estimate(s).standard_error));
    }
    let shares = [("blocks", &tenuring.die_young), ("bytes", &tenuring.bytes_die_young)];
    text.family("tenure_die_young_ratio", Kind::Gauge, "The share that dies in the young generation.");
    shares.iter().filter(|s| s.1.value.is_finite()).for_each(|(unit, s)| text.sample(&[("of", unit)], s.value));
    text.family("tenure_die_young_ratio_standard_error", Kind::Gauge, "Of the estimate.");
    let known = shares.iter().filter(|s| s.1.value.is_finite());
    known.for_each(|(unit, s)| text.sample(&[("of", unit)], s.standard_error));
}

fn ages(text: &mut Text, tenuring: &Tenuring) {
    let all: Vec<Aged> = tenuring
        .ages
        .iter()
        .map(|b| Aged { labels: vec![("age_epochs", b.from.to_string())], live: b.living, died: Some(b.died) })
        .collect();
    aged(text, "age", "an age", &all);
}

fn aged(text: &mut Text, name: &str, what: &str, all: &[Aged]) {
    for (unit, estimate) in UNITS {
        let live = format!("tenure_{name}_live_{unit}");
        text.family(&live, Kind::Gauge, &format!("Live tracked {unit} of {what}."));
        all.iter().for_each(|a| text.sample(&a.labels, estimate(&a.live).value));
        text.family(&format!("{live}_standard_error"), Kind::Gauge, "Of the estimate.");
        all.iter().for_each(|a| text.sample(&a.labels, estimate(&a.live).standard_error));
        let help = format!("Tracked {unit} that died in {what} since the start.");
        text.family(&format!("tenure_{name}_died_{unit}"), Kind::Gauge, &help);
        for (aged, died) in all.iter().filter_map(|a| Some((a, a.died?))) {
            text.sample(&aged.labels, estimate(&died).value);
        }
    }
}

#[cfg(test)]
mod tests;
