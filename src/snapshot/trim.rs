//! What a report leaves out of a stack: the allocator, the standard library, the C library and the thread's first frames;
//! functions that only hand on what they were given by the allocator; and recursion.

use super::Frame;
use super::path;

/// Crates whose frames say how something was allocated, and not for what. C++ has a `std` too, and GCC's own names for
/// what is not standard.
const CRATES: &[&str] =
    &["core", "alloc", "std", "hashbrown", "__rustc", "compiler_builtins", "panic_unwind", "__gnu_cxx"];
/// Modules of our own that stand between an allocation and the program.
const OWN: &[&str] = &["allocator", "heap", "track", "generation", "pages", "arena", "os", "scope", "testing"];
/// Functions without a path: the allocator's entries, and what runs before `main` or a thread's function.
const BARE: &[&str] = &[
    "_start",
    "main",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "start_thread",
    "clone",
    "__clone",
    "clone3",
    "__clone3",
    "__GI___clone3",
    "thread_start",
    "_init",
    "_dl_init",
    "call_init",
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "memalign",
    "posix_memalign",
    "aligned_alloc",
    "operator new",
    "operator new[]",
    "rust_eh_personality",
];
const BARE_BEGINS: &[&str] = &["__rust_", "__rg_", "__rdl_", "__rustc"];
/// The library for programs that were not made for this allocator.
const OURS: &str = "libtenure_preload";
/// What the files' names begin with of the C and C++ libraries, the loader, and that library. What `getline` or `fopen` allocates is held by whoever called it. Of C++'s library, the most is in
/// headers.
const LIBRARIES: &[&str] = &[
    OURS,
    "libc.so",
    "libc-2.",
    "libpthread",
    "libstdc++.so",
    "libc++.so",
    "libc++abi.so",
    "libgcc_s.so",
    "ld-linux",
    "ld-2.",
    "ld-musl",
    "libc.musl",
];

/// Whether a function is of the allocator, the standard library, or the start of a thread, by its name.
pub(crate) fn is_runtime(function: &str) -> bool {
    if BARE.contains(&function) || BARE_BEGINS.iter().any(|b| function.starts_with(b)) {
        return true;
    }
    let path = path::owner(function);
    let krate = path::first(&path);
    let own = || path.split("::").nth(1).is_some_and(|module| OWN.contains(&module));
    (path.contains("::") || function.starts_with('<')) && (CRATES.contains(&krate) || krate == "tenure" && own())
}

/// Whether a path would be taken for one of Rust's libraries, or of this crate, though it is not `std`.
#[cfg(feature = "cpp")]
pub(crate) fn is_rust_runtime(function: &str) -> bool {
    let path = path::owner(function);
    let krate = path::first(&path);
    path.contains("::") && (krate == "tenure" || CRATES.contains(&krate) && !matches!(krate, "std" | "__gnu_cxx"))
}

/// What a frame says of a block that was allocated below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Nothing: how it was allocated.
    How,
    /// Who else asked for it, if all between it and the allocator is `How` or this: a wrapper of `malloc`.
    OnBehalf,
    /// For what.
    What,
}

/// `inner`: the frame that it called.
pub(super) fn says(frame: &Frame, inner: Option<&Frame>) -> Says {
    // Rust's programs have two functions of that name, and the outer one calls the standard library.
    let starts_rust = |inner: &Frame| ["std::rt::", "std::sys::"].iter().any(|begin| inner.function.starts_with(begin));
    if &*frame.function == "main" && !inner.is_some_and(starts_rust) {
        return Says::What;
    }
    let of_library = frame.module.as_ref().is_some_and(|module| LIBRARIES.iter().any(|name| module.starts_with(name)))
        || frame.file.as_ref().is_some_and(|file| file.contains("/include/c++/"));
    if of_library || is_runtime(&frame.function) {
        Says::How
    } else if frame.named && is_wrapper(&frame.function) {
        Says::OnBehalf
    } else {
        Says::What
    }
}

