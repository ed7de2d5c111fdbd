//! What rows may have in common.

use super::trim::Says;
use super::words::{NoWord, Word};
use super::{Frame, Mode, Names, Place, Site, Snapshot, path, trim};
use std::collections::HashMap;

/// What a group has in common. As a word: `line`, `function`, `module`, `crate`, `file`, `tag`, `size`, `site` or `folded`.
///
/// The first five look at one frame of each stack: the first that is not of the allocator, the standard library or the
/// start of a thread; where calls were inlined, of the inlined function. In C and C++, not of the C library either, nor
/// of a wrapper of `malloc` by its name (`xmalloc`, `g_strdup`), unless there is nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// File and line; the function, where lines are not known.
    Line,
    /// The function.
    Function,
    /// The module that the function stands in, by its path.
    Module,
    /// The crate that the function stands in; of C, and of what has no name, the module.
    Crate,
    /// The source file.
    File,
    /// The tag.
    Tag,
    /// The size of the block: the size class', or a large block's own.
    SizeClass,
    /// The whole call stack, every frame at its address. From one process to another, by its functions and lines.
    Site,
    /// The functions of the call stack, without those of the allocator, the standard library and the start of a
    /// thread; and where one or several of them repeat without a gap, as in recursion, they count once.
    Folded,
}

impl Word for By {
    const WORDS: &'static [(&'static str, By)] = &[
        ("line", By::Line),
        ("function", By::Function),
        ("module", By::Module),
        ("crate", By::Crate),
        ("file", By::File),
        ("tag", By::Tag),
        ("size", By::SizeClass),
        ("site", By::Site),
        ("folded", By::Folded),
    ];
}

impl std::str::FromStr for By {
    type Err = NoWord;
    fn from_str(text: &str) -> Result<By, NoWord> {
        By::of_word(text)
    }
}

/// What tells one group from another, and what is shown of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) location: String,
    pub(super) stack: Vec<Frame>,
}

/// The groups of a snapshot, numbered.
pub(super) struct Keyed {
    /// What identifies the group, also among those of another snapshot.
    pub(super) keys: Vec<String>,
    pub(super) labels: Vec<Label>,
    /// The group of each row.
    pub(super) rows: Vec<u32>,
    /// The group of each site; empty where sites do not belong to groups as a whole.
    pub(super) sites: Vec<u32>,
    /// The group of each tag, likewise.
    pub(super) tags: Vec<u32>,
}

#[derive(Default)]
struct Numbers {
    known: HashMap<String, u32>,
    keys: Vec<String>,
    labels: Vec<Label>,
}

impl Numbers {
    fn of(&mut self, key: String, label: impl FnOnce() -> Label) -> u32 {
        *self.known.entry(key).or_insert_with_key(|key| {
            self.keys.push(key.clone());
            self.labels.push(label());
            self.labels.len() as u32 - 1
        })
    }
}

impl Keyed {
    /// `by_number`: whether equal numbers of sites are equal sites, as in snapshots of one process.
    pub(super) fn new(snapshot: &Snapshot, by: By, by_number: bool, names: &mut dyn Names) -> Keyed {
        let mut numbers = Numbers::default();
        let parts = &snapshot.parts;
        let (mut rows, mut sites, mut tags) = (Vec::with_capacity(parts.rows.len()), Vec::new(), Vec::new());
        match by {
            By::SizeClass => {
                let class = |size: u64| move || Label { name: format!("{size} B"), ..Label::default() };
                rows.extend(parts.rows.iter().map(|r| numbers.of(r.block_size.to_string(), class(r.block_size))));
            }
            By::Tag => {
                let label = |name: &str| Label { name: name.into(), ..Label::default() };
                tags.extend(parts.tags.iter().map(|t| {
                    let name = if t.number == super::Tag::NONE { "(no tag)" } else { &t.name };
                    numbers.of(name.into(), || label(name))
                }));
                // Tags are in order, and every row has one.
                let of = |tag| tags[parts.tags.partition_point(|t| t.number < tag)];
                rows.extend(parts.rows.iter().map(|r| of(r.tag)));
            }
            _ => {
                let mut naming = Naming { snapshot, by, by_number, names, own: HashMap::new(), numbers };
                sites.extend(parts.sites.iter().map(|s| naming.site(s)));
                numbers = naming.numbers;
                let mut at = 0;
                for row in &parts.rows {
                    at += parts.sites[at..].partition_point(|s| s.number < row.site);
                    rows.push(sites[at]);
                }
            }
        }
        Keyed { keys: numbers.keys, labels: numbers.labels, rows, sites, tags }
    }
}

/// All frames of a site, leaf first; of one without a stack, a frame that says so.
pub(super) fn frames(snapshot: &Snapshot, site: &Site, names: &mut dyn Names) -> Vec<Frame> {
    if site.stack.is_empty() {
        return vec![Frame::instead(site.without_stack())];
    }
    let mut all = Vec::with_capacity(site.stack.len() * 2);
    for &address in &site.stack {
        all.extend_from_slice(&names.frames(&Place::new(address, &snapshot.parts.modules)));
    }
    all
}

/// What groups sites by their stacks.
struct Naming<'a> {
    snapshot: &'a Snapshot,
    by: By,
    by_number: bool,
    names: &'a mut dyn Names,
    /// What each address that was seen says: taking names apart is what costs, and sites share their addresses.
    own: HashMap<u64, Said>,
    numbers: Numbers,
}

