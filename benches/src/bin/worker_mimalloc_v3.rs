//! Runs one workload on mimalloc v3.

#[global_allocator]
static ALLOC: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    tenure_benches::worker::expect_mimalloc(3, mi_version);
    tenure_benches::worker::main();
}

unsafe extern "C" {
    /// Which mimalloc was linked: a build with the wrong features would otherwise compare v3 with itself.
    safe fn mi_version() -> std::ffi::c_int;
}
