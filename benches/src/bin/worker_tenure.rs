//! Runs one workload on tenure, with its defaults.

#[global_allocator]
static ALLOC: tenure::Tenure = tenure::Tenure::new();

fn main() {
    tenure_benches::worker::main();
}
