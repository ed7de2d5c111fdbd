//! `main` of every worker binary.
//!
//! ```text
//! worker_tenure json [--smoke] [--ops N] [--files LIST]   runs it once, prints one line of key=value pairs
//! worker_tenure --serve                                   reads lines "WORKLOAD OPS", answers each with nanoseconds
//! ```

use std::ffi::c_int;
use std::fs;
use std::io::{self, BufRead, Write};
use std::process::exit;

use crate::rss;
use crate::workloads::{Code, Setting, Workload};

/// Does what the arguments say; ends the process with status 2 if they make no sense.
pub fn main() {
    let mut setting = Setting::default();
    let mut workload = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--serve" => return serve(),
            "--smoke" => setting.smoke = true,
            "--ops" => setting.ops = args.next().and_then(|n| n.parse().ok()),
            "--files" => {
                let list = args.next().and_then(|path| fs::read_to_string(path).ok());
                setting.files = list.unwrap_or_default().lines().map(Into::into).collect();
            }
            name => workload = Workload::named(name),
        }
    }
    let Some(workload) = workload else {
        eprintln!("usage: worker <workload> [--smoke] [--ops N] [--files LIST] | --serve");
        exit(2);
    };
    let outcome = workload.run(&setting);
    // Before anything is printed: printing allocates.
    let peak = rss::peak_kib();
    print!("time_ns={} peak_kib={peak}", outcome.ns);
    for (phase, kib) in outcome.rss {
        print!(" rss_{phase}_kib={kib}");
    }
    println!();
}

/// Lets another process drive the [`Micro`](crate::workloads::Micro) workloads, until its end of the pipe closes.
fn serve() {
    for line in io::stdin().lock().lines() {
        let line = line.expect("the driver writes text");
        let (name, ops) = line.split_once(' ').unwrap_or_default();
        let code = Workload::named(name).map(|workload| workload.code);
        let (Some(Code::Micro(code, _)), Ok(ops)) = (code, ops.parse()) else {
            eprintln!("not a workload and a number of operations: {line:?}");
            exit(2);
        };
        println!("{}", code(ops).as_nanos());
        // The driver waits for it.
        io::stdout().flush().expect("the driver reads");
    }
}

/// Ends the process unless the linked mimalloc is of this major version: features decide which of the two is
/// built, and a wrong one would be compared with itself.
pub fn expect_mimalloc(major: c_int, version: extern "C" fn() -> c_int) {
    let found = version() / 10_000;
    if found != major {
        eprintln!(
            "this worker was built with mimalloc v{found}, not v{major}: c-peers and mimalloc-v2 exclude each other"
        );
        exit(2);
    }
}
