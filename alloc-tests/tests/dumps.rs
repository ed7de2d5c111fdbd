//! Dumps: snapshots that a process writes to files, by itself, without allocating; and its report at exit.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tenure::export::{from_file, from_json, raw};
use tenure::snapshot::Site;
use tenure::{Mode, Snapshot, dump};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::{Outcome, Scenario};
use tenure_alloc_tests::dir::{Dir, names};

/// Ends the process if an allocation allocates.
struct Strict(Tenure);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}
static FORBIDDEN: AtomicBool = AtomicBool::new(false);

fn once<T>(f: impl FnOnce() -> T) -> T {
    if INSIDE.get() && FORBIDDEN.load(SeqCst) {
        std::process::abort();
    }
    let before = INSIDE.replace(true);
    let result = f();
    INSIDE.set(before);
    result
}

// SAFETY: as `Tenure`.
unsafe impl GlobalAlloc for Strict {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on, here and below.
        once(|| unsafe { self.0.alloc(layout) })
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        once(|| unsafe { self.0.alloc_zeroed(layout) })
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        once(|| unsafe { self.0.realloc(block, layout, size) })
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        once(|| unsafe { self.0.dealloc(block, layout) })
    }
}

#[global_allocator]
static ALLOC: Strict = Strict(Tenure::new());

fn read(path: impl AsRef<Path>) -> Snapshot {
    from_file(path).expect("a dump").0
}

/// The lines of ours that a child has written.
fn said(outcome: &Outcome) -> Vec<&str> {
    outcome.stderr.lines().filter_map(|line| line.strip_prefix("tenure: ")).collect()
}

/// What lives under a tag, by number of blocks and bytes.
fn tagged(snapshot: &Snapshot, tag: &str) -> (f64, f64) {
    snapshot.tags().iter().find(|t| t.name == tag).map_or((0.0, 0.0), |t| (t.live.blocks, t.live.bytes))
}

/// So many blocks under a tag, from as many stacks.
fn hold(tag: &str, blocks: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::with_capacity(blocks);
    let _exact = tenure::exact_scope();
    let _in = tenure::scope(tag);
    all.extend((0..blocks).map(|i| down(i % 20, bytes)));
    all
}

#[inline(never)]
fn down(n: usize, bytes: usize) -> Vec<u8> {
    let block = if n == 0 { black_box(vec![1; bytes]) } else { down(n - 1, bytes) };
    black_box(n);
    block
}

/// A dump says what a snapshot says, though it is written without memory for the whole of it: more rows than wait in its
/// table, more sites than are summed at a time.
#[test]
fn a_dump_is_the_snapshot() {
    Scenario::new("a_dump_is_the_snapshot").env("TENURE", "exact,depth=200,max_tags=4096").run(|| {
        let dir = Dir::new("same");
        let mut held = Vec::new();
        for tag in 0..150 {
            let _in = tenure::scope(&format!("tag {tag}"));
            held.extend((0..100).map(|i| down((tag * 7 + i) % 190, 8 + i * 40)));
        }
        for tag in 0..1500 {
            held.push(deep(tag));
        }
        drop(held.split_off(14_000));
        let path = dir.path("dump");
        let before = tenure::snapshot();
        FORBIDDEN.store(true, SeqCst);
        once(|| dump::to(&path)).expect("written");
        FORBIDDEN.store(false, SeqCst);
        let after = tenure::snapshot();
        let dumped = read(&path);
        assert_eq!((dumped.pid(), dumped.mode(), dumped.modules()), (before.pid(), Mode::Exact, before.modules()));
        assert!(dumped.same_process(&before) && before.time() <= dumped.time() && dumped.time() <= after.time());
        assert!(dumped.sites().len() > 1024 && dumped.rows().len() > 8192, "the test is too small");
        // What this test itself allocates in between lives under no tag, and comes from other sites.
        let tags = |s: &Snapshot| -> BTreeMap<String, (f64, f64, f64)> {
            let tags = s.tags().iter().filter(|t| t.name.starts_with("tag "));
            tags.map(|t| (t.name.clone(), (t.live.bytes, t.allocated.blocks, t.freed.bytes))).collect()
        };
        assert_eq!(tags(&dumped), tags(&before));
        let mut same = 0;
        for site in before.sites() {
            let (there, then) = (dumped.site(site.number).expect("it was there before"), after.site(site.number));
            assert_eq!((&there.stack, there.ending), (&site.stack, site.ending));
            if then.is_some_and(|then| then.allocated == site.allocated && then.freed == site.freed) {
                same += 1;
                assert_eq!((there.allocated, there.freed, there.live), (site.allocated, site.freed, site.live));
                assert_eq!((there.smallest, there.largest), (site.smallest, site.largest));
                assert_eq!(dumped.rows_of(site.number), before.rows_of(site.number));
            }
        }
        assert!(same > 1024, "{same} sites had nothing to do meanwhile");
        // What is read can be written again.
        assert_eq!(from_json(&raw(&dumped)).expect("a snapshot").0, dumped);
        drop(held);
    });
}

