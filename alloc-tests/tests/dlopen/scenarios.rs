use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use tenure_alloc_tests::child::Scenario;
use tenure_alloc_tests::plugin::Plugin;
use tenure_alloc_tests::rss::{MIB, anonymous, mib};

/// Loads, uses and closes the library, and ends the threads that have used it only when it is closed: what it has
/// left with them, like the destructor of a pthread key, must not be called where nothing is any more. What the
/// library does here leaves nothing of std's with them, so that the C library unmaps it if the allocator lets it.
fn load_use_and_close(round: u64, threads: u64) {
    let plugin = Arc::new(Plugin::open());
    let closed = Arc::new(Barrier::new(threads as usize + 1));
    let (report, reports) = channel();
    let users: Vec<_> = (0..threads)
        .map(|thread| {
            let (plugin, closed, report) = (Arc::clone(&plugin), Arc::clone(&closed), report.clone());
            thread::spawn(move || {
                report.send((plugin.work)(round << 8 | thread)).expect("somebody listens");
                drop((plugin, report));
                closed.wait();
                // The thread's end.
            })
        })
        .collect();
    // Blocks that this thread allocates and another frees.
    let blocks: Vec<(usize, usize)> = [24, 600, 5000, 100_000, 3 << 20]
        .map(|size| ((plugin.allocate)(size, round).addr(), size))
        .into_iter()
        .collect();
    assert!(blocks.iter().all(|&(block, _)| block != 0));
    let freer = Arc::clone(&plugin);
    let freed = thread::spawn(move || {
        let free = |(block, size)| {
            // SAFETY: allocated above with the same arguments, and freed once.
            unsafe { (freer.free)(std::ptr::with_exposed_provenance_mut(block), size, round) }
        };
        blocks.into_iter().map(free).sum::<u64>()
    });
    assert_eq!(freed.join().expect("no panic"), 0, "damaged blocks");
    drop(report);
    assert_eq!(reports.into_iter().sum::<u64>(), 0, "faults");
    // The last user has dropped its share before it reported its end, or is about to.
    let mut plugin = plugin;
    let plugin = loop {
        match Arc::try_unwrap(plugin) {
            Ok(plugin) => break plugin,
            Err(shared) => plugin = shared,
        }
        thread::yield_now();
    };
    // SAFETY: nobody else has the library's functions any more, and all calls have returned.
    unsafe { plugin.close() };
    closed.wait();
    users.into_iter().for_each(|user| user.join().expect("no panic"));
}

#[test]
fn loaded_and_closed_fifty_times() {
    Scenario::new("loaded_and_closed_fifty_times").run(|| {
        load_use_and_close(0, 4);
        let start = anonymous();
        (1..=50).for_each(|round| load_use_and_close(round, 4));
        let growth = anonymous().saturating_sub(start);
        println!("loaded and closed 50 times: {} MiB more", mib(growth));
        // A library that is really gone can leave its arenas to nobody; but 50 times its whole memory would be a
        // leak.
        assert!(growth <= 64 * MIB, "{} MiB more", mib(growth));
    });
}

/// std's threads leave destructors of std in the thread that starts them, and the C library keeps the library loaded
/// until those have run: not the scenario above, but one that happens.
#[test]
fn threads_of_its_own() {
    Scenario::new("threads_of_its_own").run(|| {
        for round in 0..20 {
            let plugin = Plugin::open();
            assert_eq!((plugin.work_on_threads)(round), 0, "faults");
            // SAFETY: the call has returned, and its threads were joined.
            unsafe { plugin.close() };
        }
    });
}

/// Static thread-local storage is short where libraries come late: a library whose hot words are too many does not
/// load, or not often.
#[test]
fn used_by_many_threads_at_once() {
    Scenario::new("used_by_many_threads_at_once").run(|| load_use_and_close(1, 64));
}

/// The process ends with the library loaded, and threads in it.
#[test]
fn exit_with_the_library_loaded() {
    Scenario::new("exit_with_the_library_loaded").run(|| {
        let plugin: &'static Plugin = Box::leak(Box::new(Plugin::open()));
        let (begun, beginning) = channel();
        for seed in 0..3 {
            let begun = begun.clone();
            thread::spawn(move || {
                begun.send(()).expect("somebody listens");
                let mut round = seed;
                loop {
                    assert_eq!((plugin.work)(round), 0);
                    round += 3;
                }
            });
        }
        (0..3).for_each(|_| beginning.recv().expect("three threads"));
    });
}
