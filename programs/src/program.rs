//! What a program needs, and how it is prepared and run once.

use crate::place::Place;
use crate::preload::Preload;
use crate::session::{Outcome, PATH, Session};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// About a second: for tests.
    Quick,
    /// A few seconds: for measurements.
    Full,
}

/// Something that is installed, or not.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// A program, or a file by its whole path; a `*` in the path stands for any text without a slash.
    pub what: &'static str,
    /// Debian's package of it.
    pub package: &'static str,
}

/// A program with its work.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name in tests and tables.
    pub name: &'static str,
    /// What it needs.
    pub needs: &'static [Need],
    /// Whether it allocates the same in each run, all in processes that run one after the other: then a tool that watches one
    /// process, in a run of its own, must count the same.
    pub repeats: bool,
    /// Whether it brings an allocator of its own, which it uses if nothing is preloaded.
    pub own_allocator: bool,
    /// Makes what it works on, in a directory that each run sees as `input`.
    pub prepare: fn(&Path, Size) -> io::Result<()>,
    /// Does the work.
    pub run: fn(&mut Session) -> io::Result<()>,
}

/// A program whose input is there.
#[derive(Debug)]
pub struct Prepared {
    /// Which.
    pub program: Program,
    size: Size,
    input: Place,
}

impl Program {
    /// What is missing, and why nothing can be run without it.
    pub fn missing(&self) -> Option<String> {
        let missing = self.needs.iter().find(|need| !need.is_there())?;
        Some(format!(
            "skipped: {}, because there is no {} (Debian's package is {})",
            self.name, missing.what, missing.package
        ))
    }

    /// Makes its input.
    pub fn prepare(&self, size: Size) -> io::Result<Prepared> {
        let input = Place::new(self.name)?;
        (self.prepare)(input.path(), size)?;
        Ok(Prepared { program: *self, size, input })
    }
}

impl Prepared {
    /// Runs it once. Each of its processes may take so long.
    pub fn run(&self, preload: &Preload, patience: Duration) -> io::Result<Outcome> {
        self.run_with(preload, patience, &[])
    }

    /// The same with variables for all of its processes.
    pub fn run_with(&self, preload: &Preload, patience: Duration, variables: &[(&str, &str)]) -> io::Result<Outcome> {
        let mut session = Session::new(self.input.path(), preload, self.size, patience)?;
        for (name, value) in variables {
            session.set(name, *value);
        }
        (self.program.run)(&mut session)?;
        session.finish()
    }
}

impl Need {
    fn is_there(&self) -> bool {
        match self.what.split_once('*') {
            _ if !self.what.starts_with('/') => which(self.what).is_some(),
            None => Path::new(self.what).exists(),
            Some((before, after)) => {
                let (directory, start) = before.rsplit_once('/').unwrap_or(("", before));
                let Ok(entries) = std::fs::read_dir(format!("{directory}/")) else { return false };
                entries.flatten().any(|entry| {
                    entry.file_name().to_string_lossy().starts_with(start)
                        && Path::new(&format!("{}{}", entry.path().display(), after)).exists()
                })
            }
        }
    }
}

/// Where a program is.
pub fn which(name: &str) -> Option<PathBuf> {
    PATH.split(':').map(|directory| Path::new(directory).join(name)).find(|path| path.is_file())
}
