//! The program's allocator, and how closely it looks. For a comparison it is built with another one, or, without
//! features, with the system's.
//!
//! By default a process of this size would be looked at every few minutes. Here an old collection runs about once a
//! second, so that the eighteen that a suspect needs fit into half a minute; and a sample stands for 32 KiB instead of
//! 512, so that a leak of a MiB a second is no matter of chance. Stacks are kept to their full depth: what stands below the
//! event loop's frames would be cut off.

#[cfg(feature = "instruments")]
#[global_allocator]
static ALLOC: tenure::Tenure = tenure::Tenure::new()
    .mode(tenure::Mode::Sampled { mean: 32 << 10 })
    .stack_depth(128)
    .thresholds(tenure::generation::Thresholds {
        young_per_middle: 3,
        middle_per_old: 3,
        idle_ms: 100,
        ..tenure::generation::Thresholds::DEFAULT
    });

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
