//! Addresses become functions and lines: off the hot path, cached, in bounded memory.

mod cache;
#[cfg(feature = "cpp")]
mod cpp;
#[cfg(feature = "symbols")]
mod demangle;
mod display;
#[cfg(feature = "symbols")]
mod dwarf;
#[cfg(feature = "symbols")]
mod elf;
#[cfg(feature = "symbols")]
mod find;
#[cfg(feature = "symbols")]
mod fuel;
#[cfg(feature = "symbols")]
mod lines;
#[cfg(feature = "symbols")]
mod lookup;
#[cfg(not(feature = "symbols"))]
#[path = "no_lookup.rs"]
mod lookup;
mod modules;
#[cfg(feature = "symbols")]
mod qualify;
mod reasons;
#[cfg(feature = "symbols")]
mod symtab;
#[cfg(feature = "symbols")]
mod unit;
#[cfg(feature = "symbols")]
mod units;

use crate::reading::untracked;
use crate::snapshot::{Frame, Module, Names, Place, loaded};
use cache::Cache;
use lookup::Lookup;
use modules::Modules;
use reasons::{Absence, Reasons};
use std::path::PathBuf;
use std::sync::Arc;

/// Names for the addresses of snapshots, remembered from one report to the next.
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
/// **Snapshots of other processes, builds and machines** are named alike: nothing but the module's file is asked, and
/// it is taken only if it is of the same build. It is looked for, in this order,
///
/// 1. where it was loaded from; the program of this process, also if its file is gone or another one by now;
/// 2. in each directory of [`search`](Symbols::search): `DIR/name`, `DIR/name.debug`, and by its build id
///    `DIR/.build-id/xx/yyyy.debug` or `DIR/xx/yyyy.debug`, there also without `.debug`;
/// 3. in `/usr/lib/debug/.build-id`;
///
/// and where it was stripped, the debug file that it names (`.gnu_debuglink`), beside it, in `.debug` beside it, below
/// `/usr/lib/debug`, and in the directories of `search`. Debug information may be compressed with zlib, split off
/// (`.dwo`, `.dwp`), or shared between files by `dwz`. The build id must be the same. A module without one is taken to be
/// the file of its name if code lies in the same places in both, and a note says so.
///
/// Where names are missing, reports show module and offset (`libc.so.6+0x27ab4`) and end with a sentence on why that is
/// and what to do. Names that came with a snapshot ([`export::from_json`](crate::export)) need no files, and look for none.
///
/// **What a file says is not trusted**: a spoiled or hostile one costs names and bounded time, no more; but a compressed
/// section may take as much memory as it says, up to 1 GiB, so do not name snapshots by files of strangers without a limit. And
/// a file that is cut short while it is read ends the process, as every mapped file does: put a new one in its place, as linkers
/// and installers do, and do not write into the old one.
///
/// **Cost**: files are mapped, not read. The first look-up in a module makes a table of its units; each unit that is
/// looked into then takes some milliseconds, and memory in proportion: some 48 MiB for each module, and one unit more; a table
/// of symbols (16 bytes for each function); and what is compressed or split off in full. All that is given back after each report. Further
/// look-ups take some microseconds, and less than one where the answer is remembered. Allocates, untracked; takes the
/// loader's lock. Do not use it in a signal handler.
///
/// **Without the feature `symbols`** there are no names, and reports say so.
#[derive(Debug)]
pub struct Symbols {
    cache: Cache,
    modules: Modules,
    source: Source,
    lookup: Lookup,
    directories: Vec<PathBuf>,
    reasons: Reasons,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The files of modules.
    Files,
    /// Only what the cache was filled with.
    #[cfg_attr(not(feature = "json"), allow(dead_code))]
    Given,
}

/// Bytes that names may take, unless it is said otherwise.
const BYTES: usize = 16 << 20;

/// The number of what lies in no module.
const NOWHERE: u32 = 0;

impl Default for Symbols {
    fn default() -> Self {
        Symbols::new()
    }
}

impl Symbols {
    /// Names from the files of modules, remembered in 16 MiB at most.
    pub fn new() -> Symbols {
        Symbols::with_capacity(BYTES)
    }

    /// Names from the files of modules, remembered in about so many bytes at most. What was not used for longest goes
    /// first.
    pub fn with_capacity(bytes: usize) -> Symbols {
        Symbols::from_source(Source::Files, bytes)
    }

