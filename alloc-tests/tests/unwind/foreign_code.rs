//! Code of other compilers and libraries: a plugin, C and C++ that are compiled here, libraries that come and go.

use crate::compare::{Compared, LAST, compare_for_c};
use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use tenure::internals::unwind::{self, Ending};
use tenure_alloc_tests::plugin::Plugin;

#[test]
fn a_plugin() {
    let _one = LOADING.lock();
    let plugin = Plugin::open();
    for depth in [0, 1, 10] {
        LAST.set(None);
        (plugin.call_back)(depth, compare_for_c);
        let seen = LAST.get().expect("it called back");
        assert_eq!(seen.ending, Ending::Complete);
        assert!(seen.frames > depth);
    }
    assert!(unwind::refresh(), "a library was loaded");
    (plugin.call_back)(3, compare_for_c);
    // SAFETY: no call is running.
    unsafe { plugin.close() };
    unwind::refresh();
    crate::compare::compare();
}

/// One test at a time loads and unloads: addresses are to be used again, and `refresh` tells one caller of a change.
static LOADING: Mutex<()> = Mutex::new(());

/// A library made of a source by the system's compiler. `None` if there is none, which skips the test by name.
fn library(name: &str, compiler: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let extension = if compiler == "c++" { "cpp" } else { "c" };
    // Its own files, because test runs may overlap.
    let stem = format!("unwind-{name}-{}", std::process::id());
    let (input, output) = (folder.join(format!("{stem}.{extension}")), folder.join(format!("{stem}.so")));
    std::fs::write(&input, source).expect("a source");
    let result = Command::new(compiler).args(flags).args(["-shared", "-fPIC", "-o"]).arg(&output).arg(&input).output();
    let _ = std::fs::remove_file(&input);
    match result {
        Ok(run) if run.status.success() => Some(output),
        Ok(run) => {
            println!("skipped: {name}: {compiler} {flags:?}: {}", String::from_utf8_lossy(&run.stderr));
            None
        }
        Err(error) => {
            println!("skipped: {name}: no {compiler}: {error}");
            None
        }
    }
}

struct Loaded(*mut c_void);

impl Loaded {
    fn open(path: &std::path::Path) -> Loaded {
        let name = CString::new(path.to_str().expect("a path of text")).expect("without a null");
        // SAFETY: the library has no initialisers but the compiler's.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
        let _ = std::fs::remove_file(path);
        assert!(!handle.is_null());
        // It may stand where another has stood.
        let generation = unwind::generation();
        assert!(unwind::refresh(), "a library was loaded");
        assert_ne!(unwind::generation(), generation);
        Loaded(handle)
    }

    fn address(&self, name: &CStr) -> usize {
        // SAFETY: the handle is open.
        let address = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!address.is_null(), "{name:?}");
        address.expose_provenance()
    }

    /// Calls a function of the library that calls back; returns what the callback saw.
    fn call(&self, name: &CStr, n: i64) -> Compared {
        type Function = extern "C" fn(extern "C" fn(), i64) -> i64;
        LAST.set(None);
        // SAFETY: all functions here have this type.
        let f: Function = unsafe { std::mem::transmute(std::ptr::with_exposed_provenance::<()>(self.address(name))) };
        f(compare_for_c, n);
        LAST.get().expect("it called back")
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: no call is running.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
    }
}

const C: &str = r#"
#include <alloca.h>
#include <string.h>
#include <stdlib.h>
typedef void (*callback)(void);

long with_alloca(callback f, long n) {
    volatile char *room = alloca(n * 37 + 1);
    room[0] = 1;
    if (n > 0) with_alloca(f, n - 1); else f();
    return room[0];
}
long with_array(callback f, long n) {
    volatile long room[n + 3];
    room[n] = 5;
    f();
    return room[n];
}
static callback the_callback;
static int order(const void *a, const void *b) { the_callback(); return *(char *)a - *(char *)b; }
long through_qsort(callback f, long n) {
    char all[64];
    memset(all, 'x', sizeof all);
    the_callback = f;
    qsort(all, n + 2, 1, order);
    return all[0];
}
long aligned(callback f, long n) {
    _Alignas(64) volatile char room[128];
    room[5] = n;
    if (n > 0) aligned(f, n - 1); else f();
    return room[5];
}
/* Both: the compiler keeps the argument pointer on the stack, and the CFA is loaded from there. */
long aligned_and_variable(callback f, long n) {
    _Alignas(64) volatile char room[128];
    volatile char *more = alloca(n * 37 + 1);
    room[5] = n; more[0] = 1;
    if (n > 0) aligned_and_variable(f, n - 1); else f();
    return room[5] + more[0];
}
"#;

fn c(name: &str, flags: &[&str]) {
    let Some(path) = library(name, "cc", C, flags) else { return };
    let _one = LOADING.lock();
    let library = Loaded::open(&path);
    for n in [0, 1, 2, 9] {
        for function in [c"with_alloca", c"with_array", c"through_qsort", c"aligned", c"aligned_and_variable"] {
            let seen = library.call(function, n);
            assert_eq!(seen.ending, Ending::Complete, "{function:?}({n})");
            assert_eq!(seen.switches, 0);
        }
    }
}

#[test]
fn c_without_optimisation() {
    c("c-plain", &["-O0"]);
}

#[test]
fn c_optimised() {
    c("c-fast", &["-O2", "-fomit-frame-pointer"]);
}

#[test]
fn c_with_every_stack_realigned() {
    c("c-realigned", &["-O2", "-mstackrealign"]);
}

