//! Resident memory of this process. Nothing here allocates: a reading must not change what it reads.

use std::fs::File;
use std::io::Read;

/// Resident KiB now, counted page by page; 0 where the system cannot say.
///
/// `VmRSS` would be cheaper, but the kernel keeps it in counters for each CPU that it sums only now and then:
/// it is off by as much as an allocator's whole empty heap.
pub fn now_kib() -> u64 {
    field_kib("/proc/self/smaps_rollup", "Rss:").unwrap_or(0)
}

/// The largest resident size of this process so far, in KiB; 0 where the system cannot say.
///
/// Not `getrusage`: its maximum is inherited from the parent across `exec`.
pub fn peak_kib() -> u64 {
    // The high-water mark is taken from the same lazy counters, so it may lag behind what is there now.
    field_kib("/proc/self/status", "VmHWM:").unwrap_or(0).max(now_kib())
}

fn field_kib(path: &str, name: &str) -> Option<u64> {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    let mut file = File::open(path).ok()?;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]).ok()? {
            0 => break,
            n => filled += n,
        }
    }
    let text = str::from_utf8(&buffer[..filled]).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn touched_memory_is_seen_at_once() {
        let before = now_kib();
        let touched = black_box(vec![1_u8; 32 << 20]);
        let grown = now_kib() - before;
        assert!((32 << 10..40 << 10).contains(&grown), "grew by {grown} KiB");
        assert!(peak_kib() >= before + (32 << 10));
        drop(touched);
    }
}
