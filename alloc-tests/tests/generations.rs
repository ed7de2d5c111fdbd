//! Thresholds, collections, what they give back and say of it, hooks, ages of what lives, and what survives a fork.
//!
//! Each scenario has a process of its own: clock, collections and hooks are the process'.

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{TryRecvError, channel};
use std::thread;
use std::time::Duration;
use tenure::generation::{self, Event, Generation, Generation::*};
use tenure::{Tenure, Thresholds};
use tenure_alloc_tests::child::Scenario;

// Without the helper thread, so that nothing is given back but by collections, and by frees of much.
#[global_allocator]
static ALLOC: Tenure = Tenure::new().helper_thread(false).thresholds(QUICK);

const QUICK: Thresholds =
    Thresholds { young_bytes: 1 << 20, young_per_middle: 3, middle_per_old: 4, free_percent: 25, idle_ms: 86_400_000 };

fn churn(bytes: usize) {
    for _ in 0..bytes / 1024 {
        drop(black_box(vec![0u8; 1024]));
    }
}

fn collections(generation: Generation) -> u64 {
    generation::stats()[generation as usize].collections
}

#[test]
fn bad_thresholds_change_nothing() {
    Scenario::new("bad_thresholds_change_nothing").run(|| {
        assert_eq!(generation::thresholds(), QUICK);
        let error = generation::set_thresholds(Thresholds { young_bytes: 0, young_per_middle: 7, ..QUICK });
        assert_eq!(error.expect_err("no bytes").name, "young_bytes");
        assert_eq!(generation::thresholds(), QUICK);
        let other = Thresholds { young_bytes: 2 << 20, ..QUICK };
        generation::set_thresholds(other).expect("within bounds");
        assert_eq!(generation::thresholds(), other);
    });
}

#[test]
fn thresholds_begin_collections() {
    Scenario::new("thresholds_begin_collections").run(|| {
        let counts = generation::counts();
        assert_eq!((counts.young, counts.middle), (0, 0));
        churn(240 << 20);
        let [young, middle, old] = generation::stats();
        // An epoch may be a step of the clock longer than its threshold, and a collection that is due may wait for the next.
        let all = young.collections + middle.collections + old.collections;
        assert!((200..=240).contains(&all), "{all} collections of 240 MiB");
        let near = |a: u64, b: u64| a.abs_diff(b) <= 2;
        assert!(near(middle.collections + old.collections, all / 3), "{young:?} {middle:?} {old:?}");
        assert!(near(old.collections, all / 12), "{middle:?} {old:?}");
        assert!([young, middle, old].iter().all(|g| g.automatic == g.collections));
        assert!(old.last.expect("there was one").census.is_some() && middle.last.expect("one").census.is_none());
        let counts = generation::counts();
        assert!(counts.young < 3 && counts.middle < 4 && counts.young_bytes < 2 << 20, "{counts:?}");
    });
}

#[test]
fn none_while_disabled() {
    Scenario::new("none_while_disabled").run(|| {
        assert!(generation::is_enabled());
        generation::disable();
        assert!(!generation::is_enabled());
        let (before, epoch) = (generation::stats(), tenure::stats().epoch);
        churn(40 << 20);
        assert_eq!(generation::stats(), before);
        assert!(tenure::stats().epoch >= epoch + 30, "the clock goes on");
        assert_eq!(generation::poll(), None);
        generation::enable();
        churn(4 << 20);
        assert!(collections(Old) > before[2].collections, "what was due is done");
    });
}

#[test]
fn what_was_asked_for() {
    Scenario::new("what_was_asked_for").run(|| {
        generation::disable();
        let epoch = tenure::stats().epoch;
        for (i, generation) in [Young, Middle, Old, Young].into_iter().enumerate() {
            let collection = generation::collect(generation);
            assert_eq!((collection.generation, collection.automatic, collection.steps), (generation, false, 1));
            assert_eq!(collection.number, 1 + (i == 3) as u64);
            assert_eq!(collection.epoch, epoch + 1 + i as u64, "each ends an epoch");
            assert_eq!(generation::stats()[generation as usize].last, Some(collection));
        }
        let counts = generation::counts();
        assert_eq!((counts.young, counts.middle), (1, 0), "the old one began them anew");
    });
}

