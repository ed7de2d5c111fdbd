//! Tags: which scope a block belongs to, whoever frees it, wherever a future is polled, and whatever the scope is called.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, exact, rng};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use tenure::snapshot::Snapshot;
use tenure::{InScopeExt, Mode, Tag};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::Scenario;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// The name of the tag that a block has.
fn tag_of(block: &Raw) -> &'static str {
    // SAFETY: the block lives, and is this long.
    let bytes = unsafe { std::slice::from_raw_parts(block.at, block.layout.size()) };
    tenure::origin(bytes).expect("this thread is exact").tag.name()
}

/// Live, allocated and freed blocks of a tag; all zero if there is none of that name.
fn counts(name: &str) -> (f64, f64, f64) {
    let snapshot = tenure::snapshot();
    let mut tags = snapshot.tags().iter().filter(|tag| tag.name == name);
    let found = tags.next().map_or((0.0, 0.0, 0.0), |t| (t.live.blocks, t.allocated.blocks, t.freed.blocks));
    assert!(tags.next().is_none(), "one name is one tag");
    found
}

#[test]
fn scopes_nest() {
    alone("scopes_nest", || {
        exact(true);
        let current = || Tag::current().name();
        assert_eq!((current(), Tag::NONE.name()), ("", ""));
        let none = Raw::new(10);
        let outer = tenure::scope("outer");
        let first = Raw::new(10);
        let inner = {
            let _in = tenure::scope("inner");
            let _again = tenure::scope("inner");
            let _none = Tag::NONE.enter();
            assert_eq!(tag_of(&Raw::new(10)), "");
            drop(_none);
            Raw::new(10)
        };
        let second = Raw::new(100_000);
        // A guard that is dropped early puts back what it found.
        let late = tenure::scope("late");
        drop(outer);
        assert_eq!(current(), "");
        drop(late);
        assert_eq!(current(), "outer");
        drop(Tag::NONE.enter());
        let blocks = [none, first, inner, second];
        assert_eq!(blocks.each_ref().map(tag_of), ["", "outer", "inner", "outer"]);
        std::panic::catch_unwind(|| {
            let _in = tenure::scope("panics");
            std::panic::resume_unwind(Box::new(1))
        })
        .expect_err("it does");
        assert_eq!(current(), "outer");
        blocks.iter().for_each(|block| block.free());
        _ = Tag::NONE.enter();
    });
}

#[test]
fn a_block_debits_its_own_tag() {
    alone("a_block_debits_its_own_tag", || {
        exact(true);
        let made = {
            let _in = tenure::scope("maker");
            [1, 500, 5000, 100_000].map(Raw::new)
        };
        assert_eq!(counts("maker"), (4.0, 4.0, 0.0));
        thread::scope(|scope| {
            scope.spawn(|| {
                let _in = tenure::scope("taker");
                made[..2].iter().for_each(|block| block.free());
            });
        });
        assert_eq!(counts("maker"), (2.0, 4.0, 2.0));
        // The thread that frees is not exact any more, nor is the process.
        exact(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _in = tenure::scope("taker");
                made[2..].iter().for_each(|block| block.free());
            });
        });
        assert_eq!(counts("maker"), (0.0, 4.0, 4.0));
        assert_eq!(counts("taker"), (0.0, 0.0, 0.0));
    });
}

/// In place a block keeps its tag; where it moves it is a new allocation.
#[test]
fn realloc() {
    alone("realloc", || {
        exact(true);
        let mut blocks = {
            let _in = tenure::scope("before");
            [100, 60_000, 200_000, 3 << 20].map(Raw::new)
        };
        let _in = tenure::scope("after");
        for block in &mut blocks {
            let at = block.at;
            block.resize(block.layout.size() * 4 / 5);
            assert_eq!((block.at, tag_of(block)), (at, "before"));
            block.resize(block.layout.size() * 20);
            assert_eq!(tag_of(block), if block.at == at { "before" } else { "after" });
        }
        let moved = blocks.iter().filter(|block| tag_of(block) == "after").count() as f64;
        assert!(moved >= 2.0);
        assert_eq!(counts("before"), (4.0 - moved, 4.0, moved));
        blocks.iter().for_each(|block| block.free());
        let after = counts("after");
        // What `tag_of` allocated here is of this scope too.
        assert_eq!((counts("before"), after.0, after.1), ((0.0, 4.0, 4.0), 0.0, after.2));
    });
}

