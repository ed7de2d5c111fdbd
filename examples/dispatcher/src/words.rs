//! Which words stand most often.

use crate::index::{Document, Index, words};
use std::cmp::Reverse;
use std::collections::HashMap;

/// A document's words by how often they stand there, the most frequent first; at most so many. And how many words it has.
pub(crate) fn of_document(document: &Document, most: usize) -> (Vec<(String, usize)>, usize) {
    let mut times = HashMap::<String, usize>::new();
    for word in document.lines.iter().flat_map(|line| words(line)) {
        *times.entry(word).or_default() += 1;
    }
    let all = times.values().sum();
    (first(times.into_iter().collect(), most), all)
}

/// All documents' words by how many lines they stand in. The index knows that: only what is returned is allocated.
pub(crate) fn of_all(index: &Index, most: usize) -> Vec<(String, usize)> {
    let words = first(index.words().collect(), most);
    words.into_iter().map(|(word, lines)| (word.to_owned(), lines)).collect()
}

fn first<T: Ord>(mut all: Vec<(T, usize)>, most: usize) -> Vec<(T, usize)> {
    all.sort_unstable_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    all.truncate(most);
    all
}