#[test]
fn what_is_free_goes_back() {
    // Without samples: a collection gives back their empty page, and its holes are none from then on, though nothing fills them.
    Scenario::new("what_is_free_goes_back").env("TENURE", "off").run(|| {
        generation::disable();
        let blocks: Vec<_> = (0..20_000).map(|i| vec![i as u8; 1000]).collect();
        let kept: Vec<_> = blocks.into_iter().enumerate().filter(|(i, _)| i % 1000 == 0).collect();
        let before = tenure::stats();
        _ = generation::collect(Young); // sees what nobody touches
        let young = generation::collect(Young);
        assert!(young.reclaimed.sent_home > 0 && young.reclaimed.purged == 0, "{young}");
        let old = generation::collect(Old);
        let after = tenure::stats();
        assert_eq!(old.committed, after.committed as u64);
        assert_eq!(old.reclaimed.purged, (after.purged + after.holes - before.purged - before.holes) as u64);
        assert!(after.due as u64 * 4 <= old.committed, "a quarter stays at most: {after}");
        // The survivors keep their pages, and of these at least the OS page that each lies on.
        assert!(old.pinned >= 20 * 2048 && old.pinned < 4 << 20, "{old}");
        assert!(old.committed < 8 << 20, "{old}");
        drop(kept);
    });
}

#[test]
fn pages_of_ended_threads_are_adopted() {
    Scenario::new("pages_of_ended_threads_are_adopted").run(|| {
        generation::disable();
        // More threads than shards, at once: this one's shard is not the only one that is used.
        let barrier = std::sync::Barrier::new(16);
        let kept: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        let mut blocks: Vec<_> = (0..4000).map(|_| Box::new([0u64; 12])).collect();
                        barrier.wait();
                        let mut odd = false;
                        blocks.retain(|_| {
                            odd = !odd;
                            odd
                        });
                        blocks
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
        });
        _ = generation::collect(Young);
        let first = generation::collect(Old);
        let second = generation::collect(Old);
        assert!(first.reclaimed.adopted > 500_000, "half of 6 MiB was free, most of it elsewhere: {first}");
        assert!(second.reclaimed.adopted < 100_000, "once is enough: {second}");
        tenure::internals::check();
        assert!(kept.iter().flatten().all(|block| block[0] == 0));
    });
}

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
static PANICS: AtomicBool = AtomicBool::new(false);

fn hear(event: Event<'_>) {
    let text = match event {
        Event::Before(generation) => format!("before {generation}"),
        Event::After(c) => format!("after {} {}", c.generation, if c.automatic { "auto" } else { "asked" }),
        _ => "?".to_owned(),
    };
    HEARD.lock().expect("nobody panics with it").push(text);
    if PANICS.load(SeqCst) {
        panic!("this is planned");
    }
    // A hook may collect. It is not called for that.
    _ = generation::collect(Young);
}

fn heard() -> Vec<String> {
    std::mem::take(&mut HEARD.lock().expect("nobody panics with it"))
}

#[test]
fn hooks_are_called_outside() {
    Scenario::new("hooks_are_called_outside").run(|| {
        generation::disable();
        let first = generation::on_collection(&hear).expect("there is room");
        _ = generation::collect(Middle);
        assert_eq!(heard(), ["before middle", "after middle asked"]);
        PANICS.store(true, SeqCst);
        let second = generation::on_collection(&hear).expect("there is room");
        _ = generation::collect(Old);
        assert_eq!(heard(), ["before old", "before old", "after old asked", "after old asked"]);
        PANICS.store(false, SeqCst);
        generation::remove_hook(second);
        // Automatic ones are heard of later, in order: without a thread for them, when somebody polls.
        generation::enable();
        churn(5 << 20);
        generation::disable();
        assert_eq!(heard(), Vec::<String>::new());
        let automatic: u64 = generation::stats().iter().map(|g| g.automatic).sum();
        assert_eq!(generation::poll(), None);
        let all = heard();
        assert!(all.len() as u64 == automatic && automatic >= 3, "{all:?}, {automatic}");
        assert!(all.iter().all(|text| text.starts_with("after") && text.ends_with("auto")), "{all:?}");
        generation::remove_hook(first);
        _ = generation::collect(Young);
        assert_eq!(heard(), Vec::<String>::new());
    });
}

#[test]
fn poll_does_what_is_due() {
    Scenario::new("poll_does_what_is_due").run(|| {
        generation::disable();
        let _hook = generation::on_collection(&hear).expect("there is room");
        churn(2 << 20);
        generation::enable();
        // No step of the clock in between.
        let collection = generation::poll().expect("an epoch has ended");
        assert!(collection.automatic);
        assert_eq!(heard().len(), 2);
    });
}

#[test]
fn there_are_sixteen_hooks() {
    Scenario::new("there_are_sixteen_hooks").run(|| {
        let ids: Vec<_> = (0..16).map(|_| generation::on_collection(&hear).expect("there is room")).collect();
        let error = generation::on_collection(&hear).expect_err("there is none");
        assert_eq!(error.to_string(), "there are 16 hooks already, and no more were added; remove one first");
        ids.into_iter().for_each(generation::remove_hook);
        let _hook = generation::on_collection(&hear).expect("there is room again");
    });
}

