//! What is shown of blocks: the order of a table, the width of a frame, the number behind a stack.

use super::words::{NoWord, Word};
use super::{Site, Snapshot, Sum};
use crate::stats::{Bytes, Count};

/// What is shown of tracked blocks; bytes are as requested. As a word: `live-bytes` and so on.
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
    fn sum(self, site: &Site) -> Sum {
        match self {
            Value::LiveBytes | Value::LiveBlocks => site.live,
            Value::AllocatedBytes | Value::AllocatedBlocks => site.allocated,
        }
    }

    pub(crate) fn of(self, site: &Site) -> f64 {
        let sum = self.sum(site);
        if self.is_bytes() { sum.bytes } else { sum.blocks }
    }

    /// Whether it is of what lives.
    pub fn is_live(self) -> bool {
        matches!(self, Value::LiveBytes | Value::LiveBlocks)
    }

    fn is_bytes(self) -> bool {
        matches!(self, Value::LiveBytes | Value::AllocatedBytes)
    }

    pub(crate) fn unit(self) -> &'static str {
        if self.is_bytes() { "bytes" } else { "blocks" }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Value::LiveBytes => "Live bytes",
            Value::LiveBlocks => "Live blocks",
            Value::AllocatedBytes => "Bytes allocated since the start",
            Value::AllocatedBlocks => "Blocks allocated since the start",
        }
    }

    /// The total of a snapshot for people, with its 95 % interval unless it is exact.
    pub(crate) fn total(self, snapshot: &Snapshot) -> String {
        let sum: Sum = snapshot.sites().iter().map(|s| self.sum(s)).sum();
        let estimate = if self.is_bytes() { sum.bytes() } else { sum.blocks() };
        let total = self.text(estimate.value);
        if estimate.is_exact() {
            return total;
        }
        let (low, high) = estimate.interval(0.95);
        format!("{total} (95 % interval: {} to {})", self.text(low), self.text(high))
    }

    fn text(self, value: f64) -> String {
        let whole = value.max(0.0).round();
        if self.is_bytes() { Bytes(whole as usize).to_string() } else { format!("{} blocks", Count(whole as u64)) }
    }
}

impl Word for Value {
    const WORDS: &[(&str, Value)] = &[
        ("live-bytes", Value::LiveBytes),
        ("live-blocks", Value::LiveBlocks),
        ("allocated-bytes", Value::AllocatedBytes),
        ("allocated-blocks", Value::AllocatedBlocks),
    ];
}

impl std::str::FromStr for Value {
    type Err = NoWord;
    fn from_str(text: &str) -> Result<Value, NoWord> {
        Value::of_word(text)
    }
}
