//! Runs one workload on rpmalloc, as its crate ships it (`realloc` copies, an ended thread's heap is not handed on).

#[global_allocator]
static ALLOC: rpmalloc::RpMalloc = rpmalloc::RpMalloc;

fn main() {
    tenure_benches::worker::main();
}
