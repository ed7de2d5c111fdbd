//! Statistics are exact while threads rest, in every mode: whatever was allocated and not freed is what they say, for each class,
//! though nothing is counted at an allocation or a free.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, exact, rng};
use std::sync::Barrier;
use std::thread;
use tenure::internals::{self, tracker};
use tenure::{Stats, Tenure, stats};

// Without the helper, which would be one more thread that does not rest.
#[global_allocator]
static ALLOC: Tenure = Tenure::new().helper_thread(false);

/// What the statistics say beyond an earlier reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Delta {
    live: i64,
    live_blocks: i64,
    allocated: i64,
    freed: i64,
}

fn delta(from: &Stats, to: &Stats) -> Delta {
    Delta {
        live: to.live as i64 - from.live as i64,
        live_blocks: to.live_blocks as i64 - from.live_blocks as i64,
        allocated: to.allocated_blocks as i64 - from.allocated_blocks as i64,
        freed: to.freed_blocks as i64 - from.freed_blocks as i64,
    }
}

fn class_of(stats: &Stats, size: usize) -> usize {
    stats.classes.iter().position(|c| c.block_size >= size).expect("a class")
}

/// The modes that figures must not depend on.
const MODES: [(&str, fn()); 4] = [
    ("plain", || ()),
    ("sampled", || tracker::set_mean(2000)),
    ("exact", || exact(true)),
    ("exact here and sampled elsewhere", || {
        tracker::set_mean(2000);
        tracker::set_exact_here(true);
    }),
];

fn leave_mode() {
    tracker::set_mean(0);
    tracker::set_exact_here(false);
    exact(false);
}

/// How often each class is allocated by the tests below: different, and more than a magazine of some.
fn many(class: usize) -> usize {
    1 + class * 37 % 300 / (1 + class / 30)
}

/// All classes: `n` of each are allocated, the figures compared, a part freed, compared, the rest freed.
fn known_counts(name: &str) {
    let before = stats();
    let sizes: Vec<usize> = before.classes.iter().map(|c| c.block_size).collect();
    let mut blocks: Vec<Vec<Raw>> = (0..sizes.len()).map(|class| Vec::with_capacity(many(class))).collect();
    let before = stats();
    let (mut n, mut bytes) = (0, 0);
    for (class, blocks) in blocks.iter_mut().enumerate() {
        blocks.extend((0..many(class)).map(|_| Raw::new(sizes[class])));
        n += blocks.len() as i64;
        bytes += (blocks.len() * sizes[class]) as i64;
    }
    let full = stats();
    assert_eq!(
        delta(&before, &full),
        Delta { live: bytes, live_blocks: n, allocated: n, freed: 0 },
        "{name}: all classes"
    );
    for (class, (before, full)) in before.classes.iter().zip(full.classes.iter()).enumerate() {
        assert_eq!(full.live_blocks - before.live_blocks, many(class) as u64, "{name}: class {class} live");
        assert_eq!(full.allocated_blocks - before.allocated_blocks, many(class) as u64, "{name}: class {class}");
    }
    let (mut freed, mut freed_bytes) = (0, 0);
    for (class, blocks) in blocks.iter_mut().enumerate() {
        let some = blocks.len() / 3;
        blocks.drain(some..).for_each(|b| {
            b.free();
            freed += 1;
            freed_bytes += sizes[class] as i64;
        });
        if class % 10 == 0 {
            internals::take_idle();
        }
    }
    let part = stats();
    assert_eq!(
        delta(&full, &part),
        Delta { live: -freed_bytes, live_blocks: -freed, allocated: 0, freed },
        "{name}: a part was freed"
    );
    for (class, (full, part)) in full.classes.iter().zip(part.classes.iter()).enumerate() {
        let freed = many(class) - many(class) / 3;
        assert_eq!(full.live_blocks - part.live_blocks, freed as u64, "{name}: class {class} after frees");
    }
    internals::collect();
    assert_eq!(delta(&part, &stats()), Delta { live: 0, live_blocks: 0, allocated: 0, freed: 0 }, "{name}: collected");
    blocks.iter_mut().flat_map(|blocks| blocks.drain(..)).for_each(Raw::free);
    assert_eq!(
        delta(&before, &stats()),
        Delta { live: 0, live_blocks: 0, allocated: n, freed: n },
        "{name}: all was freed"
    );
    internals::check();
}

#[test]
fn one_thread_in_every_mode() {
    alone("one_thread_in_every_mode", || {
        for (name, enter) in MODES {
            enter();
            known_counts(name);
            leave_mode();
            known_counts("plain, after another mode");
        }
    });
}

