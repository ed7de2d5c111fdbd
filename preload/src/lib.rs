//! C's allocation functions, for programs that were never recompiled:
//!
//! ```sh
//! LD_PRELOAD=libtenure_preload.so TENURE=exact,leaks program
//! ```
//!
//! The functions are [`tenure`]'s heap; what they do with sizes, alignments and `errno` is what glibc documents. A block freed
//! twice, and any address that is no block's, ends the process with one line on standard error, but for what the loader allocated itself.
//!
//! Beside the standard functions stand those that the C library has besides, so that a block of one and a `free` of the other never meet.

pub mod exports;
pub mod figures;
#[cfg(own_unwinder)]
mod unwinder;

use tenure::Tenure;

/// The one allocator: of C's functions, and of what this library itself allocates.
// The helper is a thread that the program knows nothing of: programs count their threads, and some fork without a thought.
#[global_allocator]
pub(crate) static ALLOC: Tenure = Tenure::new().helper_thread(false);
