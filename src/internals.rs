//! stub
#![allow(missing_docs)]
pub mod tracker {
    use crate::heap::{Mode, Tracker};
    use crate::pages::page::Word;
    pub(crate) fn mode(_: &mut Tracker) -> Mode { Mode::Plain }
    pub(crate) fn draw(_: &mut Tracker, _: usize) -> u64 { u64::MAX }
    pub(crate) fn draw_large(_: &mut Tracker, _: usize) -> bool { false }
    pub(crate) fn born(_: &mut Tracker, _: &mut Word, _: usize, _: usize) {}
    pub(crate) fn died(_: &Word, _: usize) {}
}
