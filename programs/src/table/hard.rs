//! Programs of our own that do on purpose what is hard for an allocator.

use super::{compile, need};
use crate::program::{Need, Program};
use std::fs;

const GCC: Need = need("gcc", "gcc");

/// C++: what is made before `main` and destroyed after it, threads, wide alignments, and sizes that there cannot be.
pub(super) const CONTAINERS: Program = Program {
    name: "c++",
    needs: &[need("g++", "g++")],
    repeats: true,
    own_allocator: false,
    prepare: |input, _| {
        fs::write(input.join("templates.cpp"), include_str!("../../inputs/templates.cpp"))?;
        compile(&["g++", "-std=c++17", "-O1", "-pthread", "-w", "-o", "templates", "templates.cpp"], input)
    },
    run: |s| s.run(s.sized("input/templates 1", "input/templates 60")),
};

/// Forks while other threads allocate.
pub(super) const FORKS: Program = Program {
    name: "forks",
    needs: &[GCC],
    repeats: false,
    own_allocator: false,
    prepare: |input, _| {
        fs::write(input.join("forks.c"), include_str!("../../inputs/forks.c"))?;
        compile(&["gcc", "-O1", "-pthread", "-o", "forks", "forks.c"], input)
    },
    run: |s| s.run(s.sized("input/forks 200", "input/forks 4000")),
};

/// Threads in an address space of 200 MiB.
pub(super) const LIMITED: Program = Program {
    name: "limited",
    needs: &[GCC, need("prlimit", "util-linux")],
    repeats: false,
    own_allocator: false,
    prepare: |input, _| {
        fs::write(input.join("limited.c"), include_str!("../../inputs/limited.c"))?;
        compile(&["gcc", "-O1", "-fno-builtin", "-pthread", "-o", "limited", "limited.c"], input)
    },
    run: |s| {
        // glibc's arenas, one for each thread, take 64 MiB of addresses each; other allocators do not read this.
        s.set("MALLOC_ARENA_MAX", "1");
        s.run("prlimit --as=209715200 input/limited")
    },
};

/// A library that comes and goes.
pub(super) const LOADS: Program = Program {
    name: "dlopen",
    needs: &[GCC],
    repeats: false,
    own_allocator: false,
    prepare: |input, _| {
        fs::write(input.join("plugin.c"), include_str!("../../inputs/plugin.c"))?;
        fs::write(input.join("loads.c"), include_str!("../../inputs/loads.c"))?;
        compile(&["gcc", "-O1", "-fPIC", "-shared", "-o", "plugin.so", "plugin.c"], input)?;
        compile(&["gcc", "-O1", "-pthread", "-o", "loads", "loads.c"], input)
    },
    run: |s| s.run(s.sized("input/loads input/plugin.so 2000", "input/loads input/plugin.so 30000")),
};
