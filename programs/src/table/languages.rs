//! Interpreters: many small blocks, all of whose sizes change with what a script does.

use super::need;
use crate::program::{Need, Program, Size};
use crate::session::Session;
use std::path::Path;
use std::{fs, io};

const PYTHON3: Need = need("/usr/bin/python3", "python3");
const SUITE: Need = need("/usr/lib/python3*/test/test_dict.py", "libpython3.*-testsuite");

/// A script; objects of up to 512 bytes come from Python's own pools, which come from `mmap`.
pub(super) const PYTHON: Program = Program {
    name: "python",
    needs: &[PYTHON3],
    repeats: true,
    own_allocator: false,
    prepare: python_files,
    run: |s| script(s, false),
};

/// The same script, each of whose objects comes from `malloc`.
pub(super) const PYTHON_MALLOC: Program = Program { name: "python-malloc", run: |s| script(s, true), ..PYTHON };

/// CPython's own tests of what allocates much.
pub(super) const PYTHON_SUITE: Program =
    Program { name: "python-suite", repeats: false, needs: &[PYTHON3, SUITE], run: |s| suite(s, false), ..PYTHON };

/// They with all objects from `malloc`.
pub(super) const PYTHON_SUITE_MALLOC: Program =
    Program { name: "python-suite-malloc", run: |s| suite(s, true), ..PYTHON_SUITE };

fn python_files(input: &Path, _: Size) -> io::Result<()> {
    fs::write(input.join("work.py"), include_str!("../../inputs/work.py"))?;
    fs::write(input.join("suite.py"), include_str!("../../inputs/suite.py"))
}

fn python(s: &mut Session, malloc: bool) {
    s.set("PYTHONHASHSEED", "0");
    s.set("PYTHONDONTWRITEBYTECODE", "1");
    if malloc {
        s.set("PYTHONMALLOC", "malloc");
    }
}

fn script(s: &mut Session, malloc: bool) -> io::Result<()> {
    python(s, malloc);
    s.run(s.sized("/usr/bin/python3 input/work.py 1", "/usr/bin/python3 input/work.py 12"))
}

fn suite(s: &mut Session, malloc: bool) -> io::Result<()> {
    python(s, malloc);
    let quick = "test_json test_list test_dict test_gc test_deque";
    let full = "test_json test_list test_dict test_gc test_deque test_set test_bytes test_collections test_copy test_heapq test_generators test_sort test_userdict test_string test_textwrap test_csv";
    s.run(&format!("/usr/bin/python3 input/suite.py {}", s.sized(quick, full)))
}

pub(super) const PERL: Program = Program {
    name: "perl",
    needs: &[need("perl", "perl")],
    repeats: true,
    own_allocator: false,
    prepare: |input, _| fs::write(input.join("work.pl"), include_str!("../../inputs/work.pl")),
    run: |s| {
        s.set("PERL_HASH_SEED", "0");
        s.set("PERL_PERTURB_KEYS", "0");
        // Without this it ends without freeing what it has.
        s.set("PERL_DESTRUCT_LEVEL", "2");
        s.run(s.sized("perl input/work.pl 2", "perl input/work.pl 16"))
    },
};

pub(super) const NODE: Program = Program {
    name: "node",
    needs: &[need("node", "nodejs")],
    repeats: false,
    own_allocator: false,
    prepare: |input, _| fs::write(input.join("work.js"), include_str!("../../inputs/work.js")),
    run: |s| s.run(s.sized("node input/work.js 1", "node input/work.js 5")),
};
