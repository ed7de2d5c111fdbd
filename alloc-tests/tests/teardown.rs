//! Allocation where most programs do not look: before `main`, in the destructors of thread-locals and of pthread
//! keys, in threads that are ending, and after `main`.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::thread;
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::chain::{Chain, Link};
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::oracle::Oracle;
use tenure_alloc_tests::player::play_random;
use tenure_alloc_tests::rng::Rng;
use tenure_alloc_tests::rss::{MIB, anonymous, mib};
use tenure_alloc_tests::sizes::Sizes;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// What a destructor does: some of everything, so that it meets empty and full magazines, all kinds of classes, and
/// the large path. Returns the number of damaged blocks.
fn work(key: u64) -> usize {
    let mut chain = Chain::new();
    for size in [32, 48, 100, 1000, 5000, 33, 40_000, 32] {
        chain.push(Link::allocate(&ALLOC, size, key).expect("there is memory"));
    }
    if key.is_multiple_of(8) {
        chain.push(Link::allocate(&ALLOC, 2 * MIB, key).expect("there is memory"));
    }
    let mut vec: Vec<u64> = Vec::new();
    vec.extend(0..200);
    vec.shrink_to_fit();
    let text = format!("{key} and {}", vec.iter().sum::<u64>());
    chain.free(&ALLOC) + usize::from(text != format!("{key} and 19900"))
}

// --- Before main.

static BEFORE_MAIN: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static DAMAGED_BEFORE_MAIN: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Created before the first allocation, and so before any key that the allocator creates: destructors run in the
/// order of the keys.
static EARLY_KEY: AtomicU32 = AtomicU32::new(u32::MAX);

#[used]
#[unsafe(link_section = ".init_array")]
static RUN_BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    let mut key = 0;
    // SAFETY: the key's address is valid, and the destructor has the type that it should.
    let error = unsafe { libc::pthread_key_create(&mut key, Some(at_the_end_of_the_thread)) };
    assert_eq!(error, 0);
    EARLY_KEY.store(key, SeqCst);
    let link = Link::allocate(&ALLOC, 777, 5).expect("there is memory");
    BEFORE_MAIN.store(link.into_raw(), SeqCst);
    let in_a_thread = thread::spawn(|| work(2)).join().expect("no panic");
    DAMAGED_BEFORE_MAIN.store(work(1) + in_a_thread, SeqCst);
}

#[test]
fn allocation_before_main() {
    assert_eq!(DAMAGED_BEFORE_MAIN.load(SeqCst), 0);
    // SAFETY: the address came from `into_raw`, and the swap gives it to us alone.
    let link = unsafe { Link::from_raw(BEFORE_MAIN.swap(ptr::null_mut(), SeqCst)) }.expect("put there before main");
    assert_eq!(link.size(), 777);
    assert!(link.free(&ALLOC), "allocated before main, damaged since");
}

// --- Destructors of thread-locals.

static DROPPED: AtomicUsize = AtomicUsize::new(0);
static DAMAGED: AtomicUsize = AtomicUsize::new(0);

/// Holds memory, and allocates and frees while it is dropped.
struct Worker {
    held: RefCell<Vec<String>>,
    key: Cell<u64>,
}

