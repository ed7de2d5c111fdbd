//! Runs one workload on jemalloc 5.

#[global_allocator]
static ALLOC: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    tenure_benches::worker::main();
}
