//! A cache that is bounded by bytes: summaries of documents, as they are sent. (The leak lab has one without a bound.)

use axum::body::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Of all summaries, with their keys.
const BYTES: u64 = 1 << 20;
/// Documents whose summaries fit in there, about: room for hashes, not a bound.
const DOCUMENTS: usize = 1000;

pub(crate) struct Summaries(Cache<usize, Bytes, Weight>);

#[derive(Clone)]
struct Weight;

impl Weighter<usize, Bytes> for Weight {
    fn weight(&self, _: &usize, summary: &Bytes) -> u64 {
        (size_of::<usize>() + size_of::<Bytes>() + summary.len()) as u64
    }
}

impl Summaries {
    pub(crate) fn new() -> Summaries {
        Summaries(Cache::with_weighter(DOCUMENTS, BYTES, Weight))
    }

    pub(crate) fn find(&self, document: usize) -> Option<Bytes> {
        self.0.get(&document)
    }

    pub(crate) fn keep(&self, document: usize, summary: Bytes) {
        self.0.insert(document, summary);
    }

    pub(crate) fn forget(&self, document: usize) {
        self.0.remove(&document);
    }

    /// What it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_bounded() {
        let summaries = Summaries::new();
        for document in 0..10_000 {
            summaries.keep(document, vec![0; 2000].into());
        }
        let bytes = summaries.bytes();
        assert!(BYTES / 2 < bytes && bytes <= BYTES, "{bytes}");
        assert!((0..10_000).any(|document| summaries.find(document).is_some()));
    }
}
