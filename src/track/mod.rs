//! What is known of tracked blocks. Beside [`crate::heap`]: neither knows the other, and the allocator joins them.
//!
//! For now only a dummy, for the tests of the hooks; sampling, call stacks, sites and tags come here.

pub(crate) mod dummy;