/// Between any two operations, whatever the magazines are in the middle of.
#[test]
fn at_every_step() {
    alone("at_every_step", || {
        for (name, enter) in MODES {
            enter();
            let mut live: Vec<Raw> = Vec::with_capacity(4000);
            let mut rng = rng(4);
            let before = stats();
            let (mut allocated, mut freed) = (0, 0);
            for step in 0..6000 {
                if live.is_empty() || live.len() < live.capacity() && rng.below(100) < 40 + step / 40 % 40 {
                    live.push(Raw::new([24, 200, 3000][rng.below(3)]));
                    allocated += 1;
                } else {
                    live.swap_remove(rng.below(live.len())).free();
                    freed += 1;
                }
                if rng.one_in(500) {
                    internals::take_idle();
                }
                if step % 7 == 0 {
                    let now = delta(&before, &stats());
                    let live = (now.live_blocks, allocated - freed);
                    assert_eq!(live.0, live.1, "{name}: live at step {step}");
                    assert_eq!((now.allocated, now.freed), (allocated, freed), "{name}: ever, at step {step}");
                }
            }
            live.drain(..).for_each(Raw::free);
            leave_mode();
        }
    });
}

#[test]
fn blocks_that_change_their_mode() {
    alone("blocks_that_change_their_mode", || {
        let mut blocks: Vec<Raw> = Vec::with_capacity(3000);
        let before = stats();
        for (_, enter) in MODES {
            enter();
            blocks.extend((0..500).map(|i| Raw::new(1 + i * 7)));
            leave_mode();
        }
        let n = blocks.len() as i64;
        assert_eq!(delta(&before, &stats()).live_blocks, n);
        hooks_support::shuffle(&mut blocks, 6);
        for (i, (_, enter)) in MODES.iter().enumerate() {
            enter();
            blocks.drain(blocks.len() - 500..).for_each(Raw::free);
            let now = delta(&before, &stats());
            assert_eq!((now.live_blocks, now.allocated), (n - 500 * (i as i64 + 1), n));
            leave_mode();
        }
        assert_eq!(delta(&before, &stats()), Delta { live: 0, live_blocks: 0, allocated: n, freed: n });
    });
}

/// Blocks of threads that sleep, that were freed by others, and that outlived their thread.
#[test]
fn other_threads() {
    alone("other_threads", || {
        // Of a class that std asks for nothing of (it keeps what a thread returns in a block of that size).
        const SIZE: usize = 7000;
        for (name, enter) in MODES {
            enter();
            // What std keeps for ever once a barrier and a thread were used in this mode.
            thread::spawn(|| ()).join().expect("a thread");
            let before = stats();
            let class = class_of(&before, SIZE);
            let of = |s: &Stats| {
                let (b, c) = (&before.classes[class], &s.classes[class]);
                (c.live_blocks - b.live_blocks, c.allocated_blocks - b.allocated_blocks)
            };
            let (full, freed) = (Barrier::new(4), Barrier::new(4));
            let here = thread::scope(|scope| {
                let threads: [_; 3] = std::array::from_fn(|i| {
                    let (full, freed) = (&full, &freed);
                    scope.spawn(move || {
                        let mut blocks = [const { None }; 200];
                        blocks[..100 + i].iter_mut().for_each(|b| *b = Some(Raw::new(SIZE)));
                        blocks[..20].iter_mut().for_each(|b| b.take().expect("a block").free());
                        full.wait();
                        freed.wait();
                        blocks
                    })
                });
                full.wait();
                let (live, allocated) = of(&stats());
                assert_eq!((live, allocated), (303 - 60, 303), "{name}: while they sleep");
                assert_eq!(stats().threads, before.threads + 3);
                internals::collect();
                assert_eq!(of(&stats()), (303 - 60, 303), "{name}: their magazines were taken");
                freed.wait();
                threads.map(|thread| thread.join().expect("a thread"))
            });
            assert_eq!(of(&stats()), (243, 303), "{name}: after their end");
            here.iter().flatten().flatten().for_each(|b| b.free());
            assert_eq!(of(&stats()), (0, 303), "{name}: freed by another thread");
            let now = stats();
            assert_eq!(
                (now.live_blocks, now.live),
                (before.live_blocks, before.live),
                "{name}: std's blocks are freed too"
            );
            assert_eq!(now.threads, before.threads);
            leave_mode();
        }
    });
}

