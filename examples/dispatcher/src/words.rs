//! Which words stand most often.

use crate::index::{Document, Index, words};
use std::cmp::Reverse;
use std::collections::HashMap;

/// The words of these documents by how often they stand there, the most frequent first; at most so many. And how many
/// words there are.
pub(crate) fn counted<'a>(
    documents: impl IntoIterator<Item = &'a Document>,
    most: usize,
) -> (Vec<(String, usize)>, usize) {
    let mut times = HashMap::<String, usize>::new();
    for word in documents.into_iter().flat_map(|document| &document.lines).flat_map(|line| words(line)) {
        *times.entry(word).or_default() += 1;
    }
    let all = times.values().sum();
    let mut frequent: Vec<_> = times.into_iter().collect();
    frequent.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    frequent.truncate(most);
    (frequent, all)
}

/// Of all documents.
pub(crate) fn most_frequent(index: &Index, most: usize) -> Vec<(String, usize)> {
    counted(&index.documents, most).0
}
