//! Which files hold the names of a module: the one that was loaded, or another copy of the same build.

use super::elf::Elf;
use super::reasons::Absence;
use crate::snapshot::{DELETED, Module};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files of a module.
#[derive(Debug)]
pub(super) struct Files {
    /// Each is the module's, by its build id. The first has most to say.
    pub(super) all: Vec<Arc<Elf>>,
    /// What its debug information shares with that of other files.
    pub(super) shared: Option<Arc<Elf>>,
}

const DEBUG_FILES: &str = "/usr/lib/debug";

/// What is compared with files.
struct Wanted<'a> {
    module: &'a Module,
    found: Vec<Arc<Elf>>,
    absence: Absence,
}

/// Looks for the files of a module: where it was loaded from, in the given directories, and where the system keeps debug
/// files. `is_program`: it is the program of this process, which is there even if its file is not.
pub(super) fn find(module: &Module, directories: &[PathBuf], is_program: bool) -> Result<Files, Absence> {
    if module.path.starts_with("linux-vdso") || module.path.starts_with("linux-gate") {
        return Err(Absence::Kernel);
    }
    let mut wanted = Wanted { module, found: Vec::new(), absence: Absence::Missing };
    let path = Path::new(module.path.strip_suffix(DELETED).unwrap_or(&module.path));
    if is_program {
        wanted.look(Path::new("/proc/self/exe"));
    }
    // A relative path would be one of this process, not of the module's.
    if !wanted.is_complete() && path.is_absolute() {
        wanted.look(path);
    }
    let name = path.file_name().map(Path::new).unwrap_or(path);
    for directory in directories {
        wanted.look(&directory.join(name));
        wanted.look(&with_suffix(&directory.join(name), ".debug"));
    }
    let system = PathBuf::from(DEBUG_FILES);
    for directory in directories.iter().chain([&system]) {
        by_build_id(directory, &module.build_id).iter().for_each(|path| wanted.look(path));
    }
    wanted.follow_link(path, directories);
    // What has debug information before what only names functions.
    wanted.found.sort_by_key(|elf| !elf.has_debug_info());
    match wanted.found.first() {
        None => Err(wanted.absence),
        Some(first) => {
            let shared = first.has_debug_info().then(|| shared(first, directories)).flatten();
            Ok(Files { all: wanted.found, shared })
        }
    }
}

impl Wanted<'_> {
    fn is_complete(&self) -> bool {
        self.found.iter().any(|elf| elf.has_debug_info())
    }

    /// Takes a file if it is the module's.
    fn look(&mut self, path: &Path) {
        if self.is_complete() {
            return;
        }
        let elf = match Elf::open(path) {
            Ok(elf) => elf,
            Err(why) => {
                if self.absence == Absence::Missing && path.exists() {
                    self.absence = Absence::Unreadable(path.into(), why);
                }
                return;
            }
        };
        if self.is_its(&elf) {
            self.found.push(Arc::new(elf));
        } else if !matches!(self.absence, Absence::Other(..)) {
            self.absence = Absence::Other(path.into(), elf.build_id);
        }
    }

    /// Where there are no build ids, code must at least lie in the same places.
    fn is_its(&self, elf: &Elf) -> bool {
        if !self.module.build_id.is_empty() {
            return elf.build_id == self.module.build_id;
        }
        let base = self.module.base;
        let code = self.module.code.iter().map(|c| (c.start.wrapping_sub(base), c.end.wrapping_sub(base)));
        elf.code.iter().copied().eq(code)
    }

    /// Looks for the file that a stripped one names.
    fn follow_link(&mut self, path: &Path, directories: &[PathBuf]) {
        if self.is_complete() {
            return;
        }
        let links = self.found.iter().filter_map(|elf| elf.debug_link().map(|(name, sum)| (name.to_owned(), sum)));
        for (name, sum) in links.collect::<Vec<_>>() {
            let here = path.parent().map(|p| p.canonicalize().unwrap_or_else(|_| p.into())).unwrap_or_default();
            let system = Path::new(DEBUG_FILES).join(here.strip_prefix("/").unwrap_or(&here));
            let places = [here.join(".debug"), here, system];
            for directory in places.iter().chain(directories) {
                let file = directory.join(&name);
                // Without a build id the checksum tells whether it is the right one.
                if !self.module.build_id.is_empty() {
                    self.look(&file);
                } else if let Ok(elf) = Elf::open(&file)
                    && !self.is_complete()
                    && elf.has_checksum(sum)
                {
                    self.found.push(Arc::new(elf));
                }
            }
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Where a directory of debug files keeps those of a build: by the first byte of its id, and the rest.
fn by_build_id(directory: &Path, id: &str) -> Vec<PathBuf> {
    // Of a module that came with a file, this may be any text.
    if id.len() < 4 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Vec::new();
    }
    let (first, rest) = id.split_at(2);
    let below = |directory: PathBuf| {
        let file = directory.join(first).join(rest);
        [with_suffix(&file, ".debug"), file]
    };
    below(directory.join(".build-id")).into_iter().chain(below(directory.into())).collect()
}

/// What several debug files share (`dwz`).
fn shared(elf: &Elf, directories: &[PathBuf]) -> Option<Arc<Elf>> {
    let (path, id) = elf.shared_link()?;
    let beside = elf.path.parent().map(|p| p.join(path));
    let system = PathBuf::from(DEBUG_FILES);
    let known = directories.iter().chain([&system]).flat_map(|directory| {
        let by_name = path.file_name().map(|name| directory.join(".dwz").join(name));
        by_build_id(directory, &id).into_iter().chain(by_name)
    });
    let mut all = beside.into_iter().chain(known).filter_map(|path| Elf::open(&path).ok());
    all.find(|elf| elf.build_id == id && !id.is_empty()).map(Arc::new)
}
