//! Rust files to parse: sources of crates that building this package has put into cargo's registry.

use std::fs;
use std::path::{Path, PathBuf};

/// Chosen because the lock file pins them, so that every machine parses the same text.
const CRATES: [&str; 4] = ["syn-2.", "serde_core-1.", "serde_json-1.", "criterion-0."];

/// Enough for a parse of about a quarter of a second.
const ENOUGH_BYTES: u64 = 3 << 20;

/// A list that depends only on which crates are there; this workspace's own sources where none is.
pub fn choose() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for krate in registry_crates() {
        rust_files(&krate, &mut files);
    }
    if files.is_empty() {
        rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut files);
    }
    let mut bytes = 0;
    files.retain(|file| {
        let size = fs::metadata(file).map_or(0, |data| data.len());
        let wanted = bytes < ENOUGH_BYTES;
        bytes += size;
        wanted
    });
    files
}

fn registry_crates() -> Vec<PathBuf> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_default();
    let mut crates: Vec<PathBuf> = children(&cargo_home.join("registry/src"))
        .iter()
        .flat_map(|index| children(index))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            CRATES.iter().any(|prefix| name.starts_with(prefix))
        })
        .collect();
    // By name alone: the index's folder in front of it has a hash in its name.
    crates.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    crates.dedup_by(|a, b| a.file_name() == b.file_name());
    crates
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in children(folder) {
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What is in a folder, in the order of names; nothing if it cannot be read.
fn children(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
