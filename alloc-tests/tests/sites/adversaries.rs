//! Stacks that look like others: what a guess could take for one another.

use crate::checked::{site_of, watched};
use std::collections::HashSet;
use std::hint::black_box;
use std::thread;
use tenure::internals::tracker;
use tenure_alloc_tests::rng::Rng;

/// Captures of a test; fewer where the compiler does not optimise, and each stack is walked three times.
const CAPTURES: usize = if cfg!(debug_assertions) { 8_000 } else { 60_000 };

std::arch::global_asm!(
    // void tenure_test_in_room(struct Room *room): calls `room->next(room)` with `room->bytes` in a frame that only RBP leads
    // out of. They are as earlier calls left them.
    ".globl tenure_test_in_room",
    "tenure_test_in_room:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "sub rsp, [rdi]",
    "call [rdi + 8]",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
);

unsafe extern "C" {
    fn tenure_test_in_room(room: *mut Room);
}

type Function = unsafe extern "C" fn(*mut Room);

/// What [`tenure_test_in_room`] is told; the first field of what its callers tell each other.
#[repr(C)]
struct Room {
    /// A multiple of 16.
    bytes: usize,
    next: Function,
    plan: Plan,
}

/// What a random walk over functions does next.
#[repr(C)]
struct Plan {
    state: u64,
    /// Captures that are left.
    left: usize,
    depth: usize,
    most: usize,
}

impl Plan {
    fn below(&mut self, n: usize) -> usize {
        let mut rng = Rng::new(self.state);
        self.state = rng.next();
        rng.below(n)
    }
}

impl Room {
    fn new(state: u64, left: usize, most: usize) -> Room {
        Room { bytes: 0, next: leaf, plan: Plan { state, left, depth: 0, most } }
    }

    #[inline(always)]
    fn allocate(&mut self) {
        self.plan.left = self.plan.left.saturating_sub(1);
        black_box(Box::new(self.plan.left));
    }
}

/// One call instruction, from which everything is called, this function too.
#[inline(never)]
unsafe extern "C" fn step(room: *mut Room) {
    const DOWN: [Function; 3] = [step, step_with_more, tenure_test_in_room];
    const LEAVES: [Function; 6] = [leaf, leaf_too, leaf_with_more, tenure_test_in_room, sorting, tenure_test_in_room];
    // SAFETY: the room of whoever began, who waits; here and below.
    let room = unsafe { &mut *room };
    room.plan.depth += 1;
    loop {
        let down = room.plan.depth < room.plan.most && room.plan.below(2) == 0;
        let f = if down { DOWN[room.plan.below(3)] } else { LEAVES[room.plan.below(6)] };
        room.bytes = 16 * room.plan.below(20);
        room.next = if down { step } else { leaf };
        // SAFETY: all of these take the room.
        unsafe { black_box(f)(room) };
        if room.plan.left == 0 || room.plan.below(3) == 0 {
            break;
        }
    }
    room.plan.depth -= 1;
}

/// The same, with another frame.
#[inline(never)]
unsafe extern "C" fn step_with_more(room: *mut Room) {
    // SAFETY: as above.
    let room = unsafe { &mut *room };
    let more = black_box([room.plan.depth; 6]);
    room.plan.depth += 1;
    let f: Function = if room.plan.below(2) == 0 { leaf } else { step };
    // SAFETY: as above.
    unsafe { black_box(f)(room) };
    room.plan.depth -= 1;
    black_box(more);
}

#[inline(never)]
unsafe extern "C" fn leaf(room: *mut Room) {
    // SAFETY: as above.
    unsafe { &mut *room }.allocate();
    black_box(room);
}

/// As long a frame as [`leaf`]'s, and another function.
#[inline(never)]
unsafe extern "C" fn leaf_too(room: *mut Room) {
    // SAFETY: as above.
    unsafe { &mut *room }.allocate();
    black_box(black_box(room));
}

#[inline(never)]
unsafe extern "C" fn leaf_with_more(room: *mut Room) {
    // SAFETY: as above.
    let room = unsafe { &mut *room };
    let more = black_box([room.plan.depth; 10]);
    room.allocate();
    black_box(more);
}

/// Through functions of std, which may have frame pointers.
#[inline(never)]
unsafe extern "C" fn sorting(room: *mut Room) {
    // SAFETY: as above.
    let room = unsafe { &mut *room };
    let mut few = [3, 1, 2];
    few.sort_by(|a, b| {
        room.allocate();
        a.cmp(b)
    });
    black_box(few);
}

fn run(seed: u64, captures: usize, most: usize) {
    let mut room = Room::new(seed, captures, most);
    let tally = watched(|| {
        while room.plan.left > 0 {
            // SAFETY: the room outlives the call.
            unsafe { step(&mut room) };
        }
    });
    assert_eq!(tally.early, 0, "{tally:?}");
    assert!(tally.blocks >= captures, "{tally:?}");
}

/// Recursion of random depth, with random branches, through function pointers in random order, with frames of random size.
#[test]
fn functions_in_random_order() {
    let before = tracker::guesses().0;
    for (seed, most) in [(1, 3), (2, 6), (3, 12), (4, 40)] {
        run(seed, CAPTURES, most);
    }
    let after = tracker::guesses().0;
    println!("{} guesses were right, {} wrong", after.0 - before.0, after.1 - before.1);
    assert!(after.0 - before.0 > CAPTURES as u64 / 2, "too few guesses to say anything");
}

