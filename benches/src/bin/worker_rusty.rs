//! Runs one workload on rusty_alloc, a port of mimalloc v2 to Rust.

#[global_allocator]
static ALLOC: rusty_alloc_api::RustyAlloc = rusty_alloc_api::RustyAlloc;

fn main() {
    tenure_benches::worker::main();
}
