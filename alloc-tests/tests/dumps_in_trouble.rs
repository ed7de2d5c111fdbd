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

/// Much is allocated before this allocator's own code is called by the loader, in every test here.
extern "C" fn early() {
    drop(std::hint::black_box([vec![0u8; 128 << 10], vec![0u8; 128 << 10]]));
}

#[used]
#[unsafe(link_section = ".init_array")]
static EARLY: extern "C" fn() = early;

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
    assert!(said(&outcome).iter().any(|line| line.starts_with("held at exit by dumps_in_trouble-")), "{outcome:?}");
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

/// Takes all memory that there is, in pieces of a size, and gives it back.
fn exhaust(size: usize) {
    let layout = Layout::from_size_align(size, 8).expect("a layout");
    let mut last: *mut *mut u8 = std::ptr::null_mut();
    // SAFETY: the layout is not empty, and each block has room for a pointer to the one before.
    unsafe {
        loop {
            let block: *mut *mut u8 = std::alloc::alloc(layout).cast();
            if block.is_null() {
                break;
            }
            *block = last.cast();
            last = block;
        }
        while !last.is_null() {
            let before = *last;
            std::alloc::dealloc(last.cast(), layout);
            last = before.cast();
        }
    }
}

extern "C" fn exhausted_by_a_thread(size: *mut c_void) -> *mut c_void {
    exhaust(size.addr());
    std::ptr::null_mut()
}

unsafe extern "C" fn exhausted_at_the_end(size: *mut c_void) {
    exhaust(size.addr());
}

/// Runs on a thread whose stack has so many bytes.
fn on_a_stack(bytes: usize, f: extern "C" fn(*mut c_void) -> *mut c_void, data: usize) {
    // SAFETY: the attributes are initialised before they are used, and the thread ends before this returns.
    unsafe {
        let (mut attributes, mut thread) = (std::mem::zeroed(), std::mem::zeroed());
        assert_eq!(libc::pthread_attr_init(&mut attributes), 0);
        assert_eq!(libc::pthread_attr_setstacksize(&mut attributes, bytes), 0);
        let data = std::ptr::without_provenance_mut(data);
        assert_eq!(libc::pthread_create(&mut thread, &attributes, f, data), 0);
        assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
    }
}

/// Whatever kind of allocation fails, and wherever: there is one dump, and null.
#[test]
fn every_failure_is_dumped() {
    for kind in ["large", "small", "zeroed", "aligned", "moved", "small stack", "ended thread"] {
        let dir = Dir::new("failures");
        let env = format!("exact,dump=failure,dump_path={}", dir.path("%n"));
        let scenario = Scenario::new("every_failure_is_dumped").env("TENURE", &env).env("KIND", kind);
        let outcome = scenario.env("MALLOC_ARENA_MAX", "1").address_space(300 << 20).outcome(|| {
            let layout = |size, align| Layout::from_size_align(size, align).expect("a layout");
            // SAFETY: no layout is empty.
            unsafe {
                match &*std::env::var("KIND").expect("set by the parent") {
                    "large" => exhaust(1 << 20),
                    "small" => exhaust(3000),
                    "zeroed" => assert!(std::alloc::alloc_zeroed(layout(1 << 30, 8)).is_null()),
                    "aligned" => assert!(std::alloc::alloc(layout(100, 1 << 44)).is_null()),
                    "moved" => {
                        let block = std::alloc::alloc(layout(1 << 20, 8));
                        *block = 7;
                        assert!(std::alloc::realloc(block, layout(1 << 20, 8), 1 << 30).is_null());
                        assert_eq!(*block, 7);
                    }
                    "small stack" => on_a_stack(48 << 10, exhausted_by_a_thread, 100 << 10),
                    _ => {
                        extern "C" fn arm(key: *mut c_void) -> *mut c_void {
                            drop(black_box(vec![1u8; 100])); // it has a heap
                            // SAFETY: the key is valid; any value will do.
                            unsafe {
                                let size = std::ptr::without_provenance::<c_void>(3000);
                                assert_eq!(libc::pthread_setspecific(key.addr() as u32, size), 0);
                            }
                            std::ptr::null_mut()
                        }
                        let mut key = 0;
                        assert_eq!(libc::pthread_key_create(&mut key, Some(exhausted_at_the_end)), 0);
                        on_a_stack(1 << 20, arm, key as usize);
                    }
                }
            }
        });
        let Some(outcome) = outcome else { return };
        assert!(outcome.status.success() && outcome.completed, "{kind}: {outcome:?}");
        assert_eq!((dir.names(), said(&outcome).len()), (vec!["1".to_string()], 1), "{kind}: {outcome:?}");
        from_file(dir.path("1")).expect("a dump");
    }
}

/// Processes that share a pattern without the process' id: every dump finds a number of its own.
#[test]
fn processes_with_one_pattern() {
    let scenario = Scenario::new("processes_with_one_pattern").env("TENURE", "dump_path=d.%n,dump_keep=256");
    let dir = Dir::new("shared");
    scenario.env("DUMPS", &dir.path("")).run(|| {
        std::env::set_current_dir(dumps()).expect("changed");
        let children: Vec<_> = (0..3)
            // SAFETY: there is no other thread that the child could miss.
            .map(|_| match unsafe { libc::fork() } {
                0 => {
                    let written = (0..100).all(|_| dump::now().is_ok());
                    // SAFETY: no destructors are wanted.
                    unsafe { libc::_exit(i32::from(!written)) };
                }
                child => child,
            })
            .collect();
        for child in children {
            let mut status = 0;
            // SAFETY: the child is ours.
            unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!(status, 0);
        }
        assert_eq!(names(&dumps()).len(), 300);
    });
}

/// A file that grows beyond the limit, and a pipe that nobody reads: by default, each ends a process with a signal.
#[test]
fn no_signal_ends_the_process() {
    let dir = Dir::new("signals");
    let env = format!("exact,dump=peak:32MiB,dump_path={}", dir.path("%n"));
    let outcome =
        Scenario::new("no_signal_ends_the_process").env("TENURE", &env).env("DUMPS", &dir.path("")).outcome(|| {
            // SAFETY: plain settings of this process, and a pipe of its own.
            let stderr = unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
                libc::signal(libc::SIGPIPE, libc::SIG_DFL);
                let mut pipe = [0; 2];
                assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
                let stderr = libc::dup(2);
                libc::dup2(pipe[1], 2);
                libc::close(pipe[0]);
                stderr
            };
            drop(black_box(vec![1u8; 64 << 20]));
            assert_eq!(names(&dumps()), ["1"]);
            // SAFETY: as above.
            unsafe {
                libc::dup2(stderr, 2);
                let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
                assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
            }
            drop(black_box(vec![1u8; 128 << 20]));
            assert_eq!(names(&dumps()), ["1"]);
            // SAFETY: the set is filled in by the call.
            unsafe {
                let mut waiting = std::mem::zeroed();
                libc::sigpending(&mut waiting);
                assert_eq!(
                    (libc::sigismember(&waiting, libc::SIGXFSZ), libc::sigismember(&waiting, libc::SIGPIPE)),
                    (0, 0)
                );
            }
        });
    let Some(outcome) = outcome else { return };
    assert!(outcome.status.success() && outcome.completed, "{outcome:?}");
    let said = said(&outcome);
    assert!(said.len() == 1 && said[0].ends_with(": File too large (os error 27)"), "{said:?}");
}