#[test]
fn c_with_vectors() {
    c("c-vectors", &["-O3", "-mavx2"]);
}

#[test]
fn cplusplus() {
    let source = r#"
        #include <algorithm>
        #include <functional>
        #include <map>
        #include <string>
        #include <stdexcept>
        #include <vector>
        typedef void (*callback)();
        struct Guard { callback f; ~Guard() { f(); } };
        extern "C" long sorted(callback f, long n) {
            std::vector<std::string> all;
            for (long i = 0; i < n + 20; i++) all.push_back(std::to_string(i * 7919 % 101));
            std::sort(all.begin(), all.end(), [&](auto &a, auto &b) { f(); return a < b; });
            return all.size();
        }
        extern "C" long in_a_map(callback f, long n) {
            std::map<long, std::function<void()>> all;
            for (long i = 0; i <= n; i++) all[i] = [f] { f(); };
            for (auto &x : all) x.second();
            return all.size();
        }
        static long thrower(callback f, long n) {
            Guard guard{f};
            if (n == 0) throw std::runtime_error("x");
            return thrower(f, n - 1);
        }
        extern "C" long in_a_cleanup(callback f, long n) {
            try { return thrower(f, n); } catch (std::exception &) { f(); return 1; }
        }
    "#;
    for optimise in ["-O0", "-O2"] {
        let Some(path) = library(&format!("cplusplus{optimise}"), "c++", source, &[optimise]) else { return };
        let _one = LOADING.lock();
        let library = Loaded::open(&path);
        for n in [0, 1, 9] {
            for function in [c"sorted", c"in_a_map", c"in_a_cleanup"] {
                assert_eq!(library.call(function, n).ending, Ending::Complete, "{function:?}({n})");
            }
        }
    }
}

/// A function by hand, whose rule is none that is followed: the walk ends there, and says why.
#[test]
fn rules_too_complex_and_none_at_all() {
    let source = r#"
        __asm__(".text\n.globl by_rbx\n.type by_rbx,@function\nby_rbx:\n.cfi_startproc\n"
            "push %rbx\n.cfi_adjust_cfa_offset 8\n.cfi_offset %rbx,-16\nmov %rsp,%rbx\n.cfi_def_cfa_register %rbx\n"
            "and $-64,%rsp\ncall *%rdi\nmov %rbx,%rsp\n.cfi_def_cfa_register %rsp\npop %rbx\n"
            ".cfi_adjust_cfa_offset -8\nret\n.cfi_endproc\n.size by_rbx,.-by_rbx\n"
            ".globl unknown\n.type unknown,@function\nunknown:\nsub $8,%rsp\ncall *%rdi\nadd $8,%rsp\nret\n"
            ".size unknown,.-unknown\n");
    "#;
    let Some(path) = library("by-hand", "cc", source, &[]) else { return };
    let _one = LOADING.lock();
    let library = Loaded::open(&path);
    assert_eq!(library.call(c"by_rbx", 0).ending, Ending::Complex);
    assert_eq!(library.call(c"unknown", 0).ending, Ending::NoRules);
}

/// Another library at the addresses of one that is gone: wrong rules, until `refresh`.
#[test]
fn libraries_that_come_and_go() {
    let source = |words: usize| {
        format!(
            "typedef void (*callback)(void);\nlong call(callback f, long n) {{ volatile long room[{words}]; room[0] = n; \
             f(); return room[0]; }}\n"
        )
    };
    let _one = LOADING.lock();
    let (mut addresses, mut reused) = (Vec::new(), 0);
    for round in 0..8 {
        let words = 4 + round % 4 * 50;
        let name = format!("comes-and-goes-{round}");
        let Some(path) = library(&name, "cc", &source(words), &["-O2"]) else { return };
        let library = Loaded::open(&path);
        let address = library.address(c"call");
        reused += usize::from(addresses.contains(&address));
        addresses.push(address);
        for _ in 0..3 {
            assert_eq!(library.call(c"call", 1).ending, Ending::Complete);
        }
    }
    println!("{reused} of 8 libraries stood where another had");
    assert!(reused > 0, "no address was used again: the test has not tested");
}

/// Every instruction of a library that calls others through its procedure linkage table, first when the table is
/// filled, and then, in a second copy, while the loader looks the functions up.
#[test]
fn the_procedure_linkage_table() {
    let source = r#"
        #include <stdlib.h>
        #include <string.h>
        typedef void (*callback)(void);
        long hop(long n) { return n < 2 ? n : labs(-n) + hop(n - 2); }
        long call(callback f, long n) {
            char text[32];
            f();
            for (long i = 0; i < n; i++) { strcpy(text, "12345"); n += strtol(text, 0, 10) == atol("7") + hop(i); }
            return n;
        }
    "#;
    let _one = LOADING.lock();
    for flags in
        [&["-O2", "-fplt", "-fno-builtin", "-Wl,-z,lazy"][..], &["-O0", "-fplt", "-fcf-protection", "-Wl,-z,lazy"]]
    {
        let Some(path) = library("plt", "cc", source, flags) else { return };
        let library = Loaded::open(&path);
        let (cold, _) = crate::signals::steps::of(|| _ = library.call(c"call", 4));
        let (warm, early) = crate::signals::steps::of(|| _ = library.call(c"call", 4));
        println!("{flags:?}: {cold} steps, then {warm}, of which {early} walks ended early");
        assert!(cold > warm + 100, "nothing was looked up: {cold}, {warm}");
        assert_eq!(early, 0);
    }
}
