//! Runs one workload on snmalloc.

#[global_allocator]
static ALLOC: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

fn main() {
    tenure_benches::worker::main();
}
