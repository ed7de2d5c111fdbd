//! The clock, and giving memory back.
//!
//! For now: a bare clock (an epoch for each so many bytes allocated), and the helper thread that purges what stays
//! free. Collections by generation stand on both.

pub(crate) mod clock;
pub(crate) mod helper;
#[allow(dead_code)] // until old collections push to it
pub(crate) mod trend;