/// A thread goes on with what another one has learned, on the same addresses.
#[test]
fn threads_that_follow_each_other() {
    for seed in 0..40 {
        let threads = [0, 1].map(|i| thread::spawn(move || run(seed % 7 + 10 * i, CAPTURES / 40, 8)));
        threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
    }
}

/// The frame that two stacks join at was found by RSP in the one and by RBP in the other: the same call calls a function with
/// a constant frame, and one with room. What the room holds is the stack of an earlier call, one level further in.
#[test]
fn a_frame_full_of_old_frames() {
    /// Calls itself; from the last level [`leaf`], or something with room.
    #[inline(never)]
    unsafe extern "C" fn level(room: *mut Room) {
        // SAFETY: as above.
        let room = unsafe { &mut *room };
        room.plan.depth -= 1;
        let f: Function = match (room.plan.depth, room.bytes) {
            (1.., _) => level,
            (_, 0) => leaf,
            _ => tenure_test_in_room,
        };
        // SAFETY: as above.
        unsafe { black_box(f)(room) };
        black_box(room);
    }
    let mut room = Room::new(0, 0, 0);
    let mut go = |levels, bytes| {
        (room.plan.depth, room.bytes) = (levels, bytes);
        // SAFETY: the room outlives the call.
        unsafe { level(&mut room) };
    };
    watched(|| {
        for levels in [2, 5, 12] {
            // One of these is the length of a level's frame.
            for bytes in (16..=512).step_by(16) {
                for _ in 0..4 {
                    go(levels + 1, 0);
                    for _ in 0..3 {
                        go(levels + 1, 32);
                    }
                    go(levels, 32 + bytes);
                }
            }
        }
    });
}

/// Two callers with frames of equal size, in turns.
#[test]
fn twins_in_turns() {
    #[inline(never)]
    fn allocates(n: usize) -> Box<usize> {
        black_box(Box::new(black_box(n)))
    }
    macro_rules! twin {
        ($name:ident) => {
            #[inline(never)]
            fn $name(n: usize) -> Box<usize> {
                let block = black_box(allocates(n + line!() as usize));
                black_box(n);
                block
            }
        };
    }
    twin!(one);
    twin!(other);
    let twins: [fn(usize) -> Box<usize>; 2] = [one, other];
    let mut rng = Rng::new(7);
    let mut sites = [HashSet::new(), HashSet::new()];
    watched(|| {
        for i in 0..CAPTURES / 4 {
            let which = if i < CAPTURES / 8 { i % 2 } else { rng.below(2) };
            let block = black_box(twins[which])(i);
            sites[which].insert(site_of(&*block));
        }
    });
    assert_eq!((sites[0].len(), sites[1].len()), (1, 1), "one stack is one site");
    assert!(sites[0].is_disjoint(&sites[1]));
}

/// Stacks that differ in their outermost frames only, under a chain of equal ones.
#[test]
fn far_away_twins() {
    #[inline(never)]
    fn chain(n: usize) -> Box<usize> {
        let block = if n == 0 { Box::new(1) } else { chain(n - 1) };
        black_box(n);
        black_box(block)
    }
    macro_rules! root {
        ($name:ident) => {
            #[inline(never)]
            fn $name(n: usize) -> Box<usize> {
                let block = chain(black_box(n));
                black_box(line!());
                block
            }
        };
    }
    root!(a);
    root!(b);
    root!(c);
    let roots: [fn(usize) -> Box<usize>; 3] = [a, b, c];
    let mut rng = Rng::new(9);
    for n in [0, 5, 20] {
        let mut sites: [HashSet<u32>; 3] = Default::default();
        watched(|| {
            for i in 0..CAPTURES / 10 {
                let which = if i % 100 < 50 { i % 3 } else { rng.below(3) };
                let block = black_box(roots[which])(n);
                sites[which].insert(site_of(&*block));
            }
        });
        assert!(sites.iter().all(|s| s.len() == 1), "{sites:?}");
        assert_eq!(sites.iter().flatten().collect::<HashSet<_>>().len(), 3);
    }
}

/// The same stack at other addresses is the same site.
#[test]
fn one_stack_at_many_addresses() {
    unsafe extern "C" fn allocates(room: *mut Room) {
        let block = black_box(Box::new(1u64));
        // SAFETY: the room of the caller, who waits.
        unsafe { (*room).plan.left = site_of(&*block) as usize };
    }
    let mut room = Room::new(1, 0, 0);
    room.next = allocates;
    let mut sites = HashSet::with_capacity(100);
    watched(|| {
        for i in 0..CAPTURES / 10 {
            // Up to 400 KiB away: further than a guess looks.
            room.bytes = if i % 7 == 0 { 4096 * (i % 100) } else { 16 * room.plan.below(64) };
            // SAFETY: the room outlives the call.
            unsafe { tenure_test_in_room(&mut room) };
            sites.insert(room.plan.left);
        }
    });
    assert_eq!(sites.len(), 1, "{sites:?}");
}
