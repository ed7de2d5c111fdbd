//! A directory for what a test, and the child processes of the test, write.

use std::path::{Path, PathBuf};

/// An empty directory of the test's own, removed at the end.
#[derive(Debug)]
pub struct Dir(PathBuf);

impl Dir {
    /// `name` tells it from those of other tests.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("tenure-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).expect("a directory");
        Dir(dir)
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_string()
    }

    /// The names in it, in order.
    pub fn names(&self) -> Vec<String> {
        names(&self.0)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The names in a directory, in order.
///
/// # Panics
/// If it cannot be read, or a name is not UTF-8.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let mut names: Vec<_> = entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}
