//! What the other modules need.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// A directory that goes with the test.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Directory {
        let path = env::temp_dir().join(format!("tenure-consumers-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A browser may still write into it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The first of these programs that is installed; says so if none is.
pub(crate) fn find(programs: &[&'static str]) -> Option<&'static str> {
    let found = programs.iter().find(|p| Command::new(p).arg("--version").output().is_ok_and(|o| o.status.success()));
    if found.is_none() {
        println!("skipped: {}, because it is not installed", programs[0]);
    }
    found.copied()
}

/// A number with commas between its thousands.
pub(crate) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).expect("digits")).collect();
    groups.join(",")
}
