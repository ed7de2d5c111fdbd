//! Addresses become functions and lines: off the hot path, cached, in bounded memory.

mod display;
mod lookup;
#[cfg(feature = "symbols")]
mod qualify;
mod reasons;
#[cfg(feature = "symbols")]
mod symtab;

use crate::reading::untracked;
use crate::snapshot::{Frame, Module, Names, Place, loaded};
use lookup::Lookup;
use reasons::Reasons;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Names for the addresses of a snapshot, remembered from one report to the next.
///
/// An address is looked up in the debug information of its module's file, at the address itself (snapshots hold
/// addresses within calls), with every inlined call. A program needs line tables for that:
///
/// ```toml
/// [profile.release]
/// debug = "line-tables-only"
/// ```
///
/// Such tables name functions without their paths. The path of a function that was not inlined is read from the symbol
/// table, so leave that in (no `strip`); that of an inlined one is put together from its file's, without its type:
/// `alloc::vec::push`. With `debug = 1` (or `true`) they are whole.
///
/// Where names are missing, reports show module and offset (`libc.so.6+0x27ab4`) and end with a sentence on why that is
/// and what to set. A snapshot of another process is named only as far as the same modules lie at the same addresses
/// here; [`export::from_json`](crate::export) brings its own names along.
///
/// **Cost**: the first look-up in a module reads its debug information, which takes from tens of milliseconds to
/// seconds, and memory in proportion; that is given back after each report. Further ones take some microseconds, and
/// less than one where the answer is remembered. Allocates, untracked; takes the loader's lock and that of the
/// `backtrace` crate. Do not use it in a signal handler.
///
/// **Without the feature `symbols`** there are no names, and reports say so.
#[derive(Debug)]
pub struct Symbols {
    cache: Cache,
    /// The modules that addresses can be looked up in.
    modules: Vec<Module>,
    source: Source,
    lookup: Lookup,
    reasons: Reasons,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// This process.
    Here,
    /// Only what the cache was filled with.
    #[cfg_attr(not(feature = "json"), allow(dead_code))]
    Given,
}

/// Bytes that names may take, unless it is said otherwise.
const BYTES: usize = 16 << 20;

impl Default for Symbols {
    fn default() -> Self {
        Symbols::new()
    }
}

impl Symbols {
    /// Names from this process, remembered in 16 MiB at most.
    pub fn new() -> Symbols {
        Symbols::with_capacity(BYTES)
    }

    /// Names from this process, remembered in about so many bytes at most. What was not used for longest goes first.
    pub fn with_capacity(bytes: usize) -> Symbols {
        let modules = untracked(loaded);
        Symbols {
            cache: Cache::new(bytes),
            modules,
            source: Source::Here,
            lookup: Lookup::default(),
            reasons: Reasons::default(),
        }
    }

    /// Names that came with a snapshot, and no others.
    #[cfg(feature = "json")]
    pub(crate) fn given(modules: Vec<Module>, names: impl IntoIterator<Item = (u64, Vec<Frame>)>) -> Symbols {
        let mut cache = Cache::new(usize::MAX);
        names.into_iter().for_each(|(address, frames)| cache.insert(address, frames.into()));
        Symbols { cache, modules, source: Source::Given, lookup: Lookup::default(), reasons: Reasons::default() }
    }

    /// Bytes that the remembered names take, about.
    pub fn bytes(&self) -> usize {
        self.cache.young_bytes + self.cache.old_bytes
    }

    /// Forgets all names.
    pub fn clear(&mut self) {
        self.cache = Cache::new(self.cache.most);
    }

    /// Whether a module of a snapshot is the same here.
    fn knows(&mut self, module: &Module) -> bool {
        if self.modules.contains(module) {
            return true;
        }
        if self.source == Source::Here && self.reasons.is_first(module) {
            // It may have been loaded since; and where it lies now, something else may have been.
            self.modules = loaded();
            self.clear();
        }
        self.modules.contains(module)
    }
}

impl Names for Symbols {
    fn frames(&mut self, place: &Place<'_>) -> Arc<[Frame]> {
        untracked(|| {
            let known = match place.module {
                Some(module) if !self.knows(module) => {
                    self.reasons.elsewhere(module);
                    return [Frame::unnamed(place)].into();
                }
                Some(module) if self.source == Source::Here && Lookup::is_late(module) => {
                    self.reasons.late(module);
                    return [Frame::unnamed(place)].into();
                }
                module => module.is_some(),
            };
            if let Some(frames) = self.cache.get(place.address) {
                self.reasons.found(place, &frames);
                return frames;
            }
            let mut frames = match self.source {
                Source::Here if known => self.lookup.frames(place),
                _ => Vec::new(),
            };
            if frames.is_empty() {
                frames.push(Frame::unnamed(place));
            }
            let frames: Arc<[Frame]> = frames.into_iter().map(|f| self.cache.share(f)).collect();
            self.reasons.found(place, &frames);
            self.cache.insert(place.address, frames.clone());
            frames
        })
    }

    fn finish(&mut self) {
        untracked(|| self.lookup.finish());
    }

    fn notes(&mut self) -> Vec<String> {
        self.reasons.sentences(self.source == Source::Given)
    }
}

/// Names by address, in two halves: what is used moves to the young one, and when that is full it becomes the old one,
/// which goes.
#[derive(Debug)]
struct Cache {
    most: usize,
    young: HashMap<u64, Arc<[Frame]>>,
    old: HashMap<u64, Arc<[Frame]>>,
    young_bytes: usize,
    old_bytes: usize,
    /// Functions and files, each once.
    texts: HashSet<Arc<str>>,
}

impl Cache {
    fn new(most: usize) -> Cache {
        let (young, old, texts) = Default::default();
        Cache { most, young, old, young_bytes: 0, old_bytes: 0, texts }
    }

    fn get(&mut self, address: u64) -> Option<Arc<[Frame]>> {
        if let Some(frames) = self.young.get(&address) {
            return Some(frames.clone());
        }
        let frames = self.old.remove(&address)?;
        self.old_bytes -= cost(&frames).min(self.old_bytes);
        self.insert(address, frames.clone());
        Some(frames)
    }

    fn insert(&mut self, address: u64, frames: Arc<[Frame]>) {
        self.young_bytes += cost(&frames);
        self.young.insert(address, frames);
        if self.young_bytes > self.most / 2 {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
            self.texts.retain(|t| Arc::strong_count(t) > 1);
        }
    }

    /// A frame whose texts are those of earlier ones, where they are equal.
    fn share(&mut self, mut frame: Frame) -> Frame {
        let mut one = |text: &mut Arc<str>| match self.texts.get(&**text) {
            Some(known) => *text = known.clone(),
            None => _ = self.texts.insert(text.clone()),
        };
        one(&mut frame.function);
        frame.file.iter_mut().for_each(one);
        frame
    }
}

/// Bytes that an entry takes; its texts in full, though others may share them.
fn cost(frames: &[Frame]) -> usize {
    let texts = |f: &Frame| size_of::<Frame>() + f.function.len() + f.file.as_ref().map_or(0, |file| file.len());
    64 + frames.iter().map(texts).sum::<usize>()
}

#[cfg(all(test, feature = "symbols"))]
mod tests;
