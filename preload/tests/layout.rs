//! What the library costs each process before it allocates much: what of its own file is resident. `layout.ld` says why that is little.

mod library;

use std::process::Command;

/// KiB of code that a process touches, to the kernel's windows. 212 when this was written; 696 without `layout.ld`.
const CODE: usize = 320;
/// KiB of all that is mapped of the file. 308 when this was written, and 128 more if a sample is walked meanwhile; 876 without.
const ALL: usize = 512;

/// Resident KiB of what is mapped of files with such a name: of code, and of all.
fn resident(smaps: &str, name: &str) -> (usize, usize) {
    let (mut code, mut all, mut now) = (0, 0, None);
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [range, rights, _, _, _, ref path @ ..] if range.contains('-') => {
                now = path.last().filter(|path| path.contains(name)).map(|_| rights.contains('x'));
            }
            ["Rss:", n, "kB"] => {
                let n: usize = n.parse().expect("a number");
                all += if now.is_some() { n } else { 0 };
                code += if now == Some(true) { n } else { 0 };
            }
            _ => (),
        }
    }
    (code, all)
}

#[test]
fn little_of_the_library_is_resident() {
    let library = library::library(library::Build::Shipped);
    let out = Command::new("cat")
        .arg("/proc/self/smaps")
        .env("LD_PRELOAD", &library)
        .env("TENURE", "sampled")
        .output()
        .expect("cat runs");
    let smaps = String::from_utf8(out.stdout).expect("UTF-8");
    if !smaps.contains("KernelPageSize:        4 kB") {
        println!(
            "skipped: little_of_the_library_is_resident, because OS pages are larger than 4 KiB, or there is no /proc"
        );
        return;
    }
    let (code, all) = resident(&smaps, "libtenure_preload");
    assert!(0 < code && code <= CODE, "{code} KiB of code are resident, not {CODE} at most");
    assert!(all <= ALL, "{all} KiB of the library are resident, not {ALL} at most");
}

/// It is built on one machine and preloaded on others: its own unwinder would ask for a function of 2.35.
#[test]
fn glibc_2_34_is_new_enough() {
    let library = std::fs::read(library::library(library::Build::Shipped)).expect("the library is there");
    const VERSION: &[u8] = b"GLIBC_2.";
    let versions = library.windows(VERSION.len() + 4).filter_map(|bytes| {
        let rest = bytes.strip_prefix(VERSION)?;
        let digits: String = rest.iter().take_while(|b| b.is_ascii_digit()).map(|&b| b as char).collect();
        digits.parse::<u32>().ok()
    });
    let newest = versions.max().expect("it needs some version");
    assert!(newest <= 34, "the library needs glibc 2.{newest}");
}
