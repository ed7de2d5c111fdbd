//! Sequences of operations on a few threads, beside the oracle of `alloc-tests`.
//!
//! `Tenure` is called as a value. The process has std's allocator, so that the oracle's own tables cannot be damaged
//! by what is looked for, and a crash leaves a report.
//!
//! One step runs at a time, on one thread or another: an input always does the same, so that the fuzzer can learn
//! from it and shorten it. Races are for the threaded tests of `alloc-tests`; what is found here is what an order of
//! frees by several threads does.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use std::alloc::Layout;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::oracle::{Fault, Oracle};
use tenure_alloc_tests::player::{Operation, Player, Table};

static ALLOC: Tenure = Tenure::new();

const THREADS: usize = 3;
/// For each thread. Enough to fill magazines of every class, and too little for a sequence to take long.
const MOST: usize = 16 << 20;

/// A size that is often small, and often at the edge of a class.
#[derive(Clone, Copy, Debug)]
struct Size(usize);

impl<'a> Arbitrary<'a> for Size {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        // 2^3 to 2^23, an eighth of the way to the next, and a byte more or less.
        let (exponent, eighth) = (u.int_in_range(3..=23)?, u.int_in_range(0..=7)?);
        let edge = (1usize << exponent) + (1usize << exponent) / 8 * eighth;
        Ok(Size(match u.int_in_range(0..=4)? {
            0 => edge - 1,
            1 => edge,
            2 => edge + 1,
            3 => u.int_in_range(1..=256)?,
            _ => u.int_in_range(1..=(32 << 10))?,
        }))
    }
}

/// An alignment that is mostly an ordinary one.
#[derive(Clone, Copy, Debug)]
struct Align(usize);

impl<'a> Arbitrary<'a> for Align {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let largest = if u.ratio(1, 4)? { 26 } else { 4 };
        Ok(Align(1 << u.int_in_range(0..=largest)?))
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Allocate(Size, Align),
    AllocateZeroed(Size, Align),
    /// So many blocks at once, or a sequence would hardly ever fill a magazine.
    AllocateMany(Size, u8),
    Resize(u16, Size),
    /// To a size that nobody has.
    ResizeTooFar(u16),
    AllocateTooMuch(Align),
    Free(u16),
    FreeMany(u8),
    Put(u16),
    Take(u16),
    /// The thread ends; what it has goes to the table.
    EndThread,
    /// The thread ends when it has freed all that it has.
    FinishThread,
}

/// A thread that plays the steps it is sent, and answers each.
struct Actor<'scope> {
    steps: Sender<Step>,
    answers: Receiver<std::result::Result<(), Fault>>,
    thread: ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Actor<'scope> {
    fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        oracle: &'env Oracle<'env, Tenure>,
        table: &'env Table,
    ) -> Self {
        let (steps, to_play) = channel();
        let (answer, answers) = channel();
        let thread = scope.spawn(move || {
            let mut player = Player::new(oracle, Some(table), MOST);
            for step in to_play {
                match step {
                    Step::EndThread => break,
                    Step::FinishThread => {
                        // Whoever does not wait for the answer has seen a fault already.
                        let _ = answer.send(player.finish());
                        return;
                    }
                    step => drop(answer.send(play(&mut player, step))),
                }
            }
            player.leave();
            let _ = answer.send(Ok(()));
        });
        Actor { steps, answers, thread }
    }

    fn play(&self, step: Step) {
        self.steps.send(step).expect("the thread listens");
        match self.answers.recv().expect("the thread answers") {
            Ok(()) => {}
            Err(fault) => panic!("{step:?}: {fault}"),
        }
    }

    fn end(self, step: Step) {
        self.play(step);
        self.thread.join().expect("the thread has answered");
    }
}

fn play(player: &mut Player<'_, Tenure>, step: Step) -> std::result::Result<(), Fault> {
    let layout = |size: usize, align: usize| Layout::from_size_align(size, align).expect("far below isize::MAX");
    let impossible = |outcome| match outcome {
        Err(Fault::Refused(_)) => Ok(()),
        other => other,
    };
    match step {
        Step::Allocate(Size(size), Align(align)) => player.play(Operation::Allocate(layout(size, align), false)),
        Step::AllocateZeroed(Size(size), Align(align)) => player.play(Operation::Allocate(layout(size, align), true)),
        Step::AllocateMany(Size(size), count) => {
            (0..count).try_for_each(|_| player.play(Operation::Allocate(layout(size.min(16 << 10), 8), false)))
        }
        Step::Resize(which, Size(size)) => player.play(Operation::Resize(which.into(), size)),
        Step::ResizeTooFar(which) => impossible(player.play(Operation::Resize(which.into(), 1 << 60))),
        Step::AllocateTooMuch(Align(align)) => {
            impossible(player.play(Operation::Allocate(layout(1 << 60, align), false)))
        }
        Step::Free(which) => player.play(Operation::Free(which.into())),
        // From the end, from the front and in leaps: all that a number can mean.
        Step::FreeMany(count) => {
            (0..count).try_for_each(|number| player.play(Operation::Free(usize::from(number) * usize::from(count))))
        }
        Step::Put(which) => player.play(Operation::Put(which.into())),
        Step::Take(which) => player.play(Operation::Take(which.into())),
        Step::EndThread | Step::FinishThread => Ok(()),
    }
}

fuzz_target!(|input: Vec<(u8, Step)>| {
    let oracle = Oracle::new(&ALLOC);
    let table: Table = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let mut actors: [Option<Actor<'_>>; THREADS] = [const { None }; THREADS];
        for (which, step) in input {
            let actor = &mut actors[usize::from(which) % THREADS];
            match step {
                Step::EndThread | Step::FinishThread => {
                    if let Some(actor) = actor.take() {
                        actor.end(step);
                    }
                }
                step => actor.get_or_insert_with(|| Actor::start(scope, &oracle, &table)).play(step),
            }
        }
        actors.into_iter().flatten().for_each(|actor| actor.end(Step::EndThread));
    });
    for block in table.into_inner().expect("no thread panicked") {
        if let Err(fault) = oracle.free(block) {
            panic!("{fault}");
        }
    }
    assert!(oracle.is_idle());
});
