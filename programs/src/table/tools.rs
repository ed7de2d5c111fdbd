//! Tools that people run all day: compilers, databases, archives, documents.

use super::{need, nothing};
use crate::program::{Program, Size};
use crate::texts::{self, sized};
use std::fs;

/// A database on disk, with one statement after the other.
pub(super) const SQLITE: Program = Program {
    name: "sqlite",
    needs: &[need("sqlite3", "sqlite3")],
    repeats: true,
    own_allocator: false,
    prepare: |input, size| {
        let rows = sized(size, 20_000, 200_000).to_string();
        fs::write(input.join("work.sql"), include_str!("../../inputs/work.sql").replace(":rows", &rows))
    },
    run: |s| {
        s.run_from("sqlite3 work.db", "input/work.sql")?;
        s.run("sqlite3 work.db .dump")
    },
};

/// A repository: its history, its packs, and children that are forked off.
pub(super) const GIT: Program = Program {
    name: "git",
    needs: &[need("git", "git")],
    repeats: false,
    own_allocator: false,
    prepare: |input, size| texts::commits(input, "commits", sized(size, 150, 2500)),
    run: |s| {
        s.set("GIT_CONFIG_NOSYSTEM", "1");
        s.set("GIT_PAGER", "cat");
        s.run("git init --quiet --initial-branch=main repository")?;
        s.run_from("git -C repository fast-import --quiet", "input/commits")?;
        s.run("git -C repository log --stat --no-renames -n 200")?;
        s.run("git -C repository log -p --format=%H -n 300")?;
        s.run("git -C repository blame main -- part1/file1.txt")?;
        s.run("git -C repository diff --stat main~100 main")?;
        // Threads divide the work by how fast each is, and packs would differ.
        s.run("git -C repository -c pack.threads=1 gc --quiet --aggressive")?;
        s.run("git -C repository fsck --full --no-progress")?;
        s.run("git -C repository grep --threads=2 -c ba main")?;
        s.run("git -C repository archive --format=tar --output=../all.tar main")?;
        // Times of files stand in it.
        fs::remove_dir_all(s.file("repository"))
    },
};

/// The C++ compiler and what it calls, with templates and the standard library's headers; then what it made.
pub(super) const CXX: Program = Program {
    name: "g++",
    needs: &[need("g++", "g++")],
    repeats: false,
    own_allocator: false,
    prepare: |input, size| {
        let quick = include_str!("../../inputs/quick.cpp");
        let full = include_str!("../../inputs/templates.cpp");
        fs::write(input.join("work.cpp"), if size == Size::Quick { quick } else { full })
    },
    run: |s| {
        s.run("g++ -std=c++17 -O1 -pthread -o work input/work.cpp")?;
        s.run("./work")
    },
};

/// The C compiler with its optimiser.
pub(super) const C: Program = Program {
    name: "gcc",
    needs: &[need("gcc", "gcc")],
    repeats: false,
    own_allocator: false,
    prepare: |input, size| texts::c_source(input, "work.c", sized(size, 60, 500)),
    run: |s| {
        s.run("gcc -O2 -o work input/work.c")?;
        s.run("./work")
    },
};

/// Pages of text and curves, drawn.
pub(super) const GHOSTSCRIPT: Program = Program {
    name: "ghostscript",
    needs: &[need("gs", "ghostscript")],
    repeats: true,
    own_allocator: false,
    prepare: |input, size| texts::postscript(input, "pages.ps", sized(size, 4, 40)),
    run: |s| {
        s.run("gs -q -dBATCH -dNOPAUSE -dSAFER -sDEVICE=ppmraw -r60 -dNumRenderingThreads=2 -dBandHeight=100 -dMaxBitmap=10000 -sOutputFile=page%d.ppm input/pages.ps")
    },
};

