//! A directory that goes when it is no longer needed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

/// A new directory, removed with all that is in it when this value is dropped.
#[derive(Debug)]
pub struct Place(PathBuf);

impl Place {
    /// In the directory for temporary files.
    pub fn new(name: &str) -> io::Result<Place> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed); // Relaxed: only that no two are equal
        let path = std::env::temp_dir().join(format!("tenure-programs-{}-{number}-{name}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Place(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A name in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Leaves it there, for somebody to look into.
    pub fn keep(self) -> PathBuf {
        let path = self.0.clone();
        std::mem::forget(self);
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed now, the system removes some day.
        _ = fs::remove_dir_all(&self.0);
    }
}
