//! The index, and the threads that build it.

use crate::sources::Sources;
use crate::text::count;
use crate::tokens::{self, Lines};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

/// Where an identifier stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The file's number in [`Sources::files`].
    pub(crate) file: u32,
    pub(crate) line: u32,
}

/// All places of all identifiers.
pub(crate) struct Index {
    pub(crate) places: HashMap<String, Vec<Place>>,
    /// For each file, its lines; `None` if it could not be read.
    pub(crate) lines: Vec<Option<Lines>>,
    pub(crate) threads: usize,
}

/// What a thread found in one file.
struct Found {
    file: usize,
    lines: Option<Lines>,
    words: HashMap<String, Vec<u32>>,
}

fn scan(file: usize, text: &[u8]) -> Found {
    let mut words = HashMap::<String, Vec<u32>>::new();
    let lines = tokens::scan(text, |word, line| {
        let word = String::from_utf8_lossy(word);
        match words.get_mut(&*word) {
            Some(lines) => lines.push(line),
            None => drop(words.insert(word.into_owned(), vec![line])),
        }
    });
    Found { file, lines: Some(lines), words }
}

/// Some threads read and scan; this one puts together what they found. What they allocated is freed here.
pub(crate) fn build(sources: &Sources) -> Index {
    let threads = thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let mut index = Index { places: HashMap::new(), lines: vec![None; sources.files.len()], threads };
    let next = AtomicUsize::new(0);
    let (sender, receiver) = sync_channel(64);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    // Relaxed: each thread gets numbers of its own, and that is all.
                    let file = next.fetch_add(1, Ordering::Relaxed);
                    let Some(source) = sources.files.get(file) else { break };
                    let found = match std::fs::read(&source.path) {
                        Ok(text) => scan(file, &text),
                        Err(_) => Found { file, lines: None, words: HashMap::new() },
                    };
                    if sender.send(found).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut progress = Instant::now();
        for (done, found) in receiver.into_iter().enumerate() {
            index.add(found);
            if progress.elapsed() > Duration::from_secs(1) {
                progress = Instant::now();
                eprintln!("{:>7} of {} files", count(done + 1), count(sources.files.len()));
            }
        }
    });
    index
}

impl Index {
    fn add(&mut self, found: Found) {
        self.lines[found.file] = found.lines;
        for (word, lines) in found.words {
            let places = lines.iter().map(|&line| Place { file: found.file as u32, line });
            self.places.entry(word).or_default().extend(places);
        }
    }

    /// The lines that hold both identifiers, in order.
    pub(crate) fn on_one_line(&self, one: &str, other: &str) -> Vec<Place> {
        let (Some(one), Some(other)) = (self.places.get(one), self.places.get(other)) else { return Vec::new() };
        let mut sorted = other.clone();
        sorted.sort_unstable();
        let mut both = one.iter().copied().filter(|place| sorted.binary_search(place).is_ok()).collect::<Vec<_>>();
        both.sort_unstable();
        both.dedup();
        both
    }
}
