//! The programs: each of a habit that the others have not.

mod hard;
mod languages;
mod redis;
mod tools;

use crate::program::{Need, Program, Size};
use std::io::{self, Error};
use std::path::Path;
use std::process::Command;

/// All of them.
pub const ALL: &[Program] = &[
    languages::PYTHON,
    languages::PYTHON_MALLOC,
    languages::PYTHON_SUITE,
    languages::PYTHON_SUITE_MALLOC,
    languages::PERL,
    languages::NODE,
    redis::REDIS,
    tools::SQLITE,
    tools::GIT,
    tools::CXX,
    tools::C,
    tools::GHOSTSCRIPT,
    tools::XML,
    tools::XZ,
    tools::ZSTD,
    tools::PIGZ,
    tools::SORT,
    tools::SHELL,
    tools::STRESS,
    hard::CONTAINERS,
    hard::FORKS,
    hard::LIMITED,
    hard::LOADS,
];

const fn need(what: &'static str, package: &'static str) -> Need {
    Need { what, package }
}

/// No input.
fn nothing(_: &Path, _: Size) -> io::Result<()> {
    Ok(())
}

/// Compiles what a program of ours is made of.
pub(crate) fn compile(words: &[&str], directory: &Path) -> io::Result<()> {
    let output = Command::new(words[0]).args(&words[1..]).current_dir(directory).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Error::other(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr)))),
    }
}