/// Many different stacks: the bits of a number are the calls.
fn deep(n: usize) -> Vec<u8> {
    #[inline(never)]
    fn left(n: usize, bits: u32) -> Vec<u8> {
        let block = next(n, bits);
        black_box(n);
        block
    }
    #[inline(never)]
    fn right(n: usize, bits: u32) -> Vec<u8> {
        let block = next(n, bits);
        black_box(bits);
        block
    }
    fn next(n: usize, bits: u32) -> Vec<u8> {
        match bits {
            0 => black_box(vec![0; 24]),
            _ if n & 1 == 0 => left(n >> 1, bits - 1),
            _ => right(n >> 1, bits - 1),
        }
    }
    next(n, 11)
}

/// What finds no room within the bound is counted, all in one site.
#[test]
fn what_does_not_fit_is_counted() {
    Scenario::new("what_does_not_fit_is_counted").env("TENURE", "exact").run(|| {
        let dir = Dir::new("bound");
        let held: Vec<_> = (0..2000).map(deep).collect();
        let whole = {
            dump::to(dir.path("whole")).expect("written");
            read(dir.path("whole"))
        };
        tenure::internals::dump_within(&dir.path("cut"), 400 << 10).expect("written");
        let cut = read(dir.path("cut"));
        let bytes = std::fs::metadata(dir.path("cut")).expect("a file").len();
        assert!(bytes < 500 << 10, "{bytes} bytes");
        assert!(cut.sites().len() < whole.sites().len() / 2, "{} sites", cut.sites().len());
        let overflow = cut.site(Site::OVERFLOW).expect("the site of what overflows");
        assert!(overflow.live.bytes >= 24_000.0 && overflow.allocated.bytes >= overflow.live.bytes, "{overflow:?}");
        let near = |a: f64, b: f64| (a - b).abs() < 64.0 * 1024.0;
        assert!(near(cut.tracked().bytes, whole.tracked().bytes), "the sum stays right");
        let allocated = |s: &Snapshot| s.sites().iter().map(|s| s.allocated.bytes).sum::<f64>();
        assert!((allocated(&cut) / allocated(&whole) - 1.0).abs() < 0.5);
        drop(held);
    });
}

