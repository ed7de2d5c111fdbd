//! What the width of a frame, or the number behind a stack, stands for.

use crate::snapshot::{Site, Sum};

/// What an export of stacks shows; of tracked blocks, and bytes as requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// Bytes that live.
    #[default]
    LiveBytes,
    /// Blocks that live.
    LiveBlocks,
    /// Bytes allocated since the start, whether they live or not.
    AllocatedBytes,
    /// Blocks allocated since the start, whether they live or not.
    AllocatedBlocks,
}

impl Value {
    pub(super) fn sum(self, site: &Site) -> Sum {
        match self {
            Value::LiveBytes | Value::LiveBlocks => site.live,
            Value::AllocatedBytes | Value::AllocatedBlocks => site.allocated,
        }
    }

    pub(super) fn of(self, site: &Site) -> f64 {
        let sum = self.sum(site);
        if self.is_bytes() { sum.bytes } else { sum.blocks }
    }

    pub(super) fn is_bytes(self) -> bool {
        matches!(self, Value::LiveBytes | Value::AllocatedBytes)
    }
}