    fn from_source(source: Source, bytes: usize) -> Symbols {
        let (modules, lookup, directories, reasons) = Default::default();
        Symbols { cache: Cache::new(bytes), modules, source, lookup, directories, reasons }
    }

    /// Also looks for files in this directory, after those that were given before: a build's output, or debug files of
    /// a distribution. See [`Symbols`] for the names that are tried there; subdirectories are not searched.
    ///
    /// ```no_run
    /// # fn show(snapshot: &tenure::Snapshot) {
    /// // Taken on another machine, of a program that is stripped there.
    /// let mut symbols = tenure::Symbols::new().search("/builds/shop-1.4.2").search("/builds/debug");
    /// println!("{}", snapshot.top(10, &mut symbols));
    /// # }
    /// ```
    pub fn search(mut self, directory: impl Into<PathBuf>) -> Symbols {
        untracked(|| {
            self.directories.push(directory.into());
            // What came with a snapshot is not looked up anew.
            if self.source != Source::Given {
                self.clear();
            }
        });
        self
    }

    /// Names that came with a snapshot, and no others.
    #[cfg(feature = "json")]
    pub(crate) fn given(modules: Vec<Module>, names: impl IntoIterator<Item = (u64, Vec<Frame>)>) -> Symbols {
        let mut symbols = Symbols::from_source(Source::Given, usize::MAX);
        let ids: Vec<_> = modules.iter().map(|module| symbols.modules.get_or_add(module)).collect();
        let files: Vec<Arc<str>> = modules.iter().map(|module| module.file_name().into()).collect();
        for (address, mut frames) in names {
            let key = match modules.iter().position(|module| module.contains(address)) {
                Some(i) => {
                    frames.iter_mut().for_each(|frame| frame.module = Some(files[i].clone()));
                    (ids[i], address.wrapping_sub(modules[i].base))
                }
                None => (NOWHERE, address),
            };
            symbols.cache.insert(key, frames.into());
        }
        symbols
    }

    /// Bytes that the remembered names take, about.
    pub fn bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Forgets all names; those that came with a snapshot, for good.
    pub fn clear(&mut self) {
        self.cache.clear();
        self.modules = Modules::default();
        self.lookup.finish();
    }

    /// The frames of an address that is not remembered.
    fn look_up(&mut self, id: u32, module: &Module, address: u64) -> Result<Vec<Frame>, Absence> {
        if self.source == Source::Given {
            return Ok(Vec::new());
        }
        let (frames, fault) = self.lookup.frames(id, module, address, &self.directories)?;
        if let Some(fault) = fault {
            self.reasons.fault(module, fault);
        }
        Ok(frames)
    }
}

impl Names for Symbols {
    fn frames(&mut self, place: &Place<'_>) -> Arc<[Frame]> {
        untracked(|| {
            let Some(module) = place.module else {
                return self.cache.get((NOWHERE, place.address)).unwrap_or_else(|| [Frame::unnamed(place)].into());
            };
            let id = match self.source {
                Source::Files => self.modules.get_or_add(module),
                Source::Given => match self.modules.get(module) {
                    Some(id) => id,
                    None => {
                        self.reasons.absent(module, Absence::NotGiven);
                        return [Frame::unnamed(place)].into();
                    }
                },
            };
            // What this process has loaded from a file is most likely still that file's.
            if self.source == Source::Files
                && module.build_id.is_empty()
                && self.reasons.is_first(module)
                && !loaded().contains(module)
            {
                self.reasons.unchecked(module);
            }
            let key = (id, place.address.wrapping_sub(module.base));
            if let Some(frames) = self.cache.get(key) {
                self.reasons.found(module, &frames);
                return frames;
            }
            let mut frames = match self.look_up(id, module, place.address) {
                Ok(frames) => frames,
                // Not remembered: the file may be there the next time.
                Err(absence) => {
                    self.reasons.absent(module, absence);
                    return [Frame::unnamed(place)].into();
                }
            };
            if frames.is_empty() {
                frames.push(Frame::unnamed(place));
            }
            let in_module = |frame| Frame { module: Some(module.file_name().into()), ..frame };
            let frames: Arc<[Frame]> = frames.into_iter().map(|f| self.cache.share(in_module(f))).collect();
            self.reasons.found(module, &frames);
            self.cache.insert(key, frames.clone());
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

/// Programs keep one behind a lock, for all their threads.
const _: () = {
    const fn is_sent<T: Send + Sync>() {}
    is_sent::<Symbols>();
};

#[cfg(all(test, feature = "symbols"))]
mod tests;
