//! Where the library is that cargo has built for these tests.

use std::path::PathBuf;

/// `libtenure_preload.so`, beside the directory of this test.
pub(crate) fn path() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let built = test.ancestors().nth(2).expect("a test lies in target/debug/deps");
    let library = built.join("libtenure_preload.so");
    assert!(library.exists(), "{} is not there: cargo build -p tenure-preload", library.display());
    library
}
