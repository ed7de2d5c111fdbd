//! The program and its libraries.

use super::{Code, Module};
use crate::os::modules::{Loaded, each_module};

/// What is loaded now, as far as it holds code. Allocates, but not under the loader's lock.
pub(crate) fn loaded() -> Vec<Module> {
    loaded_with(32, 8 << 10)
}

/// Tries with room for so many modules and bytes of names first.
fn loaded_with(mut modules: usize, mut bytes: usize) -> Vec<Module> {
    loop {
        let mut found = Found {
            modules: Vec::with_capacity(modules),
            code: Vec::with_capacity(modules),
            text: Vec::with_capacity(bytes),
            all: true,
        };
        each_module(&mut |m| found.note(&m));
        if found.all {
            return found.modules();
        }
        // More was loaded than there is room for.
        (modules, bytes) = (modules * 4, bytes * 4);
    }
}

/// What is noted under the loader's lock, where nothing may be allocated.
struct Found {
    /// Base, and how much of `code`, and of `text` for the path and the build id.
    modules: Vec<(u64, usize, usize, usize)>,
    code: Vec<Code>,
    text: Vec<u8>,
    all: bool,
}

impl Found {
    /// Notes a module if there is room, so that nothing is allocated.
    fn note(&mut self, module: &Loaded<'_>) {
        let (build_id, path) = (module.build_id(), module.path());
        let room = |len: usize, capacity: usize, more: usize| capacity - len >= more;
        self.all &= room(self.modules.len(), self.modules.capacity(), 1)
            && room(self.code.len(), self.code.capacity(), module.code().count())
            && room(self.text.len(), self.text.capacity(), path.len() + build_id.len());
        if self.all {
            self.modules.push((module.base() as u64, module.code().count(), path.len(), build_id.len()));
            self.code.extend(module.code().map(|c| Code {
                start: c.start as u64,
                end: c.end as u64,
                file_offset: c.file_offset as u64,
            }));
            self.text.extend_from_slice(path);
            self.text.extend_from_slice(build_id);
        }
    }

    fn modules(&self) -> Vec<Module> {
        let (mut code, mut text) = (&self.code[..], &self.text[..]);
        let mut all = Vec::with_capacity(self.modules.len());
        for &(base, ranges, path, build_id) in &self.modules {
            let (own, rest) = code.split_at(ranges);
            let (path, after) = text.split_at(path);
            let (build_id, after) = after.split_at(build_id);
            (code, text) = (rest, after);
            if own.is_empty() {
                continue;
            }
            let path = match path {
                [] => program(),
                path => String::from_utf8_lossy(path).into_owned(),
            };
            let build_id = build_id.iter().map(|b| format!("{b:02x}")).collect();
            all.push(Module { path, build_id, base, code: own.to_vec() });
        }
        all
    }
}

/// The program's file.
fn program() -> String {
    std::fs::read_link("/proc/self/exe").map_or_else(|_| String::new(), |p| p.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_for_all() {
        assert_eq!(loaded_with(1, 1), loaded());
    }

    #[test]
    fn the_program_and_its_libraries() {
        let modules = loaded();
        let here = loaded as fn() -> Vec<Module> as usize as u64;
        let own: Vec<_> = modules.iter().filter(|m| m.contains(here)).collect();
        let exe = std::env::current_exe().expect("a name");
        assert_eq!(own.iter().map(|m| m.path.as_str()).collect::<Vec<_>>(), [exe.to_str().expect("UTF-8")]);
        assert!(modules.iter().any(|m| m.file_name().starts_with("libc.")), "{modules:?}");
        // The C library of every distribution has one.
        let id = &modules.iter().find(|m| m.file_name().starts_with("libc.")).expect("found above").build_id;
        assert!(id.len() >= 16 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    }
}
