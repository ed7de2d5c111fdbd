//! Runs one workload on the system allocator.

#[global_allocator]
static ALLOC: std::alloc::System = std::alloc::System;

fn main() {
    tenure_benches::worker::main();
}
