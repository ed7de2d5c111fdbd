//! What is shown of blocks: the order of a table, the width of a frame, the number behind a stack.

use super::words::{NoWord, Word};
use super::{Site, Sum};

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
    pub(crate) fn sum(self, site: &Site) -> Sum {
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

    pub(crate) fn is_bytes(self) -> bool {
        matches!(self, Value::LiveBytes | Value::AllocatedBytes)
    }
}

impl Word for Value {
    const WORDS: &'static [(&'static str, Value)] = &[
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
