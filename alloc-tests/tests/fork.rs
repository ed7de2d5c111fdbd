//! `fork` in a program whose other threads are in the middle of allocating: child and parent both go on, thousands of
//! times.
//!
//! A child uses nothing that another thread may have held at the fork but the allocator: no std locks, no panics, no
//! output; it says what went wrong by its exit code. An alarm ends a child that hangs.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::thread;
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::chain::{Chain, Link, SMALLEST};
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::rng::Rng;
use tenure_alloc_tests::rss::MIB;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const FORKS: u64 = 2000;
const PATIENCE: u32 = 20;

/// What a child found wrong.
const NO_MEMORY: i32 = 10;
const DAMAGED: i32 = 11;
const NO_THREAD: i32 = 12;
const GRANDCHILD_FAILED: i32 = 13;

/// Blocks that any thread may take: they are the inheritance of a child, from threads that do not exist there.
static SLOTS: [AtomicPtr<u8>; 128] = [const { AtomicPtr::new(ptr::null_mut()) }; 128];

fn random_size(rng: &mut Rng) -> usize {
    let largest = if rng.one_in(100) { 2 * MIB } else { 32 << 10 };
    rng.log_uniform(largest).max(SMALLEST)
}

/// Takes what lies in a slot.
fn exchange(slot: usize, link: Option<Link>) -> Option<Link> {
    let new = link.map_or(ptr::null_mut(), Link::into_raw);
    // SAFETY: slots hold null or what `into_raw` gave, and a swap hands each block to one owner.
    unsafe { Link::from_raw(SLOTS[slot].swap(new, SeqCst)) }
}

/// Allocates, exchanges and frees for ever, and reports damage.
fn keep_busy(seed: u64, stop: &AtomicBool) -> usize {
    let mut rng = Rng::new(seed);
    let mut own = Chain::new();
    let mut damaged = 0;
    while !stop.load(SeqCst) {
        let link = Link::allocate(&ALLOC, random_size(&mut rng), rng.next()).expect("there is memory");
        match rng.below(3) {
            0 => own.push(link),
            1 => damaged += usize::from(!link.free(&ALLOC)),
            _ => {
                if let Some(other) = exchange(rng.below(SLOTS.len()), Some(link)) {
                    damaged += usize::from(!other.free(&ALLOC));
                }
            }
        }
        if own.count() > 30 {
            damaged += own.free(&ALLOC);
        }
    }
    damaged + own.free(&ALLOC)
}

/// Blocks of all classes, written, checked and freed, some of them in another order.
fn allocate_in_all_classes(rng: &mut Rng, largest: usize, count: usize) -> Result<(), i32> {
    let (mut chain, mut other) = (Chain::new(), Chain::new());
    for _ in 0..count {
        let size = rng.log_uniform(largest).max(SMALLEST);
        let link = Link::allocate(&ALLOC, size, rng.next()).ok_or(NO_MEMORY)?;
        if rng.one_in(2) { chain.push(link) } else { other.push(link) }
    }
    let damaged = chain.free(&ALLOC);
    for _ in 0..count / 4 {
        chain.push(Link::allocate(&ALLOC, rng.log_uniform(largest).max(SMALLEST), rng.next()).ok_or(NO_MEMORY)?);
    }
    if damaged + chain.free(&ALLOC) + other.free(&ALLOC) == 0 { Ok(()) } else { Err(DAMAGED) }
}

extern "C" fn in_a_childs_thread(seed: *mut c_void) -> *mut c_void {
    let mut rng = Rng::new(seed.addr() as u64);
    let outcome =
        allocate_in_all_classes(&mut rng, 16 << 10, 60).and_then(|()| free_inheritance(SLOTS.len() / 2..SLOTS.len()));
    ptr::without_provenance_mut(outcome.err().unwrap_or(0) as usize)
}

fn free_inheritance(slots: std::ops::Range<usize>) -> Result<(), i32> {
    let damaged =
        slots.filter_map(|slot| exchange(slot, None)).filter_map(|link| (!link.free(&ALLOC)).then_some(())).count();
    if damaged == 0 { Ok(()) } else { Err(DAMAGED) }
}

/// Everything that a child does, on what is its only thread.
fn child(number: u64, inherited: &mut Chain) -> Result<(), i32> {
    let mut rng = Rng::new(number);
    allocate_in_all_classes(&mut rng, 8 << 10, 80)?;
    if inherited.free(&ALLOC) != 0 {
        return Err(DAMAGED);
    }
    if number.is_multiple_of(8) {
        allocate_in_all_classes(&mut rng, 4 * MIB, 6)?;
    }
    if number.is_multiple_of(16) {
        // Not std's threads, which take locks of std.
        let (mut thread, mut result) = (0, ptr::null_mut());
        let seed = ptr::without_provenance_mut(number as usize);
        // SAFETY: the argument is a number, and the thread is joined here.
        unsafe {
            if libc::pthread_create(&mut thread, ptr::null(), in_a_childs_thread, seed) != 0 {
                return Err(NO_THREAD);
            }
            allocate_in_all_classes(&mut rng, 8 << 10, 40)?;
            if libc::pthread_join(thread, &mut result) != 0 || !result.is_null() {
                return Err(if result.is_null() { NO_THREAD } else { result.addr() as i32 });
            }
        }
    }
    free_inheritance(0..SLOTS.len())?;
    if number.is_multiple_of(32) {
        let grandchild = fork(|| allocate_in_all_classes(&mut Rng::new(!number), 16 << 10, 40));
        if wait(grandchild) != Ok(0) {
            return Err(GRANDCHILD_FAILED);
        }
    }
    allocate_in_all_classes(&mut rng, 64 << 10, 20)
}

