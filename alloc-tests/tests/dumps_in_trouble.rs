//! Dumps, and the report at exit, where something else goes on: locks that others hold, forks, a changed directory, a changed
//! environment.

use std::alloc::Layout;
use std::ffi::c_void;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};
use tenure::{dump, export::from_file};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::{Outcome, Scenario};
use tenure_alloc_tests::dir::{Dir, names};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// The lines of ours that a child has written.
fn said(outcome: &Outcome) -> Vec<&str> {
    outcome.stderr.lines().filter_map(|line| line.strip_prefix("tenure: ")).collect()
}

/// Where the parent wants the dumps.
fn dumps() -> PathBuf {
    PathBuf::from(std::env::var("DUMPS").expect("set by the parent"))
}

/// The pattern is taken from the environment once: whatever stands there later is no path of ours.
#[test]
fn the_environment_may_be_overwritten() {
    let dir = Dir::new("overwritten");
    let env = format!("dump=exit,dump_path={}", dir.path("%n"));
    let outcome = Scenario::new("the_environment_may_be_overwritten").env("TENURE", &env).outcome(|| {
        // What programs do that show their state where others see their name.
        // SAFETY: the variable is set, and nobody else reads it now.
        unsafe {
            let text = libc::getenv(c"TENURE".as_ptr());
            text.cast::<u8>().write_bytes(0xFF, libc::strlen(text));
        }
    });
    let Some(outcome) = outcome else { return };
    assert!(outcome.status.success() && outcome.completed, "{outcome:?}");
    assert_eq!(dir.names(), ["1"], "{outcome:?}");
}

/// By the same name, in another directory, lies something that this process did not write.
#[test]
fn only_files_of_its_own_are_removed() {
    let dir = Dir::new("chdir");
    let scenario = Scenario::new("only_files_of_its_own_are_removed").env("TENURE", "dump_keep=2,dump_path=%n");
    scenario.env("DUMPS", &dir.path("")).run(|| {
        let dir = dumps();
        for sub in ["a", "b"] {
            std::fs::create_dir(dir.join(sub)).expect("a directory");
        }
        std::env::set_current_dir(dir.join("a")).expect("changed");
        dump::now().and_then(|()| dump::now()).expect("written");
        std::env::set_current_dir(dir.join("b")).expect("changed");
        std::fs::write("1", "somebody else's").expect("written");
        dump::now().and_then(|()| dump::now()).expect("written");
        assert_eq!(names(&dir.join("b")), ["1", "3", "4"]);
        // Nor what has taken the place of a dump.
        std::fs::rename("3", "moved").and_then(|()| std::fs::write("3", "mine")).expect("written");
        dump::now().and_then(|()| dump::now()).expect("written");
        assert_eq!(names(&dir.join("b")), ["1", "3", "5", "6", "moved"]);
        for sub in ["a", "b"] {
            std::fs::remove_dir_all(dir.join(sub)).expect("removed");
        }
    });
}

/// A thread allocates under the loader's lock, which a dump needs, and that allocation causes another dump.
#[test]
fn under_the_loaders_lock() {
    static INSIDE: AtomicBool = AtomicBool::new(false);
    static BLOCK: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
    unsafe extern "C" fn inside(_: *mut libc::dl_phdr_info, _: usize, dir: *mut c_void) -> i32 {
        INSIDE.store(true, SeqCst);
        // SAFETY: what was handed in below.
        let dir = unsafe { &*dir.cast::<PathBuf>() };
        while names(dir).is_empty() {
            std::thread::yield_now();
        }
        // SAFETY: the layout is not empty.
        BLOCK.store(unsafe { std::alloc::alloc(Layout::from_size_align(100 << 20, 8).expect("a layout")) }, SeqCst);
        1
    }
    let dir = Dir::new("loader");
    let env = format!("dump=peak:64MiB,dump_path={}", dir.path("%n"));
    let scenario = Scenario::new("under_the_loaders_lock").env("TENURE", &env).env("DUMPS", &dir.path(""));
    scenario.patience(60).run(|| {
        let mut dir = dumps();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !INSIDE.load(SeqCst) {
                    std::thread::yield_now();
                }
                dump::now().expect("written");
            });
            // SAFETY: the function has the type that is asked for, and does not unwind.
            unsafe { libc::dl_iterate_phdr(Some(inside), (&raw mut dir).cast()) };
        });
        assert!(!BLOCK.load(SeqCst).is_null());
        assert!(names(&dir).contains(&"1".into()));
    });
}