/// A tree of a document, built, searched, and written.
pub(super) const XML: Program = Program {
    name: "xmllint",
    needs: &[need("xmllint", "libxml2-utils")],
    repeats: true,
    own_allocator: false,
    prepare: |input, size| texts::xml(input, "work.xml", sized(size, 6_000, 60_000)),
    run: |s| {
        s.run("xmllint --format --output formatted.xml input/work.xml")?;
        s.run("xmllint --xpath count(//p[b]) input/work.xml")?;
        s.run("xmllint --c14n11 --noent formatted.xml")
    },
};

/// Threads with few, large blocks.
pub(super) const XZ: Program = Program {
    name: "xz",
    needs: &[need("xz", "xz-utils")],
    repeats: true,
    own_allocator: false,
    prepare: |input, size| texts::lines(input, "lines", sized(size, 20_000, 200_000)),
    run: |s| {
        s.run_from("xz -T2 -3 --block-size=500000 --stdout", "input/lines")?;
        s.run("cp input/lines lines")?;
        s.run("xz -T2 -2 --block-size=300000 lines")?;
        s.run("xz -d -T2 lines.xz")
    },
};

/// Threads that hand blocks on.
pub(super) const ZSTD: Program = Program {
    name: "zstd",
    needs: &[need("zstd", "zstd")],
    repeats: true,
    own_allocator: false,
    prepare: |input, size| texts::lines(input, "lines", sized(size, 60_000, 600_000)),
    run: |s| {
        s.run("zstd -q -T2 -9 -f -o lines.zst input/lines")?;
        s.run("zstd -q -d -o lines lines.zst")?;
        s.run("zstd -q -T2 -1 -f -o fast.zst input/lines")
    },
};

/// A block for each piece of the file, from one thread to the other and back.
pub(super) const PIGZ: Program = Program {
    name: "pigz",
    needs: &[need("pigz", "pigz")],
    repeats: false,
    own_allocator: false,
    prepare: |input, size| texts::lines(input, "lines", sized(size, 60_000, 500_000)),
    run: |s| {
        s.run_from("pigz -p 2 -n -c", "input/lines")?;
        s.run("cp input/lines lines")?;
        s.run("pigz -p 2 -n lines")?;
        s.run("pigz -p 2 -d -n lines.gz")
    },
};

/// Coreutils, with threads.
pub(super) const SORT: Program = Program {
    name: "sort",
    needs: &[need("sort", "coreutils")],
    repeats: true,
    own_allocator: false,
    prepare: |input, size| texts::lines(input, "lines", sized(size, 60_000, 500_000)),
    run: |s| {
        s.run("sort --parallel=2 -S 8M -k 2 -o sorted input/lines")?;
        s.run("uniq -c sorted counted")?;
        s.run("tac counted")
    },
};

/// A shell, whose subshells are forks that go on with what their parent had.
pub(super) const SHELL: Program = Program {
    name: "bash",
    needs: &[need("bash", "bash"), need("awk", "mawk"), need("sed", "sed")],
    repeats: false,
    own_allocator: false,
    prepare: |input, size| {
        texts::lines(input, "lines", 20_000)?;
        let turns = sized(size, 100, 1000).to_string();
        fs::write(input.join("work.sh"), include_str!("../../inputs/work.sh").replace(":turns", &turns))
    },
    run: |s| s.run("bash input/work.sh"),
};

/// Three processes that allocate, resize and free without end, and check what they find. It counts operations, not time.
pub(super) const STRESS: Program = Program {
    name: "stress-ng",
    needs: &[need("stress-ng", "stress-ng")],
    repeats: false,
    own_allocator: false,
    prepare: nothing,
    run: |s| {
        let operations = s.sized("20000", "300000");
        s.run(&format!("stress-ng --quiet --verify --seed 1 --malloc 2 --malloc-ops {operations} --malloc-bytes 256K --malloc-max 8192 --oomable"))?;
        s.run(&format!("stress-ng --quiet --verify --seed 1 --malloc 1 --malloc-ops {operations} --malloc-pthreads 2 --malloc-touch --malloc-bytes 100K --malloc-max 2048"))
    },
};
