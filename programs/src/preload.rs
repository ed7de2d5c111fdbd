//! The libraries that are preloaded, and how.

use std::path::{Path, PathBuf};

/// With which allocator a program runs.
#[derive(Clone, Debug)]
pub struct Preload {
    /// How it is called in tables.
    pub name: String,
    /// What goes into `LD_PRELOAD`, the first one first.
    pub libraries: Vec<PathBuf>,
    /// Variables that it is asked by.
    pub variables: Vec<(&'static str, String)>,
    /// A program that runs the program.
    pub wrapper: Vec<String>,
}

/// Where Debian keeps libraries for this machine's processor.
const DIRECTORIES: [&str; 3] = [
    if cfg!(target_arch = "x86_64") { "/usr/lib/x86_64-linux-gnu" } else { "/usr/lib/aarch64-linux-gnu" },
    "/usr/lib64",
    "/usr/lib",
];

impl Preload {
    /// Nothing: the program's own allocator, which is the C library's for nearly all.
    pub fn none() -> Preload {
        Preload { name: "none".into(), libraries: vec![], variables: vec![], wrapper: vec![] }
    }

    /// `libtenure_preload.so` at a path, with what `TENURE` is to be.
    pub fn tenure(name: &str, library: &Path, asked: &str) -> Preload {
        Preload {
            name: name.into(),
            libraries: vec![library.into()],
            variables: vec![("TENURE", asked.into())],
            ..Preload::none()
        }
    }

    /// Another allocator of the machine; `None` if it is not there.
    pub fn peer(name: &str) -> Option<Preload> {
        let file = PEERS.iter().find(|peer| peer.0 == name)?.1;
        let library = DIRECTORIES.iter().map(|d| Path::new(d).join(file)).find(|path| path.exists())?;
        Some(Preload { name: name.into(), libraries: vec![library], ..Preload::none() })
    }

    /// heaptrack, which writes what it sees to a file in the current directory, and interprets nothing while the program runs.
    pub fn heaptrack() -> Option<Preload> {
        crate::program::which("heaptrack")?;
        let wrapper = ["heaptrack", "--raw"].map(String::from).to_vec();
        Some(Preload { name: "heaptrack".into(), wrapper, ..Preload::none() })
    }

    /// With one library more, before the others.
    #[must_use]
    pub fn with_first(mut self, library: &Path) -> Preload {
        self.libraries.insert(0, library.into());
        self
    }
}

/// Other allocators, by the names of their files. `glibc` is for programs that bring an allocator of their own.
pub const PEERS: [(&str, &str); 5] = [
    ("glibc", "libc.so.6"),
    ("mimalloc2", "libmimalloc.so.2"),
    ("mimalloc3", "libmimalloc.so.3"),
    ("jemalloc", "libjemalloc.so.2"),
    ("tcmalloc", "libtcmalloc_minimal.so.4"),
];