/// Runs `body` in a forked process, whose exit code is the error, and returns its number.
fn fork(body: impl FnOnce() -> Result<(), i32>) -> libc::pid_t {
    // SAFETY: the child keeps to what the head of this file says, and leaves by `_exit`.
    unsafe {
        let process = libc::fork();
        if process == 0 {
            libc::alarm(PATIENCE);
            libc::_exit(body().err().unwrap_or(0));
        }
        process
    }
}

/// The exit code, or the signal as an error.
fn wait(process: libc::pid_t) -> Result<i32, i32> {
    let mut status = 0;
    // SAFETY: the status' address is valid.
    if process < 0 || unsafe { libc::waitpid(process, &mut status, 0) } != process {
        return Err(-1);
    }
    if libc::WIFEXITED(status) { Ok(libc::WEXITSTATUS(status)) } else { Err(libc::WTERMSIG(status)) }
}

fn explain(number: u64, end: Result<i32, i32>) -> String {
    match end {
        Ok(NO_MEMORY) => format!("child {number} was refused memory"),
        Ok(DAMAGED) => format!("child {number} found a damaged block"),
        Ok(NO_THREAD) => format!("child {number} could not run a thread"),
        Ok(GRANDCHILD_FAILED) => format!("the child of child {number} failed"),
        Ok(code) => format!("child {number} ended with code {code}"),
        Err(libc::SIGALRM) => format!("child {number} hung"),
        Err(-1) => format!("child {number} could not be forked or waited for: {}", std::io::Error::last_os_error()),
        Err(signal) => format!("child {number} was killed by signal {signal}"),
    }
}

#[test]
fn forks_among_busy_threads() {
    Scenario::new("forks_among_busy_threads").patience(300).run(|| {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let busy: Vec<_> = (0..4)
                .map(|seed| {
                    let stop = &stop;
                    scope.spawn(move || keep_busy(seed, stop))
                })
                .collect();
            let mut rng = Rng::new(99);
            let mut own = Chain::new();
            let mut failure = None;
            for number in 0..FORKS {
                own.push(Link::allocate(&ALLOC, random_size(&mut rng), number).expect("there is memory"));
                let end = wait(fork(|| child(number, &mut own)));
                if end != Ok(0) {
                    failure = Some(explain(number, end));
                    break;
                }
                if own.count() > 40 && own.free(&ALLOC) != 0 {
                    failure = Some(format!("a block of the parent is damaged after fork {number}"));
                    break;
                }
            }
            stop.store(true, SeqCst);
            let damaged: usize = busy.into_iter().map(|thread| thread.join().expect("no panic")).sum();
            assert_eq!(failure, None);
            assert_eq!(damaged + own.free(&ALLOC), 0, "blocks of the parent's that are damaged");
            free_inheritance(0..SLOTS.len()).expect("blocks of the parent's that are damaged");
        });
    });
}

/// The other way round: the threads fork, at the same time, and all of them.
#[test]
fn every_thread_forks() {
    Scenario::new("every_thread_forks").patience(300).run(|| {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let failures: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|seed| {
                    scope.spawn(move || {
                        let mut rng = Rng::new(seed);
                        (0..100).find_map(|_| {
                            allocate_in_all_classes(&mut rng, 16 << 10, 50).expect("the parent's own blocks");
                            let number = NUMBER.fetch_add(1, SeqCst) as u64;
                            let mut inherited = Chain::new();
                            inherited.push(Link::allocate(&ALLOC, 500, number).expect("there is memory"));
                            let end = wait(fork(|| child(number, &mut inherited)));
                            assert_eq!(inherited.free(&ALLOC), 0);
                            (end != Ok(0)).then(|| explain(number, end))
                        })
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(failures, Vec::<String>::new());
    });
}

/// Generations of processes, each the child of the one before, with threads in every one.
#[test]
fn a_child_of_a_child_of_a_child() {
    fn generation(left: u64) -> Result<(), i32> {
        let (mut thread, mut result) = (0, ptr::null_mut());
        // SAFETY: the argument is a number, and the thread is joined below.
        if unsafe {
            libc::pthread_create(
                &mut thread,
                ptr::null(),
                in_a_childs_thread,
                ptr::without_provenance_mut(left as usize),
            )
        } != 0
        {
            return Err(NO_THREAD);
        }
        let end = if left == 0 { Ok(0) } else { wait(fork(|| generation(left - 1))) };
        // SAFETY: the thread was created above, and not in another process.
        if unsafe { libc::pthread_join(thread, &mut result) } != 0 || !result.is_null() {
            return Err(DAMAGED);
        }
        if end == Ok(0) { allocate_in_all_classes(&mut Rng::new(left), 64 << 10, 50) } else { Err(GRANDCHILD_FAILED) }
    }
    Scenario::new("a_child_of_a_child_of_a_child").patience(120).run(|| {
        for _ in 0..20 {
            assert_eq!(generation(10), Ok(()));
        }
    });
}
