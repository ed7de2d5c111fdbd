//! pprof's `profile.proto`.

use super::allocator::PATTERN;
use super::proto::Message;
use super::rounded::{Rounded, RoundedChange};
use crate::reading::untracked;
use crate::snapshot::{Code, Frame, Mode, Names, Place, Site, Snapshot, Sum, Tag};
use flate2::{Compression, write::GzEncoder};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::Arc;

/// A gzipped `profile.proto`, as `go tool pprof` and what else reads pprof takes it.
///
/// - **Values** of each sample: `inuse_objects`, `inuse_space` (the default), `alloc_objects`, `alloc_space`; blocks and
///   bytes as requested. What is estimated is rounded so that the sums over any run of samples are off by less than 1.
/// - **Labels** of what lives: `tag`, where there is one; `bytes`, the block's size; and `age_epochs`, the epochs since
///   birth rounded down to a power of two (0, 1, 2, 4, ...), so that `-tagfocus` takes ranges and no threshold has to be
///   known. What was allocated is not known by label: it stands in a sample of its own for each site.
/// - **Locations** keep their addresses within the call, their inlined lines, and their mappings with build ids, so that
///   another tool can name what this process could not.
/// - **Comments** say how blocks were tracked, what the standard error of the total is, and how much is not tracked.
///
/// Looks up the names of all frames: see [`Names`]. Allocates, untracked, some 50 bytes for each row and frame.
pub fn pprof(snapshot: &Snapshot, names: &mut dyn Names) -> Vec<u8> {
    pprof_with(snapshot, None, Shown::InUse, names)
}

/// Which value a reader shows unless it is asked for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// `inuse_space`, as in Go's profile `heap`.
    InUse,
    /// `alloc_space`, as in Go's profile `allocs`.
    #[cfg_attr(not(feature = "http"), allow(dead_code, reason = "who has Go's two profiles"))]
    Allocated,
}

/// The same; of what changed since an earlier snapshot of the process, if there is one. Values may be negative then, as in Go's
/// profiles with `?seconds=`, and what lives has no label `age_epochs`: its age is not the same in both.
pub(crate) fn pprof_with(
    snapshot: &Snapshot,
    earlier: Option<&Snapshot>,
    shown: Shown,
    names: &mut dyn Names,
) -> Vec<u8> {
    untracked(|| {
        let profile = Profile::of(snapshot, earlier, shown, names);
        names.finish();
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        gz.write_all(&profile).and_then(|()| gz.finish()).unwrap_or_default()
    })
}

/// The numbers of fields: <https://github.com/google/pprof/blob/main/proto/profile.proto>.
mod field {
    pub(super) const SAMPLE_TYPE: u32 = 1;
    pub(super) const SAMPLE: u32 = 2;
    pub(super) const MAPPING: u32 = 3;
    pub(super) const LOCATION: u32 = 4;
    pub(super) const FUNCTION: u32 = 5;
    pub(super) const STRING: u32 = 6;
    pub(super) const DROP_FRAMES: u32 = 7;
    pub(super) const TIME_NANOS: u32 = 9;
    pub(super) const DURATION_NANOS: u32 = 10;
    pub(super) const PERIOD_TYPE: u32 = 11;
    pub(super) const PERIOD: u32 = 12;
    pub(super) const COMMENT: u32 = 13;
    pub(super) const DEFAULT_SAMPLE_TYPE: u32 = 14;
}

#[derive(Default)]
struct Profile {
    message: Message,
    strings: HashMap<Arc<str>, u64>,
    functions: HashMap<(u64, u64), u64>,
    locations: HashMap<u64, u64>,
    /// Locations that stand for frames that are not there, by their text.
    instead: HashMap<&'static str, u64>,
    /// Each range of code, and whether a function, a line, and an inlined call was found in it.
    mappings: Vec<(Code, [bool; 3])>,
}

impl Profile {
    fn of(snapshot: &Snapshot, earlier: Option<&Snapshot>, shown: Shown, names: &mut dyn Names) -> Vec<u8> {
        let mut p = Profile::default();
        p.string(""); // number 0 is no text
        let kinds = [
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
        ];
        for (kind, unit) in kinds {
            p.value_type(field::SAMPLE_TYPE, kind, unit);
        }
        let code = snapshot.modules().iter().flat_map(|m| &m.code);
        p.mappings = code.map(|&c| (c, [false; 3])).collect();
        match earlier {
            None => p.samples(snapshot, names),
            Some(earlier) => p.changes(snapshot, earlier, names),
        }
        p.write_mappings(snapshot);
        p.write_end(snapshot, earlier, shown);
        p.message.0
    }

