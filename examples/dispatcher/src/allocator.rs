//! The allocator, and how closely it looks: the one line that a program needs, with small thresholds.
//!
//! By default a process of this size would be looked at every few minutes. Here an old collection runs about once a
//! second, so that the eighteen that a suspect needs fit into half a minute; and a sample stands for 32 KiB instead of
//! 512, so that a leak of a MiB a second is no matter of chance.

use tenure::generation::Thresholds;
use tenure::{Mode, Tenure};

#[global_allocator]
static ALLOC: Tenure = Tenure::new().mode(Mode::Sampled { mean: 32 << 10 }).thresholds(Thresholds {
    young_per_middle: 4,
    middle_per_old: 3,
    idle_ms: 100,
    ..Thresholds::DEFAULT
});
