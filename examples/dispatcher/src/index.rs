//! Texts, and where in them each word stands.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// Documents that can be added to those of the folder: what anybody may send has a bound.
pub(crate) const ADDED: usize = 256;
/// What they may cost, all together.
pub(crate) const ADDED_BYTES: usize = 128 << 20;
/// What a line or a word costs besides its text, about: a document of one-letter lines is little text and a large index.
const EACH: usize = 128;

/// Why a document is not added.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused {
    /// Its path is one of the folder's.
    Taken,
    /// There is no room.
    Full,
}

pub(crate) struct Index {
    pub(crate) documents: Vec<Document>,
    /// In ascending order.
    places: HashMap<String, Vec<Place>>,
    /// The first so many are the folder's.
    fixed: usize,
    /// What the others cost.
    added: usize,
}

pub(crate) struct Document {
    /// From the folder on.
    pub(crate) path: String,
    pub(crate) lines: Vec<String>,
    /// 0 for the folder's.
    cost: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) document: usize,
    /// From 0 on.
    pub(crate) line: usize,
}

/// Small letters, digits and `_`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    parts(text).map(str::to_lowercase)
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// What a document costs, in bytes, about; if its words come again and again, less.
fn cost(path: &str, text: &str) -> usize {
    path.len() + 2 * text.len() + EACH * (text.lines().count() + parts(text).count())
}

impl Index {
    /// Indexes the `*.rs` and `*.md` files below a folder. An error is a line for the user.
    pub(crate) fn read(folder: &Path) -> Result<Index, String> {
        let shown = folder.display();
        let mut index = Index { documents: Vec::new(), places: HashMap::new(), fixed: 0, added: 0 };
        let mut files = Vec::new();
        walk(folder, &mut files).map_err(|why| format!("cannot read {shown} ({why}): give a folder with --folder"))?;
        for file in files {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let path = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
            index.documents.push(Document { path, lines: Vec::new(), cost: 0 });
            index.add(index.documents.len() - 1, &text);
        }
        index.fixed = index.documents.len();
        if index.documents.is_empty() {
            return Err(format!("{shown} holds no *.rs or *.md file: give another folder with --folder"));
        }
        Ok(index)
    }

    /// Adds a document, or puts it in the place of the one with this path, and returns its number.
    pub(crate) fn put(&mut self, path: &str, text: &str) -> Result<usize, Refused> {
        let known = self.documents.iter().position(|document| document.path == path);
        let document = known.unwrap_or(self.documents.len());
        if document < self.fixed {
            return Err(Refused::Taken);
        }
        let (cost, before) = (cost(path, text), known.map_or(0, |known| self.documents[known].cost));
        let added = self.added - before + cost;
        if document >= self.fixed + ADDED || added > ADDED_BYTES {
            return Err(Refused::Full);
        }
        self.added = added;
        if known.is_some() {
            self.remove(document);
        } else {
            self.documents.push(Document { path: path.to_owned(), lines: Vec::new(), cost: 0 });
        }
        self.documents[document].cost = cost;
        self.add(document, text);
        Ok(document)
    }

    fn add(&mut self, document: usize, text: &str) {
        for (line, text) in text.lines().enumerate() {
            let place = Place { document, line };
            for word in words(text) {
                let places = self.places.entry(word).or_default();
                if let Err(at) = places.binary_search(&place) {
                    places.insert(at, place);
                }
            }
        }
        self.documents[document].lines = text.lines().map(String::from).collect();
    }

    fn remove(&mut self, document: usize) {
        let lines = std::mem::take(&mut self.documents[document].lines);
        for word in lines.iter().flat_map(|line| words(line)) {
            if let Some(places) = self.places.get_mut(&word) {
                // In ascending order: they stand together.
                let begin = places.partition_point(|place| place.document < document);
                let end = places.partition_point(|place| place.document <= document);
                places.drain(begin..end);
                if places.is_empty() {
                    self.places.remove(&word);
                }
            }
        }
    }

    /// The lines that hold all of these words, in order.
    pub(crate) fn search(&self, text: &str) -> Vec<Place> {
        let none = Vec::new();
        let mut lists: Vec<_> = words(text).map(|word| self.places.get(&word).unwrap_or(&none)).collect();
        lists.sort_by_key(|places| places.len());
        let Some((fewest, others)) = lists.split_first() else { return none };
        fewest.iter().copied().filter(|p| others.iter().all(|places| places.binary_search(p).is_ok())).collect()
    }

    /// All words, and in how many lines they stand.
    pub(crate) fn words(&self) -> impl Iterator<Item = (&str, usize)> {
        self.places.iter().map(|(word, places)| (word.as_str(), places.len()))
    }

    /// The file that a place stands in, and its line.
    pub(crate) fn text(&self, place: Place) -> (&str, &str) {
        let document = &self.documents[place.document];
        (&document.path, document.lines[place.line].trim())
    }
}

/// Files in the order of their names, without what is hidden, and without what cargo builds.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut children = std::fs::read_dir(folder)?.map(|child| Ok(child?.path())).collect::<io::Result<Vec<_>>>()?;
    children.sort();
    for path in children {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() && !path.is_symlink() && !hidden && !path.join("CACHEDIR.TAG").exists() {
            walk(&path, files)?;
        } else if path.is_file() && path.extension().is_some_and(|e| e == "rs" || e == "md") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_bounded() {
        let mut index = Index::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))).unwrap();
        assert_eq!(index.put("main.rs", ""), Err(Refused::Taken));
        // Little text, and a large index.
        let text = "a\n".repeat(ADDED_BYTES / EACH / 8);
        let room = (0..ADDED).take_while(|n| index.put(&format!("{n}"), &text).is_ok()).count();
        assert!((2..4).contains(&room), "{room}");
        // In the place of another it has room, and when that is short, others have.
        let last = (room - 1).to_string();
        assert!(index.put(&last, &text).is_ok() && index.put(&last, "").is_ok() && index.put("another", &text).is_ok());
        let small = (0..ADDED).filter(|n| index.put(&format!("small {n}"), "b").is_ok()).count();
        assert_eq!(small, ADDED - room - 1);
        assert!(index.put(&last, "").is_ok() && index.put("more", "") == Err(Refused::Full));
    }
}
