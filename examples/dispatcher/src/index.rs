//! Texts, and where in them each word stands.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) struct Index {
    pub(crate) documents: Vec<Document>,
    /// In ascending order.
    places: HashMap<String, Vec<Place>>,
}

pub(crate) struct Document {
    /// From the folder on.
    pub(crate) path: String,
    pub(crate) lines: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) document: usize,
    /// From 0 on.
    pub(crate) line: usize,
}

/// Small letters, digits and `_`.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).map(str::to_lowercase)
}

impl Index {
    /// Indexes the `*.rs` and `*.md` files below a folder. An error is a line for the user.
    pub(crate) fn read(folder: &Path) -> Result<Index, String> {
        let shown = folder.display();
        let mut index = Index { documents: Vec::new(), places: HashMap::new() };
        let mut files = Vec::new();
        walk(folder, &mut files).map_err(|why| format!("cannot read {shown} ({why}): give a folder with --folder"))?;
        for file in files {
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            index.add(file.strip_prefix(folder).unwrap_or(&file), &text);
        }
        if index.documents.is_empty() {
            return Err(format!("{shown} holds no *.rs or *.md file: give another folder with --folder"));
        }
        Ok(index)
    }

    fn add(&mut self, path: &Path, text: &str) {
        let document = self.documents.len();
        for (line, text) in text.lines().enumerate() {
            for word in words(text) {
                let places = self.places.entry(word).or_default();
                if places.last() != Some(&Place { document, line }) {
                    places.push(Place { document, line });
                }
            }
        }
        let lines = text.lines().map(String::from).collect();
        self.documents.push(Document { path: path.display().to_string(), lines });
    }

    /// The lines that hold all of these words, in order.
    pub(crate) fn search(&self, text: &str) -> Vec<Place> {
        let none = Vec::new();
        let mut lists: Vec<_> = words(text).map(|word| self.places.get(&word).unwrap_or(&none)).collect();
        lists.sort_by_key(|places| places.len());
        let Some((fewest, others)) = lists.split_first() else { return none };
        fewest.iter().copied().filter(|p| others.iter().all(|places| places.binary_search(p).is_ok())).collect()
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
