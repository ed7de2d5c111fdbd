//! Runs one workload on the Rust port of dlmalloc, which takes one lock for each operation.

#[global_allocator]
static ALLOC: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() {
    tenure_benches::worker::main();
}