impl Worker {
    const fn new() -> Self {
        Worker { held: RefCell::new(Vec::new()), key: Cell::new(0) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut damaged = work(self.key.get());
        self.held.borrow_mut().push(format!("one more than {}", self.key.get()));
        damaged += self.held.take().iter().filter(|text| !text.starts_with("one more")).count();
        // A thread-local that is first used while others are dropped.
        let _ = LATE.try_with(|late| late.0.borrow_mut().push(self.key.get().to_string()));
        damaged += work(self.key.get() + 1);
        DAMAGED.fetch_add(damaged, SeqCst);
        DROPPED.fetch_add(1, SeqCst);
    }
}

struct Late(RefCell<Vec<String>>);

impl Drop for Late {
    fn drop(&mut self) {
        let kept: u64 = self.0.take().into_iter().flat_map(|number| number.parse::<u64>()).sum();
        DAMAGED.fetch_add(work(kept), SeqCst);
    }
}

thread_local! {
    static FIRST: Worker = const { Worker::new() };
    static SECOND: Worker = const { Worker::new() };
    // Not const: its first use calls the initialiser, which allocates.
    static THIRD: Worker = Worker { held: RefCell::new(vec!["one more".into()]), key: Cell::new(3) };
    static LATE: Late = const { Late(RefCell::new(Vec::new())) };
}

/// A thread that std knows nothing of, so that nothing has allocated in it yet.
fn bare_thread(body: extern "C" fn(*mut c_void) -> *mut c_void, argument: usize) -> usize {
    let (mut thread, mut result) = (0, ptr::null_mut());
    // SAFETY: the functions take a number for an argument, and the thread is joined here.
    unsafe {
        assert_eq!(libc::pthread_create(&mut thread, ptr::null(), body, ptr::without_provenance_mut(argument)), 0);
        assert_eq!(libc::pthread_join(thread, &mut result), 0);
    }
    result.addr()
}

extern "C" fn registers_before_the_first_allocation(key: *mut c_void) -> *mut c_void {
    FIRST.with(|first| first.key.set(key.addr() as u64));
    let damaged = work(1);
    SECOND.with(|second| second.held.borrow_mut().push("one more".into()));
    THIRD.with(|third| third.held.borrow_mut().push("one more".into()));
    ptr::without_provenance_mut(damaged)
}

extern "C" fn registers_after_the_first_allocation(key: *mut c_void) -> *mut c_void {
    let damaged = work(2);
    THIRD.with(|third| third.key.set(key.addr() as u64));
    FIRST.with(|first| first.held.borrow_mut().push("one more".into()));
    ptr::without_provenance_mut(damaged)
}

/// Does not allocate before its destructor does.
extern "C" fn only_registers(key: *mut c_void) -> *mut c_void {
    FIRST.with(|first| first.key.set(key.addr() as u64));
    ptr::null_mut()
}

#[test]
fn destructors_of_thread_locals() {
    Scenario::new("destructors_of_thread_locals").run(|| {
        for round in 0..50 {
            assert_eq!(bare_thread(registers_before_the_first_allocation, round), 0);
            assert_eq!(bare_thread(registers_after_the_first_allocation, round), 0);
            assert_eq!(bare_thread(only_registers, round), 0);
            let ordinary = thread::spawn(|| {
                THIRD.with(|third| third.held.borrow_mut().push("one more".into()));
                work(3)
            });
            assert_eq!(ordinary.join().expect("no panic"), 0);
        }
        assert_eq!(DROPPED.load(SeqCst), 50 * (3 + 2 + 1 + 1), "destructors that ran");
        assert_eq!(DAMAGED.load(SeqCst), 0);
    });
}

// --- Destructors of pthread keys.

static KEY_CALLS: AtomicUsize = AtomicUsize::new(0);

/// Sets itself again as often as pthreads calls it, which is `PTHREAD_DESTRUCTOR_ITERATIONS`, 4 times: the
/// allocator's own destructor has run by then. The value counts the calls.
unsafe extern "C" fn at_the_end_of_the_thread(value: *mut c_void) {
    KEY_CALLS.fetch_add(1, SeqCst);
    DAMAGED.fetch_add(work(value.addr() as u64), SeqCst);
    // A block that outlives the thread, from the time after its end.
    let link = Link::allocate(&ALLOC, 600, value.addr() as u64).expect("there is memory");
    // SAFETY: the addresses come from `into_raw`, and a swap gives each to one thread.
    if let Some(before) = unsafe { Link::from_raw(LEFT_BEHIND.swap(link.into_raw(), SeqCst)) } {
        DAMAGED.fetch_add(usize::from(!before.free(&ALLOC)), SeqCst);
    }
    for key in [EARLY_KEY.load(SeqCst), LATE_KEY.load(SeqCst)] {
        // SAFETY: both keys have been created, and the values are numbers.
        unsafe {
            if !libc::pthread_getspecific(key).is_null() || value.addr() < 16 {
                libc::pthread_setspecific(key, ptr::without_provenance(value.addr() + 1));
            }
        }
    }
}

static LATE_KEY: AtomicU32 = AtomicU32::new(u32::MAX);
static LEFT_BEHIND: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

extern "C" fn sets_both_keys(_: *mut c_void) -> *mut c_void {
    for key in [EARLY_KEY.load(SeqCst), LATE_KEY.load(SeqCst)] {
        // SAFETY: both keys have been created, and the values are numbers.
        unsafe { libc::pthread_setspecific(key, ptr::without_provenance(1)) };
    }
    ptr::without_provenance_mut(work(4))
}

/// Each thread allocates again after its heap was taken down, up to four times by two keys, one created before the
/// allocator's and one after; and what it leaves behind does not add up: 4000 threads may cost no more than 4 MiB,
/// which is 1 KiB for each.
#[test]
fn destructors_of_keys_that_set_themselves_again() {
    Scenario::new("destructors_of_keys_that_set_themselves_again").run(|| {
        let mut late = 0;
        // SAFETY: as for the early key.
        let error = unsafe { libc::pthread_key_create(&mut late, Some(at_the_end_of_the_thread)) };
        assert_eq!(error, 0);
        LATE_KEY.store(late, SeqCst);
        let threads = |count: usize| {
            for _ in 0..count {
                assert_eq!(bare_thread(sets_both_keys, 0), 0);
            }
        };
        threads(500);
        let start = anonymous();
        threads(4000);
        let growth = anonymous().saturating_sub(start);
        println!("4000 threads that allocate after their end: {} MiB more", mib(growth));
        assert!(growth <= 4 * MIB, "{} MiB more", mib(growth));
        assert_eq!(DAMAGED.load(SeqCst), 0);
        assert!(KEY_CALLS.load(SeqCst) >= 4500 * 6, "{} calls of destructors", KEY_CALLS.load(SeqCst));
    });
}

// --- The end of the process.

const HANDLER_RAN: i32 = 42;

extern "C" fn after_main() {
    // SAFETY: the address comes from `into_raw`, and the swap gives it to us alone.
    let left = unsafe { Link::from_raw(LEFT_BEHIND.swap(ptr::null_mut(), SeqCst)) };
    let intact = left.is_none_or(|link| link.free(&ALLOC));
    let code = if intact && work(5) == 0 { HANDLER_RAN } else { 1 };
    // The parent must see that the handler ran, to its end.
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) };
}