#[test]
fn hooks_have_a_thread() {
    let scenario = Scenario::new("hooks_have_a_thread").env("TENURE", "helper=on");
    scenario.run(|| {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        static OTHER: AtomicBool = AtomicBool::new(false);
        let main = thread::current().id();
        let hook = move |event: Event<'_>| {
            if matches!(event, Event::After(_)) {
                // It allocates, and needs some stack.
                let much = black_box([0u8; 512 << 10]);
                drop(black_box(vec![much[17]; 10]));
                OTHER.fetch_or(thread::current().id() != main, SeqCst);
                COUNT.fetch_add(1, SeqCst);
            }
        };
        let _hook = generation::on_collection(Box::leak(Box::new(hook))).expect("there is room");
        churn(20 << 20);
        // However long it takes: the parent's patience is the limit.
        while COUNT.load(SeqCst) == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(OTHER.load(SeqCst), "never inside an allocation");
    });
}

#[test]
fn one_at_a_time() {
    Scenario::new("one_at_a_time").run(|| {
        let stop = AtomicBool::new(false);
        let mut numbers: Vec<_> = thread::scope(|scope| {
            let busy: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        while !stop.load(SeqCst) {
                            churn(1 << 20);
                        }
                    })
                })
                .collect();
            let threads: Vec<_> = (0..4)
                .map(|i| {
                    scope
                        .spawn(move || (0..25).map(|_| generation::collect(Generation::ALL[i % 3])).collect::<Vec<_>>())
                })
                .collect();
            let all = threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect();
            stop.store(true, SeqCst);
            busy.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
            all
        });
        numbers.sort_by_key(|c| (c.generation, c.number));
        numbers.windows(2).for_each(|w| assert_ne!((w[0].generation, w[0].number), (w[1].generation, w[1].number)));
        let all = generation::stats();
        for generation in Generation::ALL {
            let g = all[generation as usize];
            assert_eq!(g.last.map_or(0, |last| last.number), g.collections);
        }
        tenure::internals::check();
    });
}

#[test]
fn a_forked_child_collects() {
    Scenario::new("a_forked_child_collects").run(|| {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        _ = generation::collect(Old);
                        churn(1 << 20);
                    }
                });
            }
            for _ in 0..40 {
                // SAFETY: the child calls nothing that needs the threads that it does not have.
                let pid = unsafe { libc::fork() };
                assert!(pid >= 0);
                if pid == 0 {
                    let before = collections(Young);
                    churn(3 << 20);
                    _ = generation::collect(Old);
                    let good = collections(Young) > before;
                    // SAFETY: no destructors, no exit handlers.
                    unsafe { libc::_exit(if good { 0 } else { 1 }) };
                }
                let mut status = 0;
                // SAFETY: the child is ours.
                assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
                assert_eq!(status, 0, "the child collects, automatically too");
            }
            stop.store(true, SeqCst);
        });
    });
}

/// What a thread was doing at the fork that the child does not have is forgotten, though the child asks what was done first.
#[test]
fn a_forked_child_finishes_nothing() {
    Scenario::new("a_forked_child_finishes_nothing").run(|| {
        generation::disable();
        let (stop, mut statuses) = (AtomicBool::new(false), Vec::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    _ = generation::collect(Old);
                }
            });
            for _ in 0..40 {
                // SAFETY: the child calls nothing that needs the thread that it does not have.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    let before = collections(Old);
                    _ = generation::collect(Old);
                    // SAFETY: no destructors, no exit handlers.
                    unsafe { libc::_exit((collections(Old) - before) as i32) };
                }
                let mut status = 0;
                // SAFETY: the child is ours.
                let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
                statuses.push((waited == pid && libc::WIFEXITED(status)).then(|| libc::WEXITSTATUS(status)));
            }
            stop.store(true, SeqCst);
        });
        assert_eq!(statuses, [Some(1); 40], "collections of each child");
    });
}