#[test]
fn threads_that_come_and_go() {
    alone("threads_that_come_and_go", || {
        for (name, enter) in MODES {
            enter();
            thread::spawn(|| ()).join().expect("a thread");
            let before = stats();
            for i in 0..60 {
                let kept = thread::spawn(move || {
                    let blocks = std::array::from_fn::<_, 150, _>(|k| Raw::new(1 + (i * 31 + k * 57) % 9000));
                    blocks[75..].iter().for_each(|b| b.free());
                    blocks
                });
                kept.join().expect("a thread")[..75].iter().for_each(|b| b.free());
            }
            let now = delta(&before, &stats());
            assert_eq!((now.live, now.live_blocks), (0, 0), "{name}");
            assert_eq!(now.allocated, now.freed, "{name}");
            assert!(now.allocated >= 60 * 150, "{name}");
            leave_mode();
        }
    });
}

#[test]
fn large_blocks() {
    alone("large_blocks", || {
        for (name, enter) in MODES {
            enter();
            let before = stats();
            let sizes = [65_537, 100_000, 1 << 20, 50 << 20];
            let blocks = sizes.map(Raw::new);
            let live: usize = sizes.iter().map(|s| s.next_multiple_of(64 << 10)).sum();
            let now = stats();
            assert_eq!(
                delta(&before, &now),
                Delta { live: live as i64, live_blocks: 4, allocated: 4, freed: 0 },
                "{name}"
            );
            assert_eq!(
                (now.large.live_blocks, now.large.live),
                (4 + before.large.live_blocks, live + before.large.live)
            );
            blocks.into_iter().for_each(Raw::free);
            assert_eq!(delta(&before, &stats()), Delta { live: 0, live_blocks: 0, allocated: 4, freed: 4 }, "{name}");
            leave_mode();
        }
    });
}

/// In the child, what this thread does is exact again; what the vanished thread's magazines held counts as live for ever.
#[test]
fn in_a_forked_child() {
    alone("in_a_forked_child", || {
        for (name, enter) in [MODES[0], MODES[1], MODES[3]] {
            enter();
            fork_beside_a_thread(name);
            leave_mode();
        }
    });
}

fn fork_beside_a_thread(name: &str) {
    const THEIRS: usize = 5000;
    const OURS: usize = 2900;
    internals::collect(); // so that what is free of either class is in the other thread's magazines, and nowhere else
    let (ready, done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let blocks = std::array::from_fn::<_, 40, _>(|_| Raw::new(THEIRS));
            // Not so many that they go to a depot, where they would not be the thread's.
            blocks[39].free();
            ready.wait();
            done.wait();
            blocks
        });
        ready.wait();
        let ours = std::array::from_fn::<_, 30, _>(|_| Raw::new(OURS));
        ours[20..].iter().for_each(|b| b.free());
        let parent = stats();
        let [theirs, mine] = [THEIRS, OURS].map(|size| class_of(&parent, size));
        // SAFETY: the other thread sleeps and holds no lock; the child calls this allocator and std's output, and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let checked = std::panic::catch_unwind(|| {
                let child = stats();
                let (p, c) = (&parent.classes[mine], &child.classes[mine]);
                assert_eq!((c.live_blocks, c.allocated_blocks), (p.live_blocks, p.allocated_blocks), "{name}: ours");
                let (p, c) = (&parent.classes[theirs], &child.classes[theirs]);
                assert_eq!(c.live_blocks, p.live_blocks + p.cached_blocks, "{name}: theirs");
                assert_eq!(child.threads, 1, "{name}");
                let blocks = std::array::from_fn::<_, 300, _>(|i| Raw::new([THEIRS, OURS, 64][i % 3]));
                assert_eq!(
                    delta(&child, &stats()),
                    Delta { live: (5120 + 3072 + 64) * 100, live_blocks: 300, allocated: 300, freed: 0 },
                    "{name}: new ones"
                );
                blocks.into_iter().for_each(Raw::free);
                ours[..20].iter().for_each(|b| b.free());
                let now = delta(&child, &stats());
                assert_eq!((now.live_blocks, now.allocated, now.freed), (-20, 300, 320), "{name}: inherited ones");
                internals::collect();
                assert_eq!(delta(&child, &stats()), now, "{name}: collected");
                internals::check();
            });
            // SAFETY: the child ends here, without the handlers and buffers that it shares with its parent.
            unsafe { libc::_exit(checked.is_err() as i32) };
        }
        assert!(child > 0);
        let mut status = 0;
        // SAFETY: the status is ours.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        done.wait();
        other.join().expect("the other thread")[..39].iter().for_each(|b| b.free());
        ours[..20].iter().for_each(|b| b.free());
        assert_eq!(status, 0, "{name}: the child found an error");
    });
}