/// Memory is out, and the dump is written, by an allocation that may not allocate.
#[test]
fn before_an_allocation_fails() {
    let dir = Dir::new("failure");
    let env = format!("exact,dump=failure,dump_path={}", dir.path("%n"));
    let outcome = Scenario::new("before_an_allocation_fails")
        .env("TENURE", &env)
        .env("MALLOC_ARENA_MAX", "1")
        .address_space(300 << 20)
        .outcome(|| {
            let kept = hold("kept", 300, 1000);
            // SAFETY: no preconditions.
            #[cfg(target_env = "gnu")]
            let c_heap = || unsafe { libc::mallinfo2() }.uordblks;
            #[cfg(not(target_env = "gnu"))]
            let c_heap = || 0; // musl does not tell
            let mut blocks: Vec<*mut u8> = Vec::with_capacity(1 << 20);
            let layout = Layout::from_size_align(100 << 10, 8).expect("a layout");
            let before = c_heap();
            FORBIDDEN.store(true, SeqCst);
            let failed = loop {
                // SAFETY: the layout is not empty.
                match unsafe { std::alloc::alloc(layout) } {
                    block if block.is_null() => break true,
                    _ if blocks.len() == blocks.capacity() => break false,
                    block => blocks.push(block),
                }
            };
            // Again, at once: one dump is enough for a minute.
            // SAFETY: as above.
            let again = unsafe { std::alloc::alloc(layout) };
            FORBIDDEN.store(false, SeqCst);
            assert_eq!(c_heap(), before, "nor from the C library");
            assert!(failed && again.is_null());
            // SAFETY: they came from there.
            blocks.drain(..).for_each(|block| unsafe { std::alloc::dealloc(block, layout) });
            black_box(kept);
        });
    let Some(outcome) = outcome else { return };
    assert!(outcome.status.success() && outcome.completed, "{outcome:?}");
    assert_eq!(dir.names(), ["1"]);
    let lines = said(&outcome);
    assert!(lines.len() == 1 && lines[0].starts_with("no memory for 102400 bytes: wrote "), "{lines:?}");
    let dumped = read(dir.path("1"));
    assert_eq!(tagged(&dumped, "kept"), (300.0, 300_000.0));
    assert!(dumped.tracked().bytes > 100e6, "{:?}", dumped.tracked());
}

#[test]
fn at_exit_and_at_a_peak() {
    let dir = Dir::new("exit");
    let env = format!("exact,leaks,dump=exit,dump=peak:64MiB,dump_path={}", dir.path("d.%n.%%"));
    let outcome = Scenario::new("at_exit_and_at_a_peak").env("TENURE", &env).outcome(|| {
        std::mem::forget(hold("lost", 10, 777));
        // Twice past the peak, and back: the second time, half as much again.
        for n in [40, 80, 70, 130] {
            let _in = tenure::scope("grown");
            black_box(vec![1u8; n << 20]);
        }
    });
    let Some(outcome) = outcome else { return };
    assert!(outcome.status.success(), "{outcome:?}");
    let lines = said(&outcome);
    assert_eq!(dir.names(), ["d.1.%", "d.2.%", "d.3.%"], "{lines:?}");
    assert!(
        lines[0].contains("in use, more than 64.0 MiB: wrote ") && lines[1].contains("in use, more than "),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("exit: wrote ") && lines[3].starts_with("held at exit by dumps-"), "{lines:?}");
    // The block that passes the peak is in it.
    assert_eq!(tagged(&read(dir.path("d.1.%")), "grown").1, (80 << 20) as f64);
    assert_eq!(tagged(&read(dir.path("d.2.%")), "grown").1, (130 << 20) as f64);
    assert_eq!(tagged(&read(dir.path("d.3.%")), "lost"), (10.0, 7770.0));
    let report = &outcome.stderr[outcome.stderr.find("held at exit").expect("a report")..];
    assert!(report.contains("dumps::down") && report.contains("dumps.rs:") && report.contains("7.6 KiB"), "{report}");
}

