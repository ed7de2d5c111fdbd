//! Frees from other threads than the one that allocated, in all patterns that programs have.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use tenure_alloc_tests::chain::{Chain, Link, SMALLEST};
use tenure_alloc_tests::oracle::{Block, Fault, Oracle};
use tenure_alloc_tests::rng::Rng;
use tenure_alloc_tests::{Tenure, sizes::Sizes};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

type Watched = Oracle<'static, Tenure>;

fn good<T>(outcome: Result<T, Fault>) -> T {
    outcome.unwrap_or_else(|fault| panic!("{fault}"))
}

fn random_block(oracle: &Watched, rng: &mut Rng, sizes: &Sizes) -> Block {
    let zeroed = rng.one_in(4);
    good(oracle.allocate(sizes.layout(rng), zeroed))
}

fn small() -> Sizes {
    Sizes::up_to(16 << 10)
}

#[test]
fn one_producer_many_consumers() {
    let oracle = Watched::new(&ALLOC);
    thread::scope(|scope| {
        let consumers: Vec<SyncSender<Block>> = (0..7)
            .map(|_| {
                let (sender, receiver) = sync_channel(100);
                let oracle = &oracle;
                scope.spawn(move || receiver.into_iter().for_each(|block| good(oracle.free(block))));
                sender
            })
            .collect();
        let (mut rng, sizes) = (Rng::new(1), small());
        for number in 0..40_000 {
            let block = random_block(&oracle, &mut rng, &sizes);
            consumers[number % consumers.len()].send(block).expect("the consumers listen");
        }
    });
    assert!(oracle.is_idle());
}

#[test]
fn many_producers_one_consumer() {
    let oracle = Watched::new(&ALLOC);
    let (sender, receiver) = sync_channel(1000);
    thread::scope(|scope| {
        for seed in 0..7 {
            let (oracle, sender) = (&oracle, sender.clone());
            scope.spawn(move || {
                let (mut rng, sizes) = (Rng::new(seed), small());
                (0..5000)
                    .for_each(|_| sender.send(random_block(oracle, &mut rng, &sizes)).expect("the consumer listens"));
            });
        }
        drop(sender);
        receiver.into_iter().for_each(|block| good(oracle.free(block)));
    });
    assert!(oracle.is_idle());
}

/// Each thread passes what it gets on to the next; on the way blocks are resized, freed and replaced.
#[test]
fn a_ring() {
    const THREADS: usize = 8;
    let oracle = Watched::new(&ALLOC);
    thread::scope(|scope| {
        // Room for all blocks at once, so that a full ring does not stop for ever.
        let (senders, mut receivers): (VecDeque<SyncSender<Block>>, VecDeque<Receiver<Block>>) =
            (0..THREADS).map(|_| sync_channel(THREADS * 64)).unzip();
        let mut senders = senders;
        senders.rotate_left(1);
        for (seed, sender) in senders.into_iter().enumerate() {
            let (oracle, receiver) = (&oracle, receivers.pop_front().expect("as many as senders"));
            scope.spawn(move || {
                let (mut rng, sizes) = (Rng::new(100 + seed as u64), small());
                for _ in 0..64 {
                    sender.send(random_block(oracle, &mut rng, &sizes)).expect("the ring is closed");
                }
                for _ in 0..4000 {
                    let Ok(mut block) = receiver.recv() else {
                        break;
                    };
                    match rng.below(4) {
                        0 => good(oracle.resize(&mut block, sizes.size(&mut rng))),
                        1 => {
                            good(oracle.free(block));
                            block = random_block(oracle, &mut rng, &sizes);
                        }
                        _ => good(oracle.check(&block)),
                    }
                    // The next thread may have had its 4000 already.
                    if let Err(unsent) = sender.send(block) {
                        good(oracle.free(unsent.0));
                        break;
                    }
                }
                drop(sender);
                receiver.into_iter().for_each(|block| good(oracle.free(block)));
            });
        }
    });
}

