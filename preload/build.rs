//! How the library is linked: what every process runs and writes lies together (`layout.ld`), and the unwinder is a part of it. Where the
//! linker is none of those that this is known of, it is linked as any other: it costs a process more memory then, and does the same.

use std::env;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=layout.ld");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!("cargo::rustc-check-cfg=cfg(own_unwinder)");
    let set = |name: &str| env::var(name).unwrap_or_default();
    // Of another machine's compiler we know only what cargo knows.
    let known = set("TARGET") == set("HOST") || env::var_os("RUSTC_LINKER").is_some();
    if !known || set("CARGO_CFG_TARGET_ENV") != "gnu" {
        return;
    }
    let linker = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_string());
    let layout = format!("-T{}/layout.ld", set("CARGO_MANIFEST_DIR"));
    if links(&linker, &layout) {
        println!("cargo::rustc-cdylib-link-arg={layout}");
    } else {
        println!(
            "cargo::warning=this linker does not take layout.ld: a process will pay half a MiB more for the library"
        );
    }
    // The unwinder of the standard library is libgcc's. As a library of its own it is 84 KiB and a dozen page faults more of each process
    // that does not have it. It unwinds panics of this library, which never leave it. Where the compiler has it in no archive, it
    // stays a library.
    let archive = Command::new(&linker).arg("-print-file-name=libgcc_eh.a").output();
    if archive.is_ok_and(|out| out.stdout.starts_with(b"/")) {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
        // By its own reference the library would need glibc 2.35: `unwinder` asks for the function by name.
        println!("cargo::rustc-cdylib-link-arg=-Wl,--wrap=_dl_find_object");
        println!("cargo::rustc-cfg=own_unwinder");
    }
}

/// Whether a library of nothing can be linked like this, with what the user adds.
fn links(linker: &str, argument: &str) -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let added =
        flags.split('\x1f').filter_map(|flag| flag.strip_prefix("-C").unwrap_or(flag).strip_prefix("link-arg="));
    let out = env::var("OUT_DIR").expect("cargo sets it") + "/nothing.so";
    let mut command = Command::new(linker);
    command.args(["-shared", "-nostdlib", argument, "-o", &out, "-x", "c", "/dev/null"]).args(added);
    command.stdin(Stdio::null()).output().is_ok_and(|done| done.status.success())
}