    fn samples(&mut self, snapshot: &Snapshot, names: &mut dyn Names) {
        let mut round = [Rounded::default(); 4];
        for site in snapshot.sites() {
            let stack = self.stack(snapshot, site, names);
            for row in snapshot.rows_of(site.number) {
                let values = [round[0].next(row.live.blocks), round[1].next(row.live.bytes), 0, 0];
                let values = values.map(u64::cast_signed);
                let age = snapshot.epoch().saturating_sub(row.epoch);
                let age = if age == 0 { 0 } else { 1 << age.ilog2() };
                self.sample(&stack, values, tag(snapshot, row.tag), Some(row.block_size), Some(age));
            }
            let (objects, bytes) = (round[2].next(site.allocated.blocks), round[3].next(site.allocated.bytes));
            if objects > 0 {
                self.sample(&stack, [0, 0, objects, bytes].map(u64::cast_signed), "", None, None);
            }
        }
    }

    /// What of it is more than it was, or less.
    fn changes(&mut self, later: &Snapshot, earlier: &Snapshot, names: &mut dyn Names) {
        let mut round = [RoundedChange::default(); 4];
        let mut sites: Vec<u32> = later.sites().iter().chain(earlier.sites()).map(|site| site.number).collect();
        sites.sort_unstable();
        sites.dedup();
        for number in sites {
            let of = |snapshot: &Snapshot| snapshot.site(number).map_or(Sum::default(), |site| site.allocated);
            let (now, before) = (of(later), of(earlier));
            let mut live: BTreeMap<(u16, u64), [f64; 2]> = BTreeMap::new();
            for (snapshot, sign) in [(later, 1.0), (earlier, -1.0)] {
                for row in snapshot.rows_of(number) {
                    let change = live.entry((row.tag, row.block_size)).or_default();
                    *change = [change[0] + sign * row.live.blocks, change[1] + sign * row.live.bytes];
                }
            }
            let changed: Vec<_> = live
                .iter()
                .map(|(key, change)| (key, [round[0].next(change[0]), round[1].next(change[1]), 0, 0]))
                .filter(|(_, values)| *values != [0; 4])
                .collect();
            let allocated = [0, 0, round[2].next(now.blocks - before.blocks), round[3].next(now.bytes - before.bytes)];
            let Some(site) = later.site(number).or_else(|| earlier.site(number)) else { continue };
            if changed.is_empty() && allocated == [0; 4] {
                continue;
            }
            let stack = self.stack(later, site, names);
            for (&(number, size), values) in changed {
                let name = if later.tag(number).is_some() { tag(later, number) } else { tag(earlier, number) };
                self.sample(&stack, values, name, Some(size), None);
            }
            if allocated != [0; 4] {
                self.sample(&stack, allocated, "", None, None);
            }
        }
    }

    fn string(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.strings.get(text) {
            return number;
        }
        let number = self.strings.len() as u64;
        self.strings.insert(text.into(), number);
        self.message.bytes(field::STRING, text.as_bytes());
        number
    }

    fn value_type(&mut self, field: u32, kind: &str, unit: &str) {
        let (kind, unit) = (self.string(kind), self.string(unit));
        self.message.message(field, |m| {
            m.number(1, kind);
            m.number(2, unit);
        });
    }

    fn sample(&mut self, stack: &[u64], values: [i64; 4], tag: &str, size: Option<u64>, age: Option<u64>) {
        let (tag_key, tag) = if tag.is_empty() { (0, 0) } else { (self.string("tag"), self.string(tag)) };
        let [bytes, age_epochs, epochs] = ["bytes", "age_epochs", "epochs"].map(|s| self.string(s));
        self.message.message(field::SAMPLE, |m| {
            m.numbers(1, stack.iter().copied());
            // A number below 0 is written as one of 64 bits without a sign.
            m.numbers(2, values.map(i64::cast_unsigned));
            if tag != 0 {
                m.message(3, |label| {
                    label.number(1, tag_key);
                    label.number(2, tag);
                });
            }
            let labels = [size.map(|s| (bytes, s, bytes)), age.map(|a| (age_epochs, a, epochs))];
            for (key, value, unit) in labels.into_iter().flatten() {
                m.message(3, |label| {
                    label.number(1, key);
                    label.number(3, value);
                    label.number(4, unit);
                });
            }
        });
    }

    /// The locations of a site, leaf first.
    fn stack(&mut self, snapshot: &Snapshot, site: &Site, names: &mut dyn Names) -> Vec<u64> {
        let mut stack: Vec<u64> = site.stack.iter().map(|&address| self.location(snapshot, address, names)).collect();
        if stack.is_empty() {
            stack.push(self.instead(site.without_stack()));
        }
        stack.extend(site.ending.missing().map(|what| self.instead(what)));
        stack
    }

    fn location(&mut self, snapshot: &Snapshot, address: u64, names: &mut dyn Names) -> u64 {
        if let Some(&number) = self.locations.get(&address) {
            return number;
        }
        let frames = names.frames(&Place::new(address, snapshot.modules()));
        let named = frames.iter().any(|f| f.named);
        let mapping = self.mappings.iter().position(|(c, _)| c.start <= address && address < c.end);
        if let Some(i) = mapping {
            let found = [named, frames.iter().any(|f| f.line.is_some()), frames.len() > 1];
            self.mappings[i].1.iter_mut().zip(found).for_each(|(all, one)| *all |= one);
        }
        // What has no name is left to whoever can find one by the address, unless nobody can.
        let lines = if named || mapping.is_none() { &frames[..] } else { &[] };
        let number = self.write_location(mapping.map_or(0, |i| i as u64 + 1), address, lines);
        self.locations.insert(address, number);
        number
    }