#[test]
fn ages_of_the_living() {
    let scenario = Scenario::new("ages_of_the_living").env("TENURE", "exact");
    scenario.run(|| {
        generation::disable();
        tenure::internals::set_young_bytes(u64::MAX >> 8);
        let [mut young, mut middle, mut old] = [const { Vec::<Vec<u8>>::new() }; 3];
        let before = generation::collect(Old).census.expect("an old one counts");
        // Old are 12 epochs: what is born now is as old as that when the last collection below has ended its epoch.
        old.extend((0..100).map(|_| vec![1; 1000]));
        (0..4).for_each(|_| _ = generation::collect(Young));
        middle.extend((0..50).map(|_| vec![1; 2000]));
        (0..7).for_each(|_| _ = generation::collect(Young));
        young.extend((0..10).map(|_| vec![1; 5000]));
        let census = generation::collect(Old).census.expect("an old one counts");
        assert!(census.old.bytes - before.old.bytes >= 100_000.0 && census.old.bytes_error == 0.0, "{census:?}");
        assert_eq!((census.middle.blocks, census.middle.bytes), (51.0, 100_000.0 + 50.0 * 24.0), "{census:?}");
        assert!(census.young.blocks >= 11.0 && census.young.bytes >= 50_000.0, "{census:?}");
        // What is frozen is of no generation; what is born after that is.
        generation::freeze();
        let later: Vec<_> = (0..30).map(|_| vec![1u8; 3000]).collect();
        (0..12).for_each(|_| _ = generation::collect(Young));
        let frozen = generation::collect(Old).census.expect("an old one counts");
        let all = |c: generation::Census| c.young.blocks + c.middle.blocks + c.old.blocks;
        assert_eq!((frozen.old.blocks, frozen.old.bytes), (31.0, 90_000.0 + 30.0 * 24.0), "{frozen:?}");
        assert_eq!(frozen.permanent.blocks, all(census), "{frozen:?}, {census:?}");
        generation::unfreeze();
        let thawed = generation::collect(Old).census.expect("an old one counts");
        assert_eq!((thawed.permanent.blocks, all(thawed)), (0.0, all(frozen) + frozen.permanent.blocks));
        drop((young, middle, old, later));
    });
}

#[test]
fn an_idle_process_ages() {
    let scenario = Scenario::new("an_idle_process_ages").env("TENURE", "idle=100ms");
    scenario.run(|| {
        let epoch = tenure::stats().epoch;
        thread::sleep(Duration::from_millis(450));
        let now = tenure::stats().epoch;
        assert!(now >= epoch + 4, "{epoch} before half a second, {now} after it");
    });
}

#[test]
fn a_signal_handler_does_not_wait_for_what_it_interrupts() {
    Scenario::new("a_signal_handler_does_not_wait_for_what_it_interrupts").run(|| {
        static INSIDE: AtomicU64 = AtomicU64::new(0);
        static HANDLED: AtomicU64 = AtomicU64::new(0);
        extern "C" fn handler(_: i32) {
            INSIDE.fetch_add(u64::from(generation::collect(Young).number == 0), SeqCst);
            HANDLED.fetch_add(1, SeqCst);
        }
        // SAFETY: the handler allocates nothing and takes no lock that it may have interrupted.
        unsafe { libc::signal(libc::SIGUSR1, handler as extern "C" fn(i32) as usize) };
        // SAFETY: no preconditions.
        let main = unsafe { libc::pthread_self() };
        let (done, end) = channel::<()>();
        let other = thread::spawn(move || {
            let mut sent = 0;
            while end.try_recv() == Err(TryRecvError::Empty) {
                // SAFETY: the main thread waits for this one.
                unsafe { libc::pthread_kill(main, libc::SIGUSR1) };
                sent += 1;
                // Or it would do nothing but handle signals.
                while HANDLED.load(SeqCst) < sent {
                    thread::yield_now();
                }
                (0..sent % 1000 * 10).for_each(|_| std::hint::spin_loop());
            }
        });
        let mut collections = 0;
        while INSIDE.load(SeqCst) == 0 && collections < 100_000 {
            _ = generation::collect(Middle);
            collections += 1;
        }
        drop(done);
        other.join().expect("it does not panic");
        assert!(INSIDE.load(SeqCst) > 0, "no signal met a collection in {collections}");
    });
}

#[test]
fn a_line_for_each_collection() {
    let scenario = Scenario::new("a_line_for_each_collection").env("TENURE", "trace");
    let Some(outcome) = scenario.outcome(|| {
        churn(40 << 20);
        _ = generation::collect(Old);
        let all: u64 = generation::stats().iter().map(|g| g.collections).sum();
        println!("\n<{all}>");
    }) else {
        return;
    };
    assert!(outcome.status.success() && outcome.completed, "{outcome:?}");
    let line = regex::Regex::new(
        r"^tenure: (young|middle|old) [0-9]+ @[0-9]+\.[0-9]{3}s epoch [0-9]+: SIZE -> SIZE(, (home|retired|adopted|purged) SIZE)*, pinned SIZE(, alive SIZE \+ SIZE \+ SIZE)?, [0-9.]+ ms(, asked| in [0-9]+ steps, longest [0-9.]+ ms)?$"
            .replace("SIZE", r"[0-9.]+ (B|KiB|MiB|GiB)")
            .as_str(),
    )
    .expect("an expression");
    let lines: Vec<_> = outcome.stderr.lines().filter(|line| line.starts_with("tenure: ")).collect();
    lines.iter().for_each(|text| assert!(line.is_match(text), "{text}"));
    let count: usize =
        outcome.stdout.lines().find_map(|l| l.strip_prefix('<')?.strip_suffix('>')?.parse().ok()).expect("a number");
    // What was collected after the count was made is not in it.
    assert!(lines.len() >= count && count >= 30, "{} lines of {count} collections", lines.len());
}
