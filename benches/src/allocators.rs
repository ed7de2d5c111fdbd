//! Who is compared, and where its worker binary is.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An allocator of the comparison.
#[derive(Debug)]
pub struct Allocator {
    /// Its name in commands and tables.
    pub name: &'static str,
    /// The crate whose version the lock file names.
    pub krate: &'static str,
    /// What must be built for it.
    pub needs: Needs,
    /// Puts neighbouring free blocks together, whatever their sizes: refills what was freed at random with ease,
    /// and pays for it with time. Not size-classed.
    pub coalesces: bool,
    /// Runs only if it is named: one lock for everything makes its rows with many threads last ten times longer
    /// than all others together.
    pub by_name_only: bool,
}

/// The feature behind which an allocator stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// None: always there.
    Nothing,
    /// `rust-peers`.
    Rust,
    /// `c-peers`.
    C,
    /// `c-peers`, and a build of its own.
    OwnBuild,
}

/// The allocator that all others are peers of.
pub const SUBJECT: &str = "tenure";

/// The peer that the second geometric mean is against.
pub const REFERENCE: &str = "mimalloc-v2";

const fn peer(name: &'static str, krate: &'static str, needs: Needs) -> Allocator {
    Allocator { name, krate, needs, coalesces: false, by_name_only: false }
}

const fn coalescing(name: &'static str, krate: &'static str, needs: Needs) -> Allocator {
    Allocator { name, krate, needs, coalesces: true, by_name_only: false }
}

/// All of them, in the order of the columns.
pub const ALLOCATORS: &[Allocator] = &[
    peer(SUBJECT, "tenure", Needs::Nothing),
    coalescing("system", "", Needs::Nothing),
    peer("rusty", "rusty_alloc-api", Needs::Rust),
    coalescing("talc", "talc", Needs::Rust),
    Allocator { by_name_only: true, ..coalescing("dlmalloc", "dlmalloc", Needs::Rust) },
    peer("mimalloc-v3", "mimalloc", Needs::C),
    peer(REFERENCE, "mimalloc", Needs::OwnBuild),
    peer("jemalloc", "tikv-jemallocator", Needs::C),
    peer("snmalloc", "snmalloc-rs", Needs::C),
    peer("rpmalloc", "rpmalloc", Needs::C),
];

/// The allocator of that name.
pub fn named(name: &str) -> Option<&'static Allocator> {
    ALLOCATORS.iter().find(|allocator| allocator.name == name)
}

/// An allocator that can be run here.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Its name.
    pub name: &'static str,
    /// Its binary.
    pub path: PathBuf,
}

/// Where cargo has put the worker binaries; expands in a bench target, the only place that cargo tells it to.
#[macro_export]
macro_rules! built_workers {
    () => {
        [
            ("tenure", option_env!("CARGO_BIN_EXE_worker_tenure")),
            ("system", option_env!("CARGO_BIN_EXE_worker_system")),
            ("rusty", option_env!("CARGO_BIN_EXE_worker_rusty")),
            ("talc", option_env!("CARGO_BIN_EXE_worker_talc")),
            ("dlmalloc", option_env!("CARGO_BIN_EXE_worker_dlmalloc")),
            ("mimalloc-v3", option_env!("CARGO_BIN_EXE_worker_mimalloc_v3")),
            ("jemalloc", option_env!("CARGO_BIN_EXE_worker_jemalloc")),
            ("snmalloc", option_env!("CARGO_BIN_EXE_worker_snmalloc")),
            ("rpmalloc", option_env!("CARGO_BIN_EXE_worker_rpmalloc")),
        ]
    };
}

/// The workers to run: those of `built` that this build's features brought up to date (a binary of an earlier
/// build may lie beside them), those of `only` if that names any, and mimalloc v2 through a build of its own.
pub fn workers(built: &[(&'static str, Option<&'static str>)], only: &[String], c_peers: bool) -> Vec<Worker> {
    let c_peers = c_peers && cfg!(feature = "c-peers");
    let path = |name| built.iter().find(|(of, _)| *of == name).and_then(|(_, path)| *path).map(PathBuf::from);
    let mut found = Vec::new();
    for allocator in ALLOCATORS {
        let enabled = match allocator.needs {
            Needs::Nothing => true,
            Needs::Rust => cfg!(feature = "rust-peers"),
            Needs::C | Needs::OwnBuild => c_peers,
        };
        let named = only.iter().any(|name| name == allocator.name);
        if !enabled || !(named || only.is_empty() && !allocator.by_name_only) {
            continue;
        }
        let worker = match allocator.needs {
            Needs::OwnBuild => path("system").and_then(|beside| build_mimalloc_v2(&beside)),
            _ => path(allocator.name),
        };
        match worker.filter(|path| path.exists()) {
            Some(path) => found.push(Worker { name: allocator.name, path }),
            None => eprintln!("{}: its worker was not built, so it is left out", allocator.name),
        }
    }
    found
}

/// `links` allows one mimalloc in a dependency graph, so the second version is a second call of cargo: into the
/// same folder and profile that `beside` was built in.
fn build_mimalloc_v2(beside: &Path) -> Option<PathBuf> {
    let profile_folder = beside.parent()?;
    let profile = match profile_folder.file_name()?.to_str()? {
        "debug" => "dev",
        name => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .args(["--no-default-features", "--features", "mimalloc-v2", "--bin", "worker_mimalloc_v2"])
        .args(["--profile", profile])
        .arg("--target-dir")
        .arg(profile_folder.parent()?)
        .status();
    status.is_ok_and(|status| status.success()).then(|| profile_folder.join("worker_mimalloc_v2"))
}