#[test]
fn threads_inherit_on_request() {
    alone("threads_inherit_on_request", || {
        exact(true);
        let _in = tenure::scope("parent");
        let name = || Tag::current().name();
        assert_eq!(thread::spawn(name).join().expect("it ends"), "");
        assert_eq!(thread::spawn(tenure::inherit(name)).join().expect("it ends"), "parent");
        let nested = tenure::inherit(move || {
            let _in = tenure::scope("child");
            thread::spawn(tenure::inherit(name)).join().expect("it ends")
        });
        {
            // What counts is the scope where `inherit` was called.
            let _in = tenure::scope("elsewhere");
            assert_eq!(thread::spawn(nested).join().expect("it ends"), "child");
        }
        let block = thread::spawn(tenure::inherit(|| Raw::new(50))).join().expect("it ends");
        assert_eq!(tag_of(&block), "parent");
        block.free();
        // Many threads, each in a scope of its own.
        let tags: Vec<_> = (0..8).map(|i| Tag::new(&format!("thread {i}"))).collect();
        thread::scope(|scope| {
            for &tag in &tags {
                scope.spawn(move || {
                    for _ in 0..300 {
                        let _in = tag.enter();
                        let blocks: [Raw; 5] = std::array::from_fn(|i| Raw::new(1 + i * 300));
                        assert!(blocks.iter().all(|block| tag_of(block) == tag.name()));
                        blocks.iter().for_each(|block| block.free());
                    }
                });
            }
        });
        // `tag_of` has allocated in the scope too: at least these.
        assert!((0..8).all(|i| counts(&format!("thread {i}")).1 >= 1500.0));
    });
}

/// A future that yields so many times; each time it allocates.
struct Yields(usize, Arc<Mutex<Vec<Raw>>>);

