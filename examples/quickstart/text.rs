//! Numbers for people, and output that may end early.

use std::fmt;
use std::io::{ErrorKind, Write};

/// Prints. If nobody reads any more (`| head`), that is the end of the program, not an error.
pub(crate) fn print(what: fmt::Arguments<'_>) {
    match std::io::stdout().write_fmt(what) {
        Ok(()) => (),
        Err(why) if why.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(why) => {
            eprintln!("quickstart: cannot write to standard output: {why}");
            std::process::exit(1);
        }
    }
}

/// A number with its thousands apart.
pub(crate) fn count(n: impl TryInto<u64>) -> String {
    let digits = n.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes in MiB, or in KiB if they are few.
pub(crate) fn bytes(n: impl TryInto<u64>) -> String {
    match n.try_into().unwrap_or(u64::MAX) {
        n if n < 1 << 20 => format!("{:.0} KiB", n as f64 / 1024.0),
        n => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

/// A part of a whole in percent.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}
