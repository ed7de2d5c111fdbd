//! What is known of tracked blocks: how they came to be tracked, which call stack allocated them, under which tag.
//!
//! Beside [`crate::heap`]: neither knows the other, and the allocator joins them.

#[cfg(feature = "internals")]
pub(crate) mod dummy;
#[allow(dead_code)]
pub(crate) mod rate;
#[allow(dead_code)]
pub(crate) mod read;
#[allow(dead_code)]
pub(crate) mod word;

/// How a stack ended. Part of its identity: the same frames with another ending are another stack.
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Ending {
    /// The outermost function of the thread.
    Complete = 0,
    /// The depth limit: there are more frames.
    Depth = 1,
    /// There are no unwind rules for the last frame's code.
    NoRules = 2,
    /// There are rules, but of a kind that is not followed.
    Complex = 3,
    /// The stack goes on where it could not be read safely.
    Foreign = 4,
}

/// A tracked block that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) site: u32,
    pub(crate) tag: u16,
    pub(crate) rate: rate::Rate,
    /// Bytes that were asked for.
    pub(crate) requested: u64,
    /// Bytes of the block. The block is tracked with probability `rate.probability(block_size)`.
    pub(crate) block_size: u64,
    /// The epoch of its birth.
    pub(crate) epoch: u64,
}

/// What was counted, or estimated from samples: each sampled block stands for 1/p blocks and requested/p bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) blocks: f64,
    pub(crate) bytes: f64,
    /// The variances of the two: sums of (1 - p) / p², and of that times the square of the size. 0 for what is exact.
    pub(crate) blocks_variance: f64,
    pub(crate) bytes_variance: f64,
    /// Samples among them.
    pub(crate) samples: u64,
}

/// What a site or a tag has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) allocated: Estimate,
    pub(crate) freed: Estimate,
    /// The smallest and the largest size requested; of sampled blocks only those that were samples.
    /// `smallest > largest` where nothing was allocated.
    pub(crate) smallest: u64,
    pub(crate) largest: u64,
}
