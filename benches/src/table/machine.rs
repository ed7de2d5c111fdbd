//! Where and when: what a reader needs to know before comparing a figure with another one.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::allocators::{self, Worker};

/// A Markdown list.
pub(crate) fn header(workers: &[Worker]) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut lines = vec![
        format!("- {}", time_stamp()),
        format!("- {}, {cores} cores", first_value("/proc/cpuinfo", "model name")),
        format!("- Linux {}, transparent huge pages: {}", line("/proc/sys/kernel/osrelease"), huge_pages()),
        format!("- {}", rustc()),
        format!("- {}", versions(workers)),
    ];
    if let Some(options) = std::env::var("TENURE").ok().filter(|options| !options.is_empty()) {
        lines.push(format!("- TENURE={options}"));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Now, in UTC, as `2026-11-05T14-03-59Z`: sorts as text and may be a file's name.
pub(crate) fn time_stamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let (year, month, day) = civil(now / 86_400);
    let (hour, minute, second) = (now / 3600 % 24, now / 60 % 60, now % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}Z")
}

/// Year, month and day of a number of days since 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

fn first_value(path: &str, name: &str) -> String {
    let text = line(path);
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    value.map_or_else(|| std::env::consts::ARCH.into(), |(_, value)| value.trim().to_owned())
}

fn huge_pages() -> String {
    let setting = line("/sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = setting.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    chosen.map_or("unknown", |(chosen, _)| chosen).to_owned()
}

fn rustc() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    output.map_or_else(|_| "rustc unknown".into(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}

/// The versions of the compared crates, from the lock file.
fn versions(workers: &[Worker]) -> String {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap_or_default();
    let version = |krate: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{krate}\"\nversion = \""))?;
        Some(format!("{krate} {}", rest.split_once('"')?.0))
    };
    let run = workers.iter().filter_map(|worker| allocators::named(worker.name));
    let mut found: Vec<String> = run.filter_map(|allocator| version(allocator.krate)).collect();
    found.dedup();
    found.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(59), (1970, 3, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_453), (2025, 12, 31));
        assert_eq!(civil(20_454), (2026, 1, 1));
    }
}