    fn instead(&mut self, what: &'static str) -> u64 {
        if let Some(&number) = self.instead.get(what) {
            return number;
        }
        let number = self.write_location(0, 0, &[Frame::instead(what)]);
        self.instead.insert(what, number);
        number
    }

    fn write_location(&mut self, mapping: u64, address: u64, frames: &[Frame]) -> u64 {
        let number = (self.locations.len() + self.instead.len()) as u64 + 1;
        let lines: Vec<_> = frames.iter().map(|f| (self.function(f), f.line.unwrap_or(0))).collect();
        self.message.message(field::LOCATION, |m| {
            m.number(1, number);
            m.number(2, mapping);
            m.number(3, address);
            for (function, line) in lines {
                m.message(4, |l| {
                    l.number(1, function);
                    l.number(2, line.into());
                });
            }
        });
        number
    }

    fn function(&mut self, frame: &Frame) -> u64 {
        let (name, file) = (self.string(&frame.function), self.string(frame.file.as_deref().unwrap_or("")));
        if let Some(&number) = self.functions.get(&(name, file)) {
            return number;
        }
        let number = self.functions.len() as u64 + 1;
        self.functions.insert((name, file), number);
        self.message.message(field::FUNCTION, |m| {
            m.number(1, number);
            m.number(2, name);
            // Without field 3, the name in the system's own mangling: with it, Go takes names for C++ and strips `<..>`.
            m.number(4, file);
        });
        number
    }

    fn write_mappings(&mut self, snapshot: &Snapshot) {
        let mut number = 0;
        for module in snapshot.modules() {
            let (path, build_id) = (self.string(&module.path), self.string(&module.build_id));
            for code in &module.code {
                let [functions, lines, inlined] = self.mappings[number].1;
                number += 1;
                self.message.message(field::MAPPING, |m| {
                    m.number(1, number as u64);
                    m.number(2, code.start);
                    m.number(3, code.end);
                    m.number(4, code.file_offset);
                    m.number(5, path);
                    m.number(6, build_id);
                    m.number(7, functions.into());
                    m.number(8, lines.into());
                    m.number(9, lines.into());
                    m.number(10, inlined.into());
                });
            }
        }
    }

    fn write_end(&mut self, snapshot: &Snapshot, earlier: Option<&Snapshot>, shown: Shown) {
        let nanos = snapshot.parts.unix_nanos;
        self.message.number(field::TIME_NANOS, nanos);
        if let Some(earlier) = earlier {
            self.message.number(field::DURATION_NANOS, nanos.saturating_sub(earlier.parts.unix_nanos));
        }
        self.value_type(field::PERIOD_TYPE, "space", "bytes");
        let period = match snapshot.mode() {
            Mode::Sampled { mean } => mean,
            Mode::Off | Mode::Exact => 1,
        };
        self.message.number(field::PERIOD, period);
        for comment in comments(snapshot) {
            let number = self.string(&comment);
            self.message.number(field::COMMENT, number);
        }
        let default = self.string(match shown {
            Shown::InUse => "inuse_space",
            Shown::Allocated => "alloc_space",
        });
        self.message.number(field::DEFAULT_SAMPLE_TYPE, default);
        let drop = self.string(PATTERN);
        self.message.number(field::DROP_FRAMES, drop);
    }
}

/// The name of a tag; empty of none.
fn tag(snapshot: &Snapshot, number: u16) -> &str {
    snapshot.tag(number).filter(|t| t.number != Tag::NONE).map_or("", |t| &t.name)
}

fn comments(snapshot: &Snapshot) -> [String; 3] {
    let method = match snapshot.mode() {
        Mode::Off => "off".into(),
        Mode::Exact => "exact".into(),
        Mode::Sampled { mean } => format!("sampled, a mean of {mean} bytes between samples"),
    };
    let total: Sum = snapshot.rows().iter().map(|r| r.live).sum();
    let (b, n) = (total.bytes(), total.blocks());
    let left = snapshot.untracked().bytes;
    [
        format!("tenure {}, pid {}, tracking: {method}", env!("CARGO_PKG_VERSION"), snapshot.pid()),
        format!(
            "in use: {:.0} bytes (standard error {:.0}), {:.0} blocks (standard error {:.0}), {} samples",
            b.value, b.standard_error, n.value, n.standard_error, total.samples
        ),
        format!("not tracked: {:.0} bytes of blocks (standard error {:.0})", left.value, left.standard_error),
    ]
}

#[cfg(test)]
mod tests;
