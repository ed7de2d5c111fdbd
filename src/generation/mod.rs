//! The generational clock, and giving memory back.

pub(crate) mod clock;
pub(crate) mod helper;

pub use crate::config::{BadThreshold, Thresholds};
pub use clock::Generation;

/// The thresholds that hold now.
pub fn thresholds() -> Thresholds {
    clock::get()
}

/// Changes the thresholds, from any thread, at any time. Does not allocate. The epoch that runs ends as if the new ones had held since it
/// began.
///
/// # Errors
/// If one is out of its bounds: nothing is changed then.
pub fn set_thresholds(thresholds: Thresholds) -> Result<(), BadThreshold> {
    thresholds.check()?;
    clock::set(&thresholds);
    Ok(())
}
