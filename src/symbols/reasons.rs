//! Why names are missing, and what helps.

use crate::snapshot::{DELETED, Frame, Module, Place};
use std::collections::BTreeMap;

/// What was found in each module since the last report.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    modules: BTreeMap<(String, u64), Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// Addresses with a name and a line, with a name only, and with neither.
    lines: usize,
    names: usize,
    nothing: usize,
    elsewhere: bool,
    late: bool,
}

impl Reasons {
    fn of(&mut self, module: &Module) -> &mut Found {
        self.modules.entry((module.path.clone(), module.base)).or_default()
    }

    /// Whether nothing was noted of the module yet.
    pub(super) fn is_first(&self, module: &Module) -> bool {
        !self.modules.contains_key(&(module.path.clone(), module.base))
    }

    /// The module is not, or not at the same addresses, in this process.
    pub(super) fn elsewhere(&mut self, module: &Module) {
        self.of(module).elsewhere = true;
    }

    /// The module was loaded after the first report.
    pub(super) fn late(&mut self, module: &Module) {
        self.of(module).late = true;
    }

    pub(super) fn found(&mut self, place: &Place<'_>, frames: &[Frame]) {
        let Some(module) = place.module else { return };
        let found = self.of(module);
        let named = frames.iter().any(|f| f.named);
        let to = if named && frames.iter().any(|f| f.line.is_some()) {
            &mut found.lines
        } else if named {
            &mut found.names
        } else {
            &mut found.nothing
        };
        *to += 1;
    }

    /// A sentence for each module that lacks something, and forgets what was noted. Libraries of the system have no
    /// lines on most machines, so only the program is missed them of.
    pub(super) fn sentences(&mut self, given: bool) -> Vec<String> {
        let modules = std::mem::take(&mut self.modules);
        let any = modules.values().any(|m| m.nothing > 0 || m.elsewhere || m.late);
        if !cfg!(feature = "symbols") && !given {
            let text = "no names: this build of tenure is without its feature `symbols`";
            return any.then(|| text.to_string()).into_iter().collect();
        }
        modules.iter().filter_map(|((path, _), found)| sentence(path, found)).collect()
    }
}

fn sentence(path: &str, found: &Found) -> Option<String> {
    let rust = "debug = \"line-tables-only\" in the profile, and no `strip`";
    let Found { lines, names, nothing, elsewhere, late } = *found;
    if late {
        return Some(format!(
            "no names from {path}: it was loaded after the first report, when the list of files was read"
        ));
    }
    if elsewhere {
        return Some(format!("no names from {path}: it is not loaded, or not at the same addresses, in this process"));
    }
    if nothing > lines + names {
        let gone = path.ends_with(DELETED) || path.starts_with('/') && !std::path::Path::new(path).exists();
        return Some(match gone {
            true => format!("no names from {path}: the file was removed or replaced since it was loaded"),
            // The kernel's own, in every process.
            false if path.starts_with("linux-vdso") => return None,
            false => format!("no names from {path}: it was stripped; build it with {rust}"),
        });
    }
    let system = ["/lib", "/usr/lib"].iter().any(|p| path.starts_with(p));
    (names > lines && !system).then(|| format!("no lines from {path}: build it with {rust}"))
}
