//! Names that were looked up, in bounded memory.

use crate::snapshot::Frame;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A module's number, and an address in its file.
pub(super) type Key = (u32, u64);

/// Names by address, in two halves: what is used moves to the young one, and when that is full it becomes the old one,
/// which goes.
#[derive(Debug)]
pub(super) struct Cache {
    most: usize,
    young: HashMap<Key, Arc<[Frame]>>,
    old: HashMap<Key, Arc<[Frame]>>,
    young_bytes: usize,
    old_bytes: usize,
    /// Functions and files, each once.
    texts: HashSet<Arc<str>>,
}

impl Cache {
    pub(super) fn new(most: usize) -> Cache {
        let (young, old, texts) = Default::default();
        Cache { most, young, old, young_bytes: 0, old_bytes: 0, texts }
    }

    pub(super) fn clear(&mut self) {
        *self = Cache::new(self.most);
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.young_bytes + self.old_bytes
    }

    pub(super) fn get(&mut self, key: Key) -> Option<Arc<[Frame]>> {
        if let Some(frames) = self.young.get(&key) {
            return Some(frames.clone());
        }
        let frames = self.old.remove(&key)?;
        self.old_bytes -= cost(&frames).min(self.old_bytes);
        self.insert(key, frames.clone());
        Some(frames)
    }

    pub(super) fn insert(&mut self, key: Key, frames: Arc<[Frame]>) {
        self.young_bytes += cost(&frames);
        self.young.insert(key, frames);
        if self.young_bytes > self.most / 2 {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
            self.texts.retain(|t| Arc::strong_count(t) > 1);
        }
    }

    /// A frame whose texts are those of earlier ones, where they are equal.
    pub(super) fn share(&mut self, mut frame: Frame) -> Frame {
        let mut one = |text: &mut Arc<str>| match self.texts.get(&**text) {
            Some(known) => *text = known.clone(),
            None => _ = self.texts.insert(text.clone()),
        };
        one(&mut frame.function);
        frame.file.iter_mut().for_each(&mut one);
        frame.module.iter_mut().for_each(one);
        frame
    }
}

/// Bytes that an entry takes; its texts in full, though others may share them.
fn cost(frames: &[Frame]) -> usize {
    let texts = |f: &Frame| size_of::<Frame>() + f.function.len() + f.file.as_ref().map_or(0, |file| file.len());
    64 + frames.iter().map(texts).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_with_the_last_entry_that_has_them() {
        let mut cache = Cache::new(20_000);
        for i in 0..5000 {
            let frame = cache.share(Frame::new(&format!("function_{i}"), Some("one/file.rs"), None));
            cache.insert((1, i), [frame].into());
        }
        let held: usize = cache.texts.iter().map(|t| t.len()).sum();
        assert!(held <= 20_000, "{held} bytes of texts");
        let file = |i| cache.get((1, i)).map(|f| f[0].file.clone().expect("a file"));
        let files: Vec<_> = (4990..5000).filter_map(file).collect();
        assert!(files.len() == 10 && files.iter().all(|f| Arc::ptr_eq(f, &files[0])), "equal texts are one");
        assert!(cache.get((2, 4999)).is_none(), "another module's");
    }
}
