//! How the library is linked: what every process runs and writes lies together (`layout.ld`), and the unwinder is a part of it.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=layout.ld");
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-T,{here}/layout.ld");
    // The unwinder of the standard library is libgcc's. As a library of its own it is 84 KiB and a dozen page faults more of each process
    // that does not have it. It unwinds panics of this library, which never leave it, so that it meets no other unwinder. Where the
    // compiler has it in no archive, it stays a library.
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let cc = std::env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_string());
    let archive = Command::new(cc).arg("-print-file-name=libgcc_eh.a").output();
    if archive.is_ok_and(|out| out.stdout.starts_with(b"/")) {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}