#[test]
fn on_a_signal() {
    let dir = Dir::new("signal");
    let env = format!("dump=signal:USR2,dump_path={}", dir.path("s"));
    Scenario::new("on_a_signal").env("TENURE", &env).env("DUMPS", &dir.path("")).run(|| {
        let dir = PathBuf::from(std::env::var("DUMPS").expect("set by the parent"));
        let held = hold("held", 7, 100);
        // Not even a thread that takes signals is needed.
        // SAFETY: the set is filled before it is used.
        unsafe {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
        }
        for n in 1..=2 {
            // SAFETY: no memory is touched.
            unsafe { libc::kill(libc::getpid(), libc::SIGUSR2) };
            until(|| names(&dir).contains(&format!("s.{n}")));
        }
        assert_eq!(tagged(&read(dir.join("s.2")), "held"), (7.0, 700.0));
        // A forked child has no such thread, until it allocates.
        // SAFETY: the child of this thread alone runs on.
        match unsafe { libc::fork() } {
            0 => {
                drop(black_box(vec![0u8; 1 << 20]));
                std::thread::sleep(Duration::from_millis(50));
                // SAFETY: as above.
                unsafe { libc::kill(libc::getpid(), libc::SIGUSR2) };
                until(|| names(&dir).contains(&"s.3".into()));
                // SAFETY: no destructors are wanted.
                unsafe { libc::_exit(0) };
            }
            child => {
                let mut status = 0;
                // SAFETY: the child is ours.
                unsafe { libc::waitpid(child, &mut status, 0) };
                assert_eq!((status, read(dir.join("s.3")).pid()), (0, child as u32));
            }
        }
        drop(held);
    });
}

/// Waits for something that will come.
#[track_caller]
fn until(mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn again_and_again_and_the_oldest_go() {
    let dir = Dir::new("every");
    std::fs::write(dir.path("2"), "somebody else's").expect("written");
    let env = format!("dump=every:1s,dump_keep=2,dump_path={}", dir.path("%n"));
    let scenario = Scenario::new("again_and_again_and_the_oldest_go").env("TENURE", &env).env("DUMPS", &dir.path(""));
    let outcome = scenario.outcome(|| {
        let dir = PathBuf::from(std::env::var("DUMPS").expect("set by the parent"));
        // Somebody else's, and the last two; or three for a moment.
        let latest = || names(&dir).into_iter().filter_map(|n| n.parse::<u32>().ok()).max();
        until(|| latest() >= Some(5) && names(&dir).len() <= 4 && !names(&dir).contains(&"3".into()));
        dump::now().expect("written");
    });
    let Some(outcome) = outcome else { return };
    assert!(outcome.status.success() && outcome.completed, "{outcome:?}");
    let left = dir.names();
    assert!(left.len() == 3 && left[0] == "2" && !left.contains(&"4".into()), "{left:?}");
    assert_eq!(std::fs::read(dir.path("2")).expect("a file"), b"somebody else's");
}

/// What a killed process had written is there, and whole.
#[test]
fn killed_in_the_middle() {
    let dir = Dir::new("killed");
    let env = format!("exact,dump_keep=100,dump_path={}", dir.path("%n"));
    let outcome = Scenario::new("killed_in_the_middle").env("TENURE", &env).env("DUMPS", &dir.path("")).outcome(|| {
        let dir = PathBuf::from(std::env::var("DUMPS").expect("set by the parent"));
        let held: Vec<_> = (0..2000).map(deep).collect();
        std::thread::spawn(|| {
            loop {
                dump::now().expect("written");
            }
        });
        until(|| names(&dir).iter().any(|n| n == "9"));
        until(|| names(&dir).iter().any(|n| n.ends_with(".part")));
        // SAFETY: no memory is touched.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        drop(held);
    });
    let Some(outcome) = outcome else { return };
    assert_eq!(outcome.signal(), Some(libc::SIGKILL));
    let names = dir.names();
    let whole: Vec<_> = names.iter().filter(|n| !n.ends_with(".part")).collect();
    assert!(whole.len() >= 9, "{names:?}");
    for name in whole {
        assert!(read(dir.path(name)).sites().len() > 2000);
    }
    // What it was writing is refused as what it is.
    for part in names.iter().filter(|n| n.ends_with(".part")) {
        let path = dir.path(part);
        let error = from_file(&path).map(|_| ()).expect_err("it is not whole").to_string();
        let why = error.strip_prefix(&format!("{path}: not read as a snapshot of tenure: ")).expect("the path first");
        assert!(why.starts_with("it is cut off: ") || why == "it is empty", "{error}");
    }
}

#[test]
fn errors_say_what_and_where() {
    let dir = Dir::new("errors");
    let error = |path: &str| dump::to(path).expect_err("it must fail").to_string();
    assert_eq!(error(&dir.path("no/dump")), "No such file or directory (os error 2)");
    std::os::unix::fs::symlink(dir.path("elsewhere"), dir.path("link")).expect("a link");
    assert_eq!(error(&dir.path("link")), "File exists (os error 17)");
    // In the words of the C library.
    let too_long = std::io::Error::from_raw_os_error(libc::ENAMETOOLONG).to_string();
    assert_eq!((error(&"a".repeat(5000)), error("a\0b")), (too_long.clone(), too_long));
    assert_eq!(error("/dev/full/x"), "Not a directory (os error 20)");
    assert_eq!(dir.names(), ["link"], "nothing is left behind");
    dump::to(dir.path("dump")).expect("written");
    assert_eq!(error(&dir.path("dump")), "File exists (os error 17)");
    // From the environment, in one line.
    let env = format!("dump=exit,dump_path={}", dir.path("no/such"));
    if let Some(outcome) = Scenario::new("errors_say_what_and_where").env("TENURE", &env).outcome(|| ()) {
        let path = dir.path("no/such");
        assert_eq!(
            said(&outcome),
            [format!("exit: nothing written to {path}.1: No such file or directory (os error 2)")]
        );
    }
}

/// A disk that is full.
#[test]
fn a_full_disk_leaves_nothing_behind() {
    let dir = Dir::new("full");
    Scenario::new("a_full_disk_leaves_nothing_behind").env("DUMPS", &dir.path("")).run(|| {
        let dir = PathBuf::from(std::env::var("DUMPS").expect("set by the parent"));
        // SAFETY: plain settings of this process.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
        }
        let error = dump::to(dir.join("dump")).expect_err("it does not fit").to_string();
        assert_eq!(error, "File too large (os error 27)");
        assert_eq!(names(&dir), [""; 0]);
    });
}

