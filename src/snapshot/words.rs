//! Values that command lines and queries name by words.

use std::fmt;

/// Something with a word for each of its values.
pub(super) trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn of_word(text: &str) -> Result<Self, NoWord> {
        let found = Self::WORDS.iter().find(|word| word.0 == text).map(|word| word.1);
        found.ok_or_else(|| NoWord { known: Self::WORDS.iter().map(|word| word.0).collect() })
    }
}

/// The word of a value. Every value has one.
#[cfg(feature = "serde")]
pub(super) fn word_of<T: Word + PartialEq>(value: T) -> &'static str {
    T::WORDS.iter().find(|word| word.1 == value).map_or("", |word| word.0)
}

/// A text is none of the words that there are. Prints those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoWord {
    known: Vec<&'static str>,
}

impl fmt::Display for NoWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it must be one of {}", self.known.join(", "))
    }
}

impl std::error::Error for NoWord {}

#[cfg(test)]
mod tests {
    use crate::snapshot::{By, Value};

    #[test]
    fn words() {
        assert_eq!(("folded".parse(), "live-blocks".parse()), (Ok(By::Folded), Ok(Value::LiveBlocks)));
        #[cfg(feature = "serde")]
        assert_eq!((super::word_of(By::SizeClass), super::word_of(Value::AllocatedBytes)), ("size", "allocated-bytes"));
        let error = "bytes".parse::<Value>().expect_err("no word").to_string();
        assert_eq!(error, "it must be one of live-bytes, live-blocks, allocated-bytes, allocated-blocks");
    }
}
