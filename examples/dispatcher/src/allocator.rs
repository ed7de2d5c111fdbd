//! The program's allocator. For a comparison it is built with another one, or, without features, with the system's.

#[cfg(feature = "instruments")]
#[global_allocator]
static ALLOC: tenure::Tenure = tenure::Tenure::new();

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
