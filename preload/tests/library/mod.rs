//! The library that these tests preload.

use std::path::PathBuf;
use std::process::Command;

/// How it is built.
#[derive(Clone, Copy)]
pub(crate) enum Build {
    /// With debug assertions. Exact tracking takes twenty times as long.
    #[allow(dead_code, reason = "tests of real programs would run for minutes")]
    Checked,
    /// As it is shipped.
    #[allow(dead_code, reason = "the other tests want the assertions")]
    Shipped,
}

/// The library; another one if `TENURE_PRELOAD_LIBRARY` names it, to see what the tests say of that.
///
/// Cargo does not build it for tests of its own: nothing of it can be linked into them. So it is asked to, and has nothing to do
/// if it was asked before.
pub(crate) fn library(build: Build) -> PathBuf {
    if let Some(other) = std::env::var_os("TENURE_PRELOAD_LIBRARY") {
        return PathBuf::from(&other).canonicalize().unwrap_or_else(|why| panic!("{}: {why}", other.display()));
    }
    let test = std::env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(3).expect("a test lies in target/debug/deps");
    let (profile, folder) = match build {
        Build::Checked => ("dev", "debug"),
        Build::Shipped => ("preload", "preload"),
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--profile", profile, "-p", "tenure-preload"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.env("CARGO_TARGET_DIR", target);
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "cargo build --profile {profile} -p tenure-preload: {status}");
    let library = target.join(folder).join("libtenure_preload.so");
    assert!(library.exists(), "{} is not there", library.display());
    library
}
