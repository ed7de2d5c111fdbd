//! Where a value's block came from; and how much is traced, now and at most.

use crate::reading::{self, Held, Room, Who};
use crate::scope::Tag;
use crate::snapshot::{Ending, Frame, Names, Place, loaded, outermost_of_interest};
use crate::sync::{AtomicU64, Ordering};
use crate::track::{Totals, read};
use std::sync::Arc;

/// Where a block was allocated, as what, and how long ago.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Origin {
    /// The site: equal numbers are equal call stacks, in this process.
    pub site: u32,
    /// The tag of the scope that it was allocated in.
    pub tag: Tag,
    /// Bytes that were asked for.
    pub requested: u64,
    /// Bytes of the block.
    pub block_size: u64,
    /// The epoch of its birth.
    pub epoch: u64,
    /// Epochs since then.
    pub age: u64,
    /// Whether it is tracked because it is a sample, and not because every block was.
    pub sampled: bool,
    /// Its call stack, leaf first: addresses within the calls, to be looked up as they are.
    pub stack: Vec<u64>,
    /// How the stack ended.
    pub ending: Ending,
}

impl Origin {
    /// The program's own line that allocated the block: the first frame that is not the allocator's or the standard
    /// library's. Costs and allocates as `names` do.
    pub fn line(&self, names: &mut dyn Names) -> Option<Frame> {
        reading::untracked(|| {
            let modules = loaded();
            let frames: Vec<Arc<[Frame]>> =
                self.stack.iter().map(|&at| names.frames(&Place::new(at, &modules))).collect();
            let frames: Vec<Frame> = frames.iter().flat_map(|frames| frames.iter().cloned()).collect();
            outermost_of_interest(&frames).cloned()
        })
    }
}

/// Where the block that holds a value was allocated. `None` if the value lies in no block of this allocator (on the stack,
/// in a static, or it has no bytes), or its block is not tracked, as most are not unless every one is.
///
/// Looks at the address of the value itself: for what a `Vec` or a `Box` holds, pass a reference to that, `&vec[0]` or
/// `&*boxed`. Takes a lock for a moment, and allocates for the stack. The interior of blocks above 32 MiB is not found.
pub fn origin<T: ?Sized>(value: &T) -> Option<Origin> {
    // What has no bytes may stand at the end of one block, where another begins.
    if size_of_val(value) == 0 {
        return None;
    }
    let address = (&raw const *value).cast::<u8>().cast_mut();
    let Held { birth, block_size, age } = reading::held(address)?;
    let mut stack = Vec::new();
    let ending = read::stack(birth.site, &mut |at| stack.push(at as u64)).into();
    Some(Origin {
        site: birth.site,
        tag: Tag::from_number(birth.tag),
        requested: birth.requested,
        block_size,
        epoch: birth.epoch,
        age,
        sampled: !birth.rate.is_exact(),
        stack,
        ending,
    })
}

/// How many requested bytes are held in tracked blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Traced {
    /// Now. In exact mode a sum of whole numbers; of samples, an estimate.
    pub current: f64,
    /// The largest value that a call of [`traced`] has seen since the start or the last [`reset_peak`]. What lived between
    /// two calls and died again is not in it; [`Stats::peak_committed`](crate::Stats::peak_committed) misses nothing, in
    /// another unit.
    pub largest: f64,
}

static LARGEST: AtomicU64 = AtomicU64::new(0);

/// How many requested bytes are held in tracked blocks: now, and the most that was seen.
///
/// Costs about a nanosecond for each site and each thread that tracks every block. Allocates, untracked.
pub fn traced() -> Traced {
    let current = current();
    // Relaxed: a figure. Non-negative floats are ordered as their bits are.
    let before = LARGEST.fetch_max(current.to_bits(), Ordering::Relaxed);
    Traced { current, largest: f64::from_bits(before).max(current) }
}

/// The largest value of [`traced`] is the current one from here on.
pub fn reset_peak() {
    LARGEST.store(current().to_bits(), Ordering::Relaxed); // Relaxed: as above
}

fn current() -> f64 {
    let mut live = 0.0f64;
    let mut add = |who, totals: &Totals| {
        if let Who::Site(_) = who {
            live += totals.allocated.bytes - totals.freed.bytes;
        }
    };
    reading::untracked(|| Room::with(|room| reading::totals(room, &mut add)));
    live.max(0.0)
}