/// Whether a function of C or C++ allocates on behalf of others, by its name: `malloc`, `calloc`, `realloc` or `strdup`
/// is in it, or its last word is `alloc`, `dup` or the like. `xmalloc`, `g_strdup`, `PyMem_RawCalloc`, `sqlite3DbMallocRaw`,
/// `apr_palloc`, `PyType_GenericAlloc`, but not `alloc_buffers`, `reallocate_table` or `dup2`.
fn is_wrapper(function: &str) -> bool {
    const INSIDE: &[&str] = &["malloc", "calloc", "strdup", "strndup", "memdup", "memalign"];
    const LAST: &[&str] = &["alloc", "allocate", "alloc0", "alloc_n", "alloc0_n", "allocz"];
    let name = function.rsplit("::").next().unwrap_or(function);
    let name = name.split('<').next().unwrap_or(name).trim_end_matches(['_', '[', ']', ' ']);
    // Rust's `Pool::alloc`, and a class' in C++, is a thing of the program's own.
    let in_path = function.contains("::");
    let small = name.to_ascii_lowercase();
    name.starts_with("operator new")
        || INSIDE.iter().any(|word| small.contains(word))
        || !in_path && LAST.iter().any(|word| small.ends_with(word))
}

/// Where in a stack the frame is that a block is put down to, if there is one that says for what.
fn at(frames: &[Frame]) -> Option<usize> {
    let mut on_behalf = None;
    for (i, frame) in frames.iter().enumerate() {
        match says(frame, i.checked_sub(1).map(|i| &frames[i])) {
            Says::How => (),
            Says::OnBehalf => on_behalf = Some(i),
            Says::What => return Some(i),
        }
    }
    on_behalf
}

/// Whether a stack that may go on has the frame already that a block is put down to.
pub(super) fn has_line(frames: &[Frame]) -> bool {
    at(frames).is_some_and(|i| says(&frames[i], i.checked_sub(1).map(|i| &frames[i])) == Says::What)
}

/// The frame that a block is put down to: the program's own line, or else the last that says anything.
pub(crate) fn line(frames: &[Frame]) -> Option<&Frame> {
    if let Some(at) = at(frames) {
        return frames.get(at);
    }
    let ours = |f: &Frame| f.module.as_ref().is_some_and(|module| module.starts_with(OURS));
    let library = |f: &&Frame| path::krate(&f.function) == "std" || !is_runtime(&f.function) && !ours(f);
    let with_path = |f: &&Frame| !path::krate(&f.function).is_empty();
    frames.iter().find(library).or_else(|| frames.iter().rev().find(with_path)).or(frames.last())
}

/// A stack as a report shows it, leaf first: from the frame on that the block is put down to.
pub(crate) fn trimmed(frames: &[Frame]) -> Vec<Frame> {
    let Some(at) = at(frames) else { return line(frames).into_iter().cloned().collect() };
    let inner = |i: usize| i.checked_sub(1).map(|i| &frames[i]);
    (at..frames.len()).filter(|&i| says(&frames[i], inner(i)) != Says::How).map(|i| frames[i].clone()).collect()
}

