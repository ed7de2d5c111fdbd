//! The library that these tests preload.

use std::path::PathBuf;
use std::process::Command;

/// The one that `TENURE_PRELOAD_LIBRARY` names, or else the one that is shipped: with debug assertions, exact tracking takes twenty
/// times as long, and programs would run for minutes.
///
/// Cargo does not build it for tests of its own: nothing of it can be linked into them. So it is asked to, and has nothing to do
/// if it was asked before.
pub(crate) fn path() -> PathBuf {
    if let Some(other) = std::env::var_os("TENURE_PRELOAD_LIBRARY") {
        return PathBuf::from(&other).canonicalize().unwrap_or_else(|why| panic!("{}: {why}", other.display()));
    }
    let test = std::env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(3).expect("a test lies in target/debug/deps");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "-p", "tenure-preload"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.env("CARGO_TARGET_DIR", target);
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "cargo build -p tenure-preload: {status}");
    let library = target.join("release/libtenure_preload.so");
    assert!(library.exists(), "{} is not there", library.display());
    library
}
