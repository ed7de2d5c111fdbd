//! What the process occupies, as the OS sees it.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

/// A mebibyte.
pub const MIB: usize = 1 << 20;

/// The bytes of anonymous memory that are resident: the RSS without the pages of files.
///
/// Code that runs for the first time brings pages of the binary in; that is no allocator's doing. Does not allocate.
pub fn anonymous() -> usize {
    let mut text = [0u8; 256];
    let length =
        File::open("/proc/self/statm").and_then(|mut file| file.read(&mut text)).expect("Linux has /proc/self/statm");
    let mut fields = text[..length].split(|&byte| byte == b' ').map(|field| {
        field.iter().take_while(|byte| byte.is_ascii_digit()).fold(0usize, |n, &digit| n * 10 + (digit - b'0') as usize)
    });
    let (_size, resident, files) = (fields.next(), fields.next(), fields.next());
    let pages = resident.expect("the second field").saturating_sub(files.expect("the third field"));
    pages * os_page()
}

/// The size of an OS page.
pub fn os_page() -> usize {
    // SAFETY: sysconf reads a constant.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// In whole tenths, for messages.
pub fn mib(bytes: usize) -> f64 {
    (bytes as f64 / MIB as f64 * 10.0).round() / 10.0
}

/// What "back where it started" means: within 10 % or 4 MiB, whichever is more.
pub fn near(start: usize) -> usize {
    start + (start / 10).max(4 * MIB)
}

/// Waits until [`anonymous`] is at most `limit`, without calling the allocator: an idle process must shrink by
/// itself.
///
/// # Errors
/// The last reading, if it is still above the limit after `patience`.
pub fn settle(limit: usize, patience: Duration) -> Result<(usize, Duration), usize> {
    let begin = Instant::now();
    loop {
        let now = anonymous();
        if now <= limit {
            return Ok((now, begin.elapsed()));
        }
        if begin.elapsed() > patience {
            return Err(now);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_seen() {
        let before = anonymous();
        let block = vec![1u8; 64 * MIB];
        let grown = anonymous().saturating_sub(before);
        assert!(grown > 60 * MIB, "{} MiB more, {}", mib(grown), block[block.len() / 2]);
    }
}
