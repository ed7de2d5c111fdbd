//! The program and its libraries.

use super::{Code, Module};
use crate::os::modules::{Loaded, each_module, program_path};

/// What is loaded now, as far as it holds code. Allocates, but not under the loader's lock.
pub(crate) fn loaded() -> Vec<Module> {
    loaded_with(32, 8 << 10)
}

/// Tries with room for so many modules and bytes of names first.
fn loaded_with(mut modules: usize, mut bytes: usize) -> Vec<Module> {
    loop {
        let (mut each, mut code) = (vec![Noted::default(); modules], vec![NO_CODE; modules]);
        let mut text = vec![0; bytes];
        let mut found = Found::new(&mut each, &mut code, &mut text);
        found.look();
        if found.all {
            let mut all = Vec::new();
            found.each(|path, build_id, base, code| {
                let path = String::from_utf8_lossy(path).into_owned();
                let build_id = build_id.iter().map(|b| format!("{b:02x}")).collect();
                all.push(Module { path, build_id, base, code: code.to_vec() });
            });
            return all;
        }
        // More was loaded than there is room for.
        (modules, bytes) = (modules * 4, bytes * 4);
    }
}

const NO_CODE: Code = Code { start: 0, end: 0, file_offset: 0 };

/// What is loaded, noted in memory of whoever asks: under the loader's lock nothing may be allocated.
pub(crate) struct Found<'a> {
    modules: &'a mut [Noted],
    code: &'a mut [Code],
    text: &'a mut [u8],
    used: Noted,
    /// How many modules were noted.
    n: usize,
    /// Whether there was room for all.
    all: bool,
}

/// The base of a module, and how much of the code and of the text it has.
#[derive(Clone, Copy, Default)]
pub(crate) struct Noted {
    base: u64,
    ranges: usize,
    path: usize,
    build_id: usize,
}

impl<'a> Found<'a> {
    pub(crate) fn new(modules: &'a mut [Noted], code: &'a mut [Code], text: &'a mut [u8]) -> Self {
        Found { modules, code, text, used: Noted::default(), n: 0, all: true }
    }

    /// Notes what is loaded and holds code, as far as there is room. Takes the loader's lock; does not allocate.
    pub(crate) fn look(&mut self) {
        each_module(&mut |m| self.note(&m));
    }

    fn note(&mut self, module: &Loaded<'_>) {
        let (build_id, ranges) = (module.build_id(), module.code().count());
        let at = self.used.path;
        let (Some(code), Some(text)) = (self.code.get_mut(self.used.ranges..), self.text.get_mut(at..)) else { return };
        let path = match module.path() {
            [] => program_path(text),
            path => copy(path, text),
        };
        let id = path.and_then(|path| copy(build_id, &mut text[path..]));
        match (self.modules.get_mut(self.n), path, id) {
            _ if ranges == 0 => (),
            (Some(free), Some(path), Some(build_id)) if ranges <= code.len() => {
                for (free, c) in code.iter_mut().zip(module.code()) {
                    *free = Code { start: c.start as u64, end: c.end as u64, file_offset: c.file_offset as u64 };
                }
                *free = Noted { base: module.base() as u64, ranges, path, build_id };
                self.n += 1;
                self.used.ranges += ranges;
                self.used.path += path + build_id;
            }
            _ => self.all = false,
        }
    }

    /// Gives `f` the path, build id, base and code of each.
    pub(crate) fn each(&self, mut f: impl FnMut(&[u8], &[u8], u64, &[Code])) {
        let (mut code, mut text) = (&self.code[..], &self.text[..]);
        for m in &self.modules[..self.n] {
            let (own, rest) = code.split_at(m.ranges);
            let (path, after) = text.split_at(m.path);
            let (build_id, after) = after.split_at(m.build_id);
            (code, text) = (rest, after);
            f(path, build_id, m.base, own);
        }
    }
}

/// How many bytes were copied; `None` if there is no room.
fn copy(bytes: &[u8], to: &mut [u8]) -> Option<usize> {
    to.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(bytes.len())
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