/// The allocating threads are gone when their blocks are freed, by one thread and by many.
#[test]
fn frees_after_the_thread_ended() {
    let oracle = Watched::new(&ALLOC);
    for round in 0..6 {
        let orphans: Vec<Vec<Block>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|seed| {
                    let oracle = &oracle;
                    scope.spawn(move || {
                        let (mut rng, sizes) = (Rng::new(round << 8 | seed), small());
                        (0..500).map(|_| random_block(oracle, &mut rng, &sizes)).collect()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("the thread does not panic")).collect()
        });
        if round % 2 == 0 {
            orphans.into_iter().flatten().for_each(|block| good(oracle.free(block)));
        } else {
            thread::scope(|scope| {
                for blocks in orphans {
                    let oracle = &oracle;
                    scope.spawn(move || blocks.into_iter().for_each(|block| good(oracle.free(block))));
                }
            });
        }
    }
    assert!(oracle.is_idle());
}

/// Its first call to the allocator is a free, as is its last.
extern "C" fn only_frees(chain: *mut c_void) -> *mut c_void {
    // SAFETY: the thread is started with the address of a chain that nobody uses until it has ended.
    let chain = unsafe { &mut *chain.cast::<Chain>() };
    ptr::without_provenance_mut(chain.free(&ALLOC))
}

#[test]
fn a_thread_that_only_frees() {
    let (mut rng, sizes) = (Rng::new(5), Sizes::up_to(300 << 10));
    for _ in 0..50 {
        let mut chain = Chain::new();
        for key in 0..200 {
            let size = sizes.size(&mut rng).max(SMALLEST);
            chain.push(Link::allocate(&ALLOC, size, key).expect("there is memory"));
        }
        // Not std's threads: those allocate before they run what they are given.
        let mut thread = 0;
        let mut damaged = ptr::null_mut();
        // SAFETY: the chain outlives the thread, which is joined here.
        unsafe {
            assert_eq!(libc::pthread_create(&mut thread, ptr::null(), only_frees, (&raw mut chain).cast()), 0);
            assert_eq!(libc::pthread_join(thread, &mut damaged), 0);
        }
        assert_eq!(damaged.addr(), 0, "damaged blocks");
    }
}

/// 64 short threads at a time; each leaves half of its blocks to whoever comes, and takes what it finds.
#[test]
fn short_threads_that_inherit() {
    let oracle = Watched::new(&ALLOC);
    let estate = Mutex::new(Vec::new());
    for round in 0..4 {
        thread::scope(|scope| {
            for seed in 0..64 {
                let (oracle, estate) = (&oracle, &estate);
                scope.spawn(move || {
                    let (mut rng, sizes) = (Rng::new(round << 16 | seed), small());
                    let mut blocks: Vec<Block> = (0..100).map(|_| random_block(oracle, &mut rng, &sizes)).collect();
                    let heirs = blocks.split_off(50);
                    let inherited = std::mem::replace(&mut *estate.lock().unwrap(), heirs);
                    for mut block in inherited {
                        if rng.one_in(3) {
                            good(oracle.resize(&mut block, sizes.size(&mut rng)));
                        }
                        blocks.push(block);
                    }
                    blocks.into_iter().for_each(|block| good(oracle.free(block)));
                });
            }
        });
    }
    estate.into_inner().unwrap().into_iter().for_each(|block| good(oracle.free(block)));
    assert!(oracle.is_idle());
}

/// What std itself moves between threads.
#[test]
fn ordinary_values() {
    let (sender, receiver) = sync_channel::<(String, Vec<Box<u64>>)>(50);
    let consumer = thread::spawn(move || {
        receiver
            .into_iter()
            .map(|(text, boxes)| text.len() as u64 + boxes.iter().map(|number| **number).sum::<u64>())
            .sum::<u64>()
    });
    let producers: Vec<_> = (0..8u64)
        .map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || {
                for number in 0..500u64 {
                    let boxes = (0..number % 50).map(|_| Box::new(thread)).collect();
                    sender.send(("x".repeat(number as usize % 100), boxes)).expect("the consumer listens");
                }
            })
        })
        .collect();
    drop(sender);
    producers.into_iter().for_each(|thread| thread.join().expect("the producer does not panic"));
    let expected: u64 =
        (0..8).map(|thread| (0..500).map(|number| number % 100 + number % 50 * thread).sum::<u64>()).sum();
    assert_eq!(consumer.join().expect("the consumer does not panic"), expected);
}
