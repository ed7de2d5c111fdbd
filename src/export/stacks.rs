//! The stacks of a snapshot as texts: each address is looked up once, and each text kept once.

use crate::snapshot::{Frame, Names, Place, Site, Snapshot};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Texts, each with a number.
#[derive(Default)]
pub(super) struct Texts {
    numbers: HashMap<Arc<str>, u32>,
    all: Vec<Arc<str>>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let (number, text) = (self.all.len() as u32, Arc::<str>::from(text));
        self.all.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    /// The text of each number.
    pub(super) fn all(&self) -> &[Arc<str>] {
        &self.all
    }
}

/// What stands for a frame; the address is `None` where the frame stands for one that is not there.
type TextOf = fn(Option<u64>, &Frame) -> Cow<'_, str>;

/// Reads stacks out of one snapshot.
pub(super) struct Stacks<'a> {
    snapshot: &'a Snapshot,
    names: &'a mut dyn Names,
    text_of: TextOf,
    known: HashMap<u64, Box<[u32]>>,
}

impl<'a> Stacks<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, names: &'a mut dyn Names, text_of: TextOf) -> Self {
        Stacks { snapshot, names, text_of, known: HashMap::new() }
    }

    /// The frames of a site, leaf first, inlined ones before what they were inlined into; what is missing has a frame
    /// that says so.
    pub(super) fn of(&mut self, site: &Site, texts: &mut Texts) -> Vec<u32> {
        let mut stack = Vec::with_capacity(site.stack.len() * 2 + 1);
        let instead = |what| (self.text_of)(None, &Frame::instead(what)).into_owned();
        if site.stack.is_empty() {
            stack.push(texts.number(&instead(site.without_stack())));
        }
        for &address in &site.stack {
            let frames = self.known.entry(address).or_insert_with(|| {
                let frames = self.names.frames(&Place::new(address, self.snapshot.modules()));
                frames.iter().map(|f| texts.number(&(self.text_of)(Some(address), f))).collect()
            });
            stack.extend_from_slice(frames);
        }
        stack.extend(site.ending.missing().map(|what| texts.number(&instead(what))));
        stack
    }
}

/// A function's name as one frame of a folded stack: no `;`, which parts frames, no control character nor what else XML
/// refuses, and no number behind a last space, which would be taken for a count.
pub(super) fn harmless(_: Option<u64>, frame: &Frame) -> Cow<'_, str> {
    let name = frame.function.trim();
    let counts = |word: &str| word.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number = name.rsplit_once(' ').filter(|(_, word)| counts(word));
    if name.is_empty() {
        return "(no name)".into();
    }
    let unfit = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    if number.is_none() && !name.contains(|c: char| c == ';' || unfit(c)) {
        return name.into();
    }
    let name = number.map_or(name.to_string(), |(name, number)| format!("{name}_{number}"));
    name.chars()
        .map(|c| {
            if c == ';' {
                ':'
            } else if unfit(c) {
                '?'
            } else {
                c
            }
        })
        .collect()
}