/// Of the frames at an address, the first that says for what, and the last before that which allocates on behalf of
/// others.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    what: Option<usize>,
    on_behalf: Option<usize>,
}

impl Said {
    /// `inner`: the frame that the first of them called.
    fn of(frames: &[Frame], inner: Option<&Frame>) -> Said {
        let mut said = Said::default();
        for (i, frame) in frames.iter().enumerate() {
            match trim::says(frame, i.checked_sub(1).map_or(inner, |i| frames.get(i))) {
                Says::How => (),
                Says::OnBehalf => said.on_behalf = Some(i),
                Says::What => {
                    said.what = Some(i);
                    break;
                }
            }
        }
        said
    }
}

impl Naming<'_> {
    /// The frame that a site is put down to. The stack is named no further than that.
    fn line(&mut self, site: &Site) -> Option<Frame> {
        let (mut inner, mut on_behalf): (Option<Frame>, Option<Frame>) = (None, None);
        for (at, &address) in site.stack.iter().enumerate() {
            let frames = self.names.frames(&Place::new(address, &self.snapshot.parts.modules));
            let said = self.own.entry(address).or_insert_with(|| Said::of(&frames, inner.as_ref()));
            if let Some(frame) = said.what.and_then(|i| frames.get(i)) {
                return Some(self.named(frame.clone(), &site.stack[at + 1..]));
            }
            on_behalf = said.on_behalf.and_then(|i| frames.get(i)).cloned().or(on_behalf);
            inner = frames.last().cloned();
        }
        on_behalf.or_else(|| trim::line(&frames(self.snapshot, site, self.names)).cloned())
    }

    /// A frame without a name, of a library whose symbols were left out, stands for the function with one that is not far
    /// out, if there is one in its module: that says more, and its place in the table is where it is.
    fn named(&mut self, frame: Frame, outer: &[u64]) -> Frame {
        /// Farther out, many things have the same name: it says nothing.
        const FAR: usize = 3;
        if frame.named || frame.module.is_none() {
            return frame;
        }
        for &address in outer.iter().take(FAR) {
            let frames = self.names.frames(&Place::new(address, &self.snapshot.parts.modules));
            let one = frames.iter().find(|f| f.named && trim::says(f, None) == Says::What);
            if let Some(outer) = one.filter(|outer| outer.module == frame.module) {
                return Frame { module: Some(frame.function), ..outer.clone() };
            }
        }
        frame
    }

    /// The number of the group that a site belongs to.
    fn site(&mut self, site: &Site) -> u32 {
        if let By::Site | By::Folded = self.by {
            let all = frames(self.snapshot, site, self.names);
            let line = trim::line(&all);
            let (name, location) =
                (line.map_or(String::new(), |f| f.function.to_string()), line.map_or(String::new(), Frame::location));
            let mut trimmed = trim::trimmed(&all);
            trimmed.extend(site.ending.missing().map(Frame::instead));
            if self.by == By::Site {
                let key = match self.by_number {
                    true => site.number.to_string(),
                    false => all.iter().flat_map(|f| [f.function.to_string(), f.location(), "\n".into()]).collect(),
                };
                return self.numbers.of(key, || Label { name, location, stack: trimmed });
            }
            let folded = trim::folded(trimmed, |a, b| a.function == b.function);
            let key = folded.iter().flat_map(|f| [&f.function, "\n"]).collect();
            return self.numbers.of(key, || Label { name, location, stack: folded });
        }
        let Some(frame) = &self.line(site) else { return self.numbers.of(String::new(), Label::default) };
        let at = frame.location();
        let or = |text: String, other: &str| if text.is_empty() { other.to_string() } else { text };
        let module = || frame.module.as_deref().unwrap_or(if frame.named { "(not Rust)" } else { &frame.function });
        let outside = module().split('+').next().unwrap_or_default();
        let by = self.by;
        let name = match by {
            By::Module => or(path::module(&frame.function), outside),
            By::Crate => or(path::krate(&frame.function), outside),
            By::File => frame.file.as_deref().unwrap_or("(no file)").to_string(),
            _ => frame.function.to_string(),
        };
        let key = if by == By::Line && frame.line.is_some() { at.clone() } else { name.clone() };
        self.numbers.of(key, || {
            let one = matches!(by, By::Line | By::Function);
            Label {
                name,
                location: if one { at } else { String::new() },
                stack: one.then(|| frame.clone()).into_iter().collect(),
            }
        })
    }
}

/// The frame that a stack is put down to, without a snapshot's memory of them; `None` of an empty one. The stack is named no further
/// than that.
pub(super) fn line_of(stack: &[u64], modules: &[super::Module], names: &mut dyn Names) -> Option<Frame> {
    let mut all = Vec::new();
    for &address in stack {
        all.extend_from_slice(&names.frames(&Place::new(address, modules)));
        if trim::has_line(&all) {
            break;
        }
    }
    trim::line(&all).cloned()
}

/// A sentence on how the figures of a snapshot came to be.
pub(crate) fn method(mode: Mode) -> String {
    match mode {
        Mode::Off => "tracking is off: what is shown was tracked before".into(),
        Mode::Exact => "every allocation is tracked".into(),
        Mode::Sampled { mean } => {
            format!("sampled, once in {} on average", crate::units::Bytes(mean as usize))
        }
    }
}
