//! The program and its libraries.

use super::{Code, Module};
use crate::os::modules::each_module;

/// What is loaded now, as far as it holds code. Allocates, but not under the loader's lock.
pub(crate) fn loaded() -> Vec<Module> {
    let (mut most, mut bytes) = (32, 8 << 10);
    loop {
        let mut found = Found {
            modules: Vec::with_capacity(most),
            code: Vec::with_capacity(most),
            text: Vec::with_capacity(bytes),
            all: true,
        };
        each_module(&mut |m| {
            let (code, build_id, path) = (m.code().count(), m.build_id(), m.path());
            let room = |len: usize, capacity: usize, more: usize| capacity - len >= more;
            if !room(found.modules.len(), found.modules.capacity(), 1)
                || !room(found.code.len(), found.code.capacity(), code)
                || !room(found.text.len(), found.text.capacity(), path.len() + build_id.len())
            {
                found.all = false;
                return;
            }
            found.modules.push((m.base() as u64, code, path.len(), build_id.len()));
            let range = |c: crate::os::modules::Code| Code {
                start: c.start as u64,
                end: c.end as u64,
                file_offset: c.file_offset as u64,
            };
            found.code.extend(m.code().map(range));
            found.text.extend_from_slice(path);
            found.text.extend_from_slice(build_id);
        });
        if found.all {
            return found.modules();
        }
        // More was loaded than there is room for: again, with room for four times as much.
        (most, bytes) = (most * 4, bytes * 4);
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