/// Many threads that write, while others allocate, free and end: every file is whole and says the same of what rests.
#[test]
fn while_everything_runs() {
    Scenario::new("while_everything_runs").env("TENURE", "exact").run(|| {
        let dir = Dir::new("runs");
        let rests = hold("rests", 500, 64);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        std::thread::scope(|scope| {
                            scope.spawn(|| black_box((0..50).map(deep).collect::<Vec<_>>()));
                        });
                    }
                });
            }
            let writers: Vec<_> = (0..3)
                .map(|w| {
                    let dir = &dir;
                    scope.spawn(move || {
                        for n in 0..6 {
                            let path = dir.path(&format!("{w}.{n}"));
                            dump::to(&path).expect("written");
                            assert_eq!(tagged(&read(&path), "rests"), (500.0, 32_000.0));
                        }
                    })
                })
                .collect();
            let done = writers.into_iter().map(|w| w.join().is_ok()).collect::<Vec<_>>();
            stop.store(true, SeqCst);
            assert_eq!(done, [true; 3]);
        });
        assert_eq!(dir.names().len(), 18);
        drop(rests);
    });
}

/// Samples weigh in a file what they weigh in memory.
#[test]
fn samples_keep_their_weight() {
    Scenario::new("samples_keep_their_weight").env("TENURE", "sampled=4KiB").run(|| {
        let dir = Dir::new("samples");
        let held: Vec<_> = {
            let _in = tenure::scope("held");
            (0..40_000).map(|i| black_box(vec![1u8; 100 + i % 7])).collect()
        };
        dump::to(dir.path("dump")).expect("written");
        let (here, there) = (tenure::snapshot(), read(dir.path("dump")));
        let of = |s: &Snapshot| s.tags().iter().find(|t| t.name == "held").expect("the tag").live;
        let (here, there) = (of(&here), of(&there));
        assert_eq!(here.samples, there.samples);
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
        assert!(near(here.bytes, there.bytes) && near(here.bytes_variance, there.bytes_variance), "{here:?} {there:?}");
        drop(held);
    });
}