impl Future for Yields {
    type Output = &'static str;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<&'static str> {
        let block = Raw::new(64);
        self.1.lock().expect("nobody panics").push(block);
        if self.0 == 0 {
            return Poll::Ready(Tag::current().name());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

/// Each task is polled by one thread, then by the other, in turns with other tasks.
#[test]
fn futures_on_several_threads() {
    alone("futures_on_several_threads", || {
        exact(true);
        const TASKS: usize = 20;
        let seen: Vec<_> = (0..TASKS).map(|_| Arc::new(Mutex::new(Vec::with_capacity(64)))).collect();
        let (to_one, one) = mpsc::channel::<Task>();
        let (to_other, other) = mpsc::channel::<Task>();
        for (i, seen) in seen.iter().enumerate() {
            let (name, seen) = (format!("task {i}"), seen.clone());
            let task = async move {
                let result = Yields(10, seen.clone()).await;
                assert_eq!(result, format!("task {i}"));
                // Another scope inside, and one that is inherited from the outer one.
                assert_eq!(Yields(3, seen.clone()).in_scope("inside").await, "inside");
                let current = Yields(3, seen.clone()).in_current_scope();
                assert_eq!(current.await, format!("task {i}"));
            };
            to_one.send(Box::pin(task.in_scope(&name))).expect("it is received below");
        }
        thread::scope(|scope| {
            for (from, to) in [(one, to_other), (other, to_one)] {
                scope.spawn(move || {
                    let waker = Waker::from(Arc::new(Nothing));
                    let mut context = Context::from_waker(&waker);
                    let _in = tenure::scope("executor");
                    // A task that is done is passed on to nobody: both ends close when all are.
                    let mut left = TASKS * 30;
                    while let Ok(mut task) = from.recv_timeout(std::time::Duration::from_millis(500)) {
                        let done = task.as_mut().poll(&mut context).is_ready();
                        assert_eq!(Tag::current().name(), "executor", "put back after each poll");
                        left -= 1;
                        if !done && to.send(task).is_err() {
                            panic!("the other thread has gone");
                        }
                    }
                    assert!(left < TASKS * 30);
                });
            }
        });
        for (i, seen) in seen.iter().enumerate() {
            let blocks = seen.lock().expect("nobody panics");
            let mine = format!("task {i}");
            // The last poll of one part is the first of the next.
            let names: Vec<_> = blocks.iter().map(tag_of).collect();
            assert_eq!(names.len(), 11 + 4 + 4);
            assert!(names[..11].iter().chain(&names[15..]).all(|name| *name == mine), "{names:?}");
            assert!(names[11..15].iter().all(|name| *name == "inside"), "{names:?}");
            blocks.iter().for_each(|block| block.free());
        }
    });
}

#[test]
fn thousands_of_names() {
    let scenario = Scenario::new("thousands_of_names").env("TENURE", "exact,tags=100");
    scenario.run(|| {
        let before = counts("other");
        let blocks: Vec<(Raw, String)> = (0..5000)
            .map(|i| {
                let name = format!("user {i}");
                let _in = tenure::scope(&name);
                (Raw::new(33), name)
            })
            .collect();
        let own = blocks.iter().filter(|(block, name)| tag_of(block) == name).count();
        let other = blocks.iter().filter(|(block, _)| tag_of(block) == "other").count();
        assert_eq!((own, other), (98, 5000 - 98), "two of the hundred are for none and for others");
        let live = tenure::snapshot().tags().iter().find(|tag| tag.name == "other").map_or(0.0, |tag| tag.live.blocks);
        assert!(live >= before.0 + other as f64);
        assert_eq!(tenure::snapshot().tags().len(), 100);
        blocks.iter().for_each(|(block, _)| block.free());
        assert_eq!(counts("user 5").2, counts("user 5").1);
    });
}

/// A name that the report uses itself.
#[test]
fn a_scope_called_other() {
    alone("a_scope_called_other", || {
        exact(true);
        let block = {
            let _in = tenure::scope("other");
            assert_eq!(Tag::current().name(), "other");
            Raw::new(10)
        };
        assert_eq!(counts("other"), (1.0, 1.0, 0.0), "one name is one tag");
        block.free();
    });
}

#[test]
fn odd_names() {
    alone("odd_names", || {
        exact(true);
        let long = "x".repeat(100_000);
        let names = ["ünïcödé", "日本語", "🦀", "a\nb\tc\0d", " ", "=", "a,b", "\"quoted\"", &long, &"é".repeat(128)];
        for name in names {
            let end = (0..=name.len().min(255)).rev().find(|&i| name.is_char_boundary(i)).expect("0 is one");
            let _in = tenure::scope(name);
            let block = Raw::new(10);
            assert_eq!(tag_of(&block), &name[..end], "{name:?}");
            assert_eq!(Tag::new(name), Tag::current());
            drop(_in);
            assert!(counts(&name[..end]).1 >= 1.0);
            block.free();
        }
        // Two long names are told apart by what is kept of them.
        assert_eq!(Tag::new(&format!("{long}1")), Tag::new(&format!("{long}2")));
        assert_ne!(Tag::new("A"), Tag::new("a"));
        assert_eq!(Tag::new(""), Tag::NONE);
        _ = tenure::snapshot().to_owned();
    });
}

/// New names from several threads at once: one name is one tag, and no two names are.
#[test]
fn threads_agree_on_names() {
    alone("threads_agree_on_names", || {
        let names: Vec<String> = (0..900).map(|i| format!("name {i}")).collect();
        // They spin, so that they come to a name at the same time.
        let arrived = AtomicUsize::new(0);
        let maps: Vec<Vec<(&String, Tag)>> = thread::scope(|scope| {
            let start = |_| {
                scope.spawn(|| {
                    let wait = |i: usize| {
                        arrived.fetch_add(1, SeqCst);
                        while arrived.load(SeqCst) < 2 * (i + 1) {
                            std::hint::spin_loop();
                        }
                    };
                    let names = names.iter().enumerate().inspect(|(i, _)| wait(*i));
                    names.map(|(_, name)| (name, Tag::new(name))).collect()
                })
            };
            let threads: Vec<_> = (0..2).map(start).collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
        });
        assert!(maps.windows(2).all(|two| two[0] == two[1]));
        assert!(maps[0].iter().all(|(name, tag)| tag.name() == *name));
    });
}

/// Scopes that begin or end while a thread or the process ends.
#[test]
fn scopes_at_the_end() {
    struct AtEnd(&'static str);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            let _in = tenure::scope(self.0);
            assert_eq!(Tag::current().name(), self.0);
            let block = Raw::new(60);
            assert_eq!(tag_of(&block), self.0);
            // What lives at the end of a thread keeps its tag; and a snapshot can be taken.
            assert_eq!(counts(self.0).0, 1.0);
            block.free();
        }
    }
    thread_local! {
        static FIRST: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
        static SCOPE: RefCell<Option<tenure::Scope>> = const { RefCell::new(None) };
    }
    extern "C" fn at_exit() {
        let _in = tenure::scope("at exit");
        let block = Raw::new(60);
        let fine = tag_of(&block) == "at exit" && counts("at exit").0 == 1.0;
        block.free();
        // Not the harness' output, which is gone.
        let text = if fine { c"[at exit all was well]\n" } else { c"[at exit something was wrong]\n" };
        // SAFETY: a string that ends with a null, and its length.
        unsafe { libc::write(1, text.as_ptr().cast(), text.count_bytes()) };
    }
    let outcome = Scenario::new("scopes_at_the_end").env("TENURE", "exact").outcome(|| {
        // SAFETY: the function may run at exit.
        unsafe { libc::atexit(at_exit) };
        for _ in 0..20 {
            thread::spawn(|| {
                SCOPE.set(Some(tenure::scope("held by a thread-local")));
                FIRST.set(Some(AtEnd("thread-local")));
                _ = Raw::new(1);
            })
            .join()
            .expect("its destructors do not panic");
        }
        assert_eq!(Tag::current().name(), "");
        FIRST.set(Some(AtEnd("of the main thread")));
    });
    if let Some(outcome) = outcome {
        outcome.print();
        assert!(outcome.status.success() && outcome.completed, "{:?}", outcome.status);
        assert!(outcome.stdout.contains("[at exit all was well]"));
    }
}

/// At random, with threads that enter, leave, allocate and free each other's: the totals are those of a ledger.
#[test]
fn a_ledger() {
    alone("a_ledger", || {
        exact(true);
        const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
        let ledger: Mutex<[[i64; 2]; 5]> = Mutex::default();
        let pool: Mutex<Vec<(Raw, usize)>> = Mutex::new(Vec::with_capacity(10_000));
        thread::scope(|scope| {
            for seed in 0..3 {
                let (ledger, pool) = (&ledger, &pool);
                scope.spawn(move || {
                    let mut rng = rng(seed);
                    let mut mine = [[0; 2]; 5];
                    for _ in 0..4000 {
                        let which = rng.below(5);
                        if rng.one_in(2) {
                            let block = {
                                let _in = tenure::scope(NAMES[which]);
                                Raw::new(rng.below(3000) + 1)
                            };
                            mine[which][0] += 1;
                            pool.lock().expect("nobody panics").push((block, which));
                        } else {
                            let _in = tenure::scope(NAMES[rng.below(5)]);
                            let taken = {
                                let mut pool = pool.lock().expect("nobody panics");
                                let at = rng.below(pool.len().max(1));
                                (at < pool.len()).then(|| pool.swap_remove(at))
                            };
                            if let Some((block, which)) = taken {
                                mine[which][1] += 1;
                                block.free();
                            }
                        }
                    }
                    let mut all = ledger.lock().expect("nobody panics");
                    all.iter_mut().flatten().zip(mine.into_iter().flatten()).for_each(|(sum, n)| *sum += n);
                });
            }
        });
        tenure::set_mode(Mode::Off);
        let ledger = ledger.into_inner().expect("nobody panics");
        for (name, [allocated, freed]) in NAMES.iter().zip(ledger) {
            let (a, f) = (allocated as f64, freed as f64);
            assert_eq!(counts(name), (a - f, a, f), "{name}");
        }
        let snapshot: Snapshot = tenure::snapshot();
        let live: f64 =
            snapshot.tags().iter().filter(|t| NAMES.contains(&t.name.as_str())).map(|t| t.live.blocks).sum();
        let pool = pool.into_inner().expect("nobody panics");
        assert_eq!(live, pool.len() as f64);
        pool.iter().for_each(|(block, _)| block.free());
    });
}
