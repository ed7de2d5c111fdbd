//! Which modules of which snapshots are the same.

use crate::snapshot::Module;
use std::collections::HashMap;

/// Numbers for modules, from 1 on. A module has the same one wherever it is loaded, in whatever process: it is told by
/// its path, its build id, and how its code is laid out.
#[derive(Debug, Default)]
pub(super) struct Modules {
    by_path: HashMap<String, Vec<Known>>,
    count: u32,
}

#[derive(Debug)]
struct Known {
    build_id: String,
    code: Vec<(u64, u64)>,
    id: u32,
}

fn layout(module: &Module) -> impl Iterator<Item = (u64, u64)> {
    module.code.iter().map(|c| (c.start.wrapping_sub(module.base), c.end.wrapping_sub(module.base)))
}

impl Modules {
    /// The number of a module that is known.
    pub(super) fn get(&self, module: &Module) -> Option<u32> {
        let known = self.by_path.get(&module.path)?;
        let same = |k: &&Known| k.build_id == module.build_id && k.code.iter().copied().eq(layout(module));
        known.iter().find(same).map(|k| k.id)
    }

    /// The number of a module, which is known from then on.
    pub(super) fn get_or_add(&mut self, module: &Module) -> u32 {
        if let Some(id) = self.get(module) {
            return id;
        }
        self.count += 1;
        let known = Known { build_id: module.build_id.clone(), code: layout(module).collect(), id: self.count };
        self.by_path.entry(module.path.clone()).or_default().push(known);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Code;

    #[test]
    fn the_same_module_elsewhere_is_the_same() {
        let module = |path: &str, id: &str, base, len| Module {
            path: path.into(),
            build_id: id.into(),
            base,
            code: vec![Code { start: base + 0x1000, end: base + 0x1000 + len, file_offset: 0 }],
        };
        let mut all = Modules::default();
        let first = all.get_or_add(&module("/a", "12", 0, 9));
        assert_eq!(all.get(&module("/a", "12", 0x7000, 9)), Some(first), "moved");
        for other in [module("/b", "12", 0, 9), module("/a", "13", 0, 9), module("/a", "12", 0, 8)] {
            assert_eq!(all.get(&other), None);
            assert_ne!(all.get_or_add(&other), first);
        }
    }
}
