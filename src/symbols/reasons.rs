//! Why names are missing, and what helps.

use crate::snapshot::{Frame, Module};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Why a module has no file to look names up in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "symbols"), allow(dead_code))]
pub(super) enum Absence {
    /// The names came with a snapshot, and it is none of that snapshot's modules.
    NotGiven,
    /// The kernel's own code, which is in no file.
    Kernel,
    /// It is not there.
    Missing,
    /// It is there, and cannot be read, for this reason.
    Unreadable(PathBuf, String),
    /// It is that of another build, which has this build id.
    Other(PathBuf, String),
}

/// What was found in each module since the last report.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// By path and build id.
    modules: BTreeMap<(String, String), Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// Addresses with a name and a line, with a name only, and with neither.
    lines: usize,
    names: usize,
    nothing: usize,
    absence: Option<Absence>,
    fault: Option<String>,
    /// Nothing tells whether the file is the module's.
    unchecked: bool,
}

impl Reasons {
    fn of(&mut self, module: &Module) -> &mut Found {
        self.modules.entry((module.path.clone(), module.build_id.clone())).or_default()
    }

    /// Whether nothing was noted of the module yet.
    pub(super) fn is_first(&self, module: &Module) -> bool {
        !self.modules.contains_key(&(module.path.clone(), module.build_id.clone()))
    }

    pub(super) fn absent(&mut self, module: &Module, absence: Absence) {
        self.of(module).absence = Some(absence);
    }

    pub(super) fn fault(&mut self, module: &Module, fault: String) {
        self.of(module).fault = Some(fault);
    }

    pub(super) fn unchecked(&mut self, module: &Module) {
        self.of(module).unchecked = true;
    }

    pub(super) fn found(&mut self, module: &Module, frames: &[Frame]) {
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
        let any = modules.values().any(|m| m.nothing > 0 || m.absence.is_some());
        if !cfg!(feature = "symbols") && !given {
            let text = "no names: this build of tenure is without its feature `symbols`";
            return any.then(|| text.to_string()).into_iter().collect();
        }
        modules.iter().filter_map(|((path, build_id), found)| sentence(path, build_id, found)).collect()
    }
}

fn sentence(path: &str, build_id: &str, found: &Found) -> Option<String> {
    let build = "build it with debug = \"line-tables-only\" in the profile (in C and C++: -g), and no `strip`";
    let installed = "its distribution's package with debug information (-dbg, -dbgsym, -debuginfo) has them";
    let system =
        ["/bin", "/lib", "/sbin", "/usr/"].iter().any(|p| path.starts_with(p)) && !path.starts_with("/usr/local/");
    let help = if system { installed } else { build };
    let Found { lines, names, nothing, absence, fault, unchecked } = found;
    if let Some(absence) = absence {
        return Some(format!("no names from {path}: {}", why(absence, build_id)));
    }
    if *nothing > lines + names {
        return Some(match fault {
            Some(fault) => format!("no names from {path}: {fault}"),
            None => format!("no names from {path}: it was stripped; {help}"),
        });
    }
    match fault {
        Some(fault) if names > lines => Some(format!("no lines from {path}: {fault}")),
        None if names > lines && !system => Some(format!("no lines from {path}: {build}")),
        _ if *unchecked => Some(format!(
            "names from {path} may be wrong: it has no build id, and only where its code lies was compared with the \
             file; link it with --build-id"
        )),
        _ => None,
    }
}

fn why(absence: &Absence, build_id: &str) -> String {
    let wanted = if build_id.is_empty() { String::new() } else { format!(", of build id {build_id},") };
    let search =
        format!("give a directory that holds it, or its debug file{wanted} to `Symbols::search` or `tenure --search`");
    match absence {
        Absence::NotGiven => "it is no module of the snapshot that the names came with".into(),
        Absence::Kernel => "it is the kernel's own code, and in no file".into(),
        Absence::Missing => format!("the file is not here, or was removed since; {search}"),
        Absence::Unreadable(file, why) => format!("{} is not read: {why}; {search}", file.display()),
        Absence::Other(file, _) if build_id.is_empty() => {
            format!("{} is of another build, whose code lies elsewhere; {search}", file.display())
        }
        Absence::Other(file, found) => {
            let found = if found.is_empty() { "no build id" } else { found };
            format!("{} is of another build: it has {found}; {search}", file.display())
        }
    }
}