/// Somebody holds standard error's lock for ever.
#[test]
fn the_report_takes_no_lock_of_others() {
    let outcome =
        Scenario::new("the_report_takes_no_lock_of_others").env("TENURE", "exact,leaks").patience(60).outcome(|| {
            let locked: &std::sync::Barrier = Box::leak(Box::new(std::sync::Barrier::new(2)));
            std::thread::spawn(|| {
                let _locked = std::io::stderr().lock();
                locked.wait();
                loop {
                    std::thread::park();
                }
            });
            locked.wait();
        });
    let Some(outcome) = outcome else { return };
    assert!(outcome.status.success() && outcome.completed, "{outcome:?}");
    assert!(said(&outcome).iter().any(|line| line.starts_with("held at exit: ")), "{outcome:?}");
}

/// What an allocation does beside its work is nobody's error.
#[test]
fn errno_is_left_alone() {
    let dir = Dir::new("errno");
    let env = format!("dump=peak:32MiB,dump=failure,dump_path={}", dir.path("no/such/%n"));
    let outcome = Scenario::new("errno_is_left_alone").env("TENURE", &env).outcome(|| {
        for size in [64 << 20, 1 << 45] {
            // SAFETY: the address of this thread's errno is always valid; the layout is not empty.
            let errno = unsafe {
                *libc::__errno_location() = 77;
                let block = std::alloc::alloc(Layout::from_size_align(size, 8).expect("a layout"));
                assert_eq!(block.is_null(), size == 1 << 45);
                *libc::__errno_location()
            };
            assert!(errno == 77 || size == 1 << 45 && errno == libc::ENOMEM, "{size}: {errno}");
        }
    });
    let Some(outcome) = outcome else { return };
    assert!(outcome.status.success() && outcome.completed, "{outcome:?}");
    assert_eq!(said(&outcome).len(), 2, "{outcome:?}");
}

/// Forked while other threads dump and allocate: the child has dumps of its own, and ends.
#[test]
fn forked_while_others_dump() {
    let dir = Dir::new("forked");
    let env = format!("exact,dump=exit,dump_keep=2,dump_path={}", dir.path("%p.%n"));
    let scenario = Scenario::new("forked_while_others_dump").env("TENURE", &env).env("DUMPS", &dir.path(""));
    scenario.patience(100).run(|| {
        let (dir, stop) = (dumps(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        dump::now().expect("written");
                    }
                });
            }
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    black_box((0..100).map(|n| vec![n; n]).collect::<Vec<_>>());
                }
            });
            let mut children = Vec::new();
            for _ in 0..150 {
                // SAFETY: the child runs on with this thread alone, and only allocates and exits.
                match unsafe { libc::fork() } {
                    0 => {
                        // SAFETY: no preconditions.
                        unsafe { libc::alarm(20) };
                        black_box(vec![1u8; 1 << 20]);
                        std::process::exit(0);
                    }
                    child => {
                        let mut status = 0;
                        // SAFETY: the child is ours.
                        unsafe { libc::waitpid(child, &mut status, 0) };
                        children.push((child, status));
                    }
                }
            }
            stop.store(true, SeqCst);
            let bad: Vec<_> = children.iter().filter(|c| c.1 != 0).collect();
            assert!(bad.is_empty(), "{} of 150: {bad:?}", bad.len());
            for (child, _) in children {
                let dumped = from_file(dir.join(format!("{child}.1"))).expect("a dump").0;
                assert_eq!(dumped.pid(), child as u32);
            }
        });
    });
}
