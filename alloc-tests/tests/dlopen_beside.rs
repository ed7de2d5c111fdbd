//! A cdylib that brings its own `Tenure` into a process which has one already: two copies of everything, that know
//! nothing of each other.

use tenure_alloc_tests::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

include!("dlopen/scenarios.rs");
