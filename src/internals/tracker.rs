//! What a test does with the dummy tracker.

pub use crate::track::dummy::{counts, set_exact, set_mean};

use crate::allocator::Hooks;
use crate::config::Config;
use crate::heap::thread;
use crate::track::dummy;

/// This thread tracks every block, whatever the others do, from now on.
pub fn set_exact_here(on: bool) {
    thread::with_tracker::<Hooks, _>(&Config::DEFAULT, |state| dummy::set_exact_here(state, on));
    super::adopt_mode();
}