#[test]
fn allocation_after_main() {
    let outcome = Scenario::new("allocation_after_main").outcome(|| {
        let link = Link::allocate(&ALLOC, 3000, 9).expect("there is memory");
        LEFT_BEHIND.store(link.into_raw(), SeqCst);
        // SAFETY: the handler may be called at any exit.
        assert_eq!(unsafe { libc::atexit(after_main) }, 0);
    });
    if let Some(outcome) = outcome {
        outcome.print();
        assert_eq!(outcome.status.code(), Some(HANDLER_RAN), "{}", outcome.status);
    }
}

/// The process ends while other threads are in the middle of allocating, freeing, starting and ending.
#[test]
fn exit_while_threads_allocate() {
    for round in 0..5 {
        let scenario =
            Scenario::new("exit_while_threads_allocate").patience(60).env("TENURE_TEST_ROUND", &round.to_string());
        let outcome = scenario.outcome(|| {
            let begun = AtomicUsize::new(0);
            let begun: &'static AtomicUsize = Box::leak(Box::new(begun));
            for seed in 0..4 {
                thread::spawn(move || {
                    begun.fetch_add(1, SeqCst);
                    let mut rng = Rng::new(seed);
                    loop {
                        let number = rng.next();
                        work(number);
                        thread::spawn(move || work(number)).join().expect("no panic");
                    }
                });
            }
            while begun.load(SeqCst) < 4 {
                thread::yield_now();
            }
            work(6);
        });
        let Some(outcome) = outcome else { return };
        assert!(outcome.completed && outcome.status.success(), "round {round}: {}\n{}", outcome.status, outcome.stderr);
    }
}

/// Threads that end while others go on with their blocks, all the time: the ends run beside allocations of all kinds.
#[test]
fn threads_end_while_others_allocate() {
    Scenario::new("threads_end_while_others_allocate").run(|| {
        let done = AtomicBool::new(false);
        let oracle = Oracle::new(&ALLOC);
        thread::scope(|scope| {
            let runner = scope.spawn(|| {
                let sizes = Sizes::up_to(16 << 10);
                let outcome = (0..10).try_for_each(|seed| play_random(&oracle, None, &sizes, seed, 3000, MIB));
                done.store(true, SeqCst);
                outcome
            });
            let mut round = 0;
            while !done.load(SeqCst) {
                round += 1;
                assert_eq!(bare_thread(registers_after_the_first_allocation, round), 0);
            }
            runner.join().expect("no panic").unwrap_or_else(|fault| panic!("{fault}"));
            println!("{round} threads ended beside 30000 operations");
        });
        assert_eq!(DAMAGED.load(SeqCst), 0);
    });
}
