//! Which files to read.

use crate::text::bytes;
use std::io;
use std::path::{Path, PathBuf};

/// What is read of cargo's registry: some hold gigabytes. A path that was asked for is read whole.
const ENOUGH_BYTES: u64 = 256 << 20;

/// Rust files below a root.
pub(crate) struct Sources {
    pub(crate) root: PathBuf,
    pub(crate) files: Vec<Source>,
    /// Folders with a `Cargo.toml`; the root comes first, whether it has one or not.
    pub(crate) packages: Vec<PathBuf>,
}

pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Its number in [`Sources::packages`].
    pub(crate) package: usize,
    bytes: u64,
}

/// The Rust files below a path; without one, those in cargo's registry, or of this repository if it has none.
/// An error is a line for the user.
pub(crate) fn find(path: Option<PathBuf>) -> Result<Sources, String> {
    const DO: &str = "give a folder of Rust sources or a file, or nothing for the crates in cargo's registry";
    if let Some(path) = path {
        return read(&path).map_err(|what| format!("{what}: {DO}"));
    }
    match registry().ok_or("neither CARGO_HOME nor HOME is set".to_string()).and_then(|path| read(&path)) {
        Ok(mut sources) => {
            sources.limit();
            Ok(sources)
        }
        Err(what) => {
            eprintln!("quickstart: {what}: reading this repository's own sources instead");
            read(Path::new(env!("CARGO_MANIFEST_DIR"))).map_err(|what| format!("{what}: {DO}"))
        }
    }
}

fn registry() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let cargo = cargo.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
    Some(cargo.join("registry").join("src"))
}

/// A path as people write it: `~` for the home folder.
pub(crate) fn short(path: &Path) -> String {
    match std::env::home_dir().filter(|home| home.parent().is_some()).map(|home| path.strip_prefix(home)) {
        Some(Ok(rest)) => Path::new("~").join(rest).display().to_string(),
        _ => path.display().to_string(),
    }
}

fn read(root: &Path) -> Result<Sources, String> {
    let shown = short(root);
    let mut sources = Sources { root: root.to_path_buf(), files: Vec::new(), packages: vec![root.to_path_buf()] };
    let outcome = std::fs::metadata(root).and_then(|data| {
        if !data.is_file() {
            return sources.walk(root, 0);
        }
        sources.files.push(Source { path: root.to_path_buf(), package: 0, bytes: data.len() });
        Ok(())
    });
    match outcome {
        Ok(()) if sources.files.is_empty() => Err(format!("{shown} holds no Rust file")),
        Ok(()) => Ok(sources),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Err(format!("{shown} does not exist")),
        Err(why) => Err(format!("{shown} cannot be read ({why})")),
    }
}

impl Sources {
    /// A file's path from its package on.
    pub(crate) fn name(&self, file: usize) -> String {
        let Source { path, package, .. } = &self.files[file];
        let folder = if *package == 0 { Some(self.root.as_path()) } else { self.packages[*package].parent() };
        match folder.and_then(|folder| path.strip_prefix(folder).ok()) {
            Some(name) if !name.as_os_str().is_empty() => name.display().to_string(),
            _ => short(path),
        }
    }

    pub(crate) fn package_name(&self, package: usize) -> String {
        let folder = &self.packages[package];
        folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// In the order of names. Folders that cannot be read are passed over, but for the first. Links are not followed.
    fn walk(&mut self, folder: &Path, package: usize) -> io::Result<()> {
        let mut children = std::fs::read_dir(folder)?.flatten().collect::<Vec<_>>();
        children.sort_by_key(|child| child.file_name());
        let mut package = package;
        if folder != self.root && children.iter().any(|child| child.file_name() == "Cargo.toml") {
            package = self.packages.len();
            self.packages.push(folder.to_path_buf());
        }
        for child in children {
            let (path, Ok(kind)) = (child.path(), child.file_type()) else { continue };
            let hidden = child.file_name().as_encoded_bytes().starts_with(b".");
            // What cargo builds has this mark; a module may well be called `target`.
            if kind.is_dir() && !hidden && !path.join("CACHEDIR.TAG").exists() {
                let _ = self.walk(&path, package);
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs") {
                let bytes = child.metadata().map_or(0, |data| data.len());
                self.files.push(Source { path, package, bytes });
            }
        }
        Ok(())
    }

    /// Leaves out what is more than enough.
    fn limit(&mut self) {
        let (all, mut sum) = (self.bytes(), 0);
        self.files.retain(|file| {
            sum += file.bytes;
            sum <= ENOUGH_BYTES
        });
        if sum > ENOUGH_BYTES {
            let part = bytes(self.bytes());
            eprintln!("quickstart: reading {part} of the {} there; give the path to read all of it", bytes(all));
        }
    }
}