/// Leaves one turn of what repeats without a gap: `a b b b c` becomes `a b c`, and `a b a b c` does too. Of the turns
/// the first is kept.
pub(super) fn folded<T>(items: impl IntoIterator<Item = T>, same: impl Fn(&T, &T) -> bool) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        kept.push(item);
        let n = kept.len();
        // Before this item nothing repeated, so that one cut leaves nothing that repeats.
        if let Some(turn) = (1..=n / 2).find(|&turn| (n - turn..n).all(|i| same(&kept[i], &kept[i - turn]))) {
            kept.truncate(n - turn);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stacks as they stand in release builds of rustc 1.95.
    const NOISE: &[&str] = &[
        "__rust_alloc",
        "__rg_alloc",
        "__rdl_realloc",
        "__rustc::__rust_alloc_zeroed",
        "__rustc[27de30dd2d7a7c28]::__rust_alloc",
        "<tenure::allocator::Tenure as core::alloc::global::GlobalAlloc>::alloc",
        "tenure::heap::slow::alloc",
        "tenure::testing::measure",
        "tenure::testing::limits::Limits::check",
        "<tenure::scope::InScope<F> as core::future::future::Future>::poll",
        "alloc::alloc::alloc",
        "alloc::alloc::Global::alloc_impl",
        "<alloc::alloc::Global as core::alloc::Allocator>::allocate",
        "alloc::raw_vec::RawVec<T,A>::grow_one",
        "alloc::raw_vec::RawVecInner<A>::reserve::do_reserve_and_handle",
        "alloc::vec::Vec<T,A>::push",
        "<alloc::vec::Vec<T> as alloc::vec::spec_from_iter::SpecFromIter<T,I>>::from_iter",
        "<T as alloc::slice::hack::ConvertVec>::to_vec",
        "<str as alloc::borrow::ToOwned>::to_owned",
        "core::iter::traits::iterator::Iterator::collect",
        "hashbrown::raw::RawTable<T,A>::reserve_rehash",
        "hashbrown::map::HashMap<K,V,S,A>::insert",
        "std::collections::hash::map::HashMap<K,V,S>::insert",
        "core::ops::function::FnOnce::call_once{{vtable.shim}}",
        "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
        "std::rt::lang_start::{{closure}}",
        "std::sys::backtrace::__rust_begin_short_backtrace",
        "<core::panic::unwind_safe::AssertUnwindSafe<F> as core::ops::function::FnOnce<()>>::call_once",
        "std::panicking::catch_unwind::do_call",
        "std::sys::thread::unix::Thread::new::thread_start",
        "main",
        "__libc_start_call_main",
        "_start",
        "start_thread",
        "clone3",
    ];
    const KEPT: &[&str] = &[
        "shop::main",
        "tenure::main",
        "tenure::shop::run",
        "<shop::Cart as core::clone::Clone>::clone",
        "<alloc::vec::Vec<T> as shop::Put>::put",
        "serde_json::de::from_str",
        "<serde_json::read::StrRead as serde_json::read::Read>::parse_str",
        "core_graphics::display::f",
        "allocator_api2::f",
        "sqlite3_malloc",
        "shop+0x1f40",
    ];

    #[test]
    fn runtime_and_program_are_told_apart() {
        for name in NOISE {
            assert!(is_runtime(name), "{name} is noise");
        }
        for name in KEPT {
            assert!(!is_runtime(name), "{name} is the program's");
        }
    }

    fn stack(functions: &[&str]) -> Vec<Frame> {
        functions.iter().map(|f| Frame::new(f, None, None)).collect()
    }

    fn line_of(functions: &[&str]) -> Option<String> {
        line(&stack(functions)).map(|f| f.function.to_string())
    }

    #[test]
    fn the_line_is_the_first_that_is_the_programs() {
        let outer = ["core::iter::Iterator::fold", "shop::main", "std::rt::lang_start", "main", "_start"];
        let all = [NOISE, &["shop::cart::add"], &outer].concat();
        assert_eq!(line_of(&all).as_deref(), Some("shop::cart::add"));
        assert_eq!(trimmed(&stack(&all)), stack(&["shop::cart::add", "shop::main"]));
        // What std allocates for itself.
        let own = ["alloc::sync::Arc<T>::new", "std::thread::Thread::new", "std::rt::init", "main", "_start"];
        assert_eq!(line_of(&own).as_deref(), Some("std::thread::Thread::new"));
        assert_eq!(line_of(&["malloc", "alloc::alloc::alloc", "_start"]).as_deref(), Some("alloc::alloc::alloc"));
        assert_eq!(line_of(&["malloc", "_start"]).as_deref(), Some("_start"));
        assert_eq!(line_of(&[]), None);
    }

    /// Stacks as they stand in programs of C and C++.
    #[test]
    fn in_c_it_is_who_asked_for_memory() {
        let kept = |functions: &[&str]| -> Vec<String> {
            trimmed(&stack(functions)).iter().map(|f| f.function.to_string()).collect()
        };
        for (functions, of_it) in [
            (&["malloc", "main", "__libc_start_main"][..], &["main"][..]),
            (&["malloc", "xmalloc", "load_table", "main", "_start"], &["load_table", "main"]),
            (&["calloc", "g_malloc0", "g_slice_alloc", "g_list_append", "main"], &["g_list_append", "main"]),
            (&["malloc", "_PyMem_RawMalloc", "PyType_GenericAlloc", "PyDict_New"], &["PyDict_New"]),
            (&["malloc", "sqlite3MemMalloc", "dbMallocRawFinish", "sqlite3VdbeCreate"], &["sqlite3VdbeCreate"]),
            // One that is called by what allocates for itself is no wrapper.
            (&["malloc", "load", "my_alloc", "main"], &["load", "my_alloc", "main"]),
            // If there is nobody else, it is the outermost of them.
            (&["malloc", "xmalloc", "table_alloc", "_start"], &["table_alloc"]),
            (
                &["malloc", "operator new", "std::vector<int>::push_back", "shop::Cart::add", "main"],
                &["shop::Cart::add", "main"],
            ),
            (&["malloc", "Pool::operator new", "shop::Cart::add"], &["shop::Cart::add"]),
            (&["malloc", "operator new", "__gnu_cxx::new_allocator<int>::allocate", "main"], &["main"]),
            (&["malloc", "shop::Pool::alloc", "main"], &["shop::Pool::alloc", "main"]),
        ] {
            assert_eq!(kept(functions), of_it);
            assert_eq!(line_of(functions).as_deref(), Some(of_it[0]));
        }
        for own in ["alloc_buffers", "reallocate_table", "dup2", "allocation_count", "shop::Pool::alloc", "new_node"] {
            assert!(!is_wrapper(own), "{own}");
        }
        for other in ["xmalloc", "xstrdup", "luaM_realloc_", "ggc_internal_alloc", "WTF::fastMalloc", "apr_palloc"] {
            assert!(is_wrapper(other), "{other}");
        }
    }

    #[test]
    fn what_the_c_library_allocates_is_held_by_its_caller() {
        let of =
            |function: &str, module: &str| Frame { module: Some(module.into()), ..Frame::new(function, None, None) };
        let frames = [
            of("malloc", "libtenure_preload.so"),
            of("fopen64", "libc.so.6"),
            of("open_log", "shop"),
            of("qsort", "libc.so.6"),
            of("main", "shop"),
        ];
        assert_eq!(line(&frames), Some(&frames[2]));
        assert_eq!(trimmed(&frames), [frames[2].clone(), frames[4].clone()]);
        // Nobody called it: its own function is said.
        assert_eq!(line(&frames[..2]).map(|f| &*f.function), Some("fopen64"));
        let early =
            [of("tenure_preload::exports::malloc", "libtenure_preload.so"), of("_dl_new", "ld-linux-x86-64.so.2")];
        assert_eq!(line(&early), Some(&early[1]));
    }

    #[test]
    fn repetition_is_folded_and_nothing_else() {
        let fold = |text: &str| folded(text.chars(), |a, b| a == b).into_iter().collect::<String>();
        for (given, kept) in [
            ("", ""),
            ("abc", "abc"),
            ("abbbbc", "abc"),
            ("ababababc", "abc"),
            ("abcabcabd", "abcabd"),
            ("aabaab", "ab"),
            ("xabbabby", "xaby"),
            ("abca", "abca"),
        ] {
            assert_eq!(fold(given), kept, "{given}");
        }
        // Any depth of the same recursion is one stack.
        let depths: Vec<_> = (1..40).map(|n| fold(&format!("l{}m", "pq".repeat(n)))).collect();
        assert!(depths.iter().all(|d| d == "lpqm"), "{depths:?}");
    }
}
