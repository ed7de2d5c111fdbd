//! What a report leaves out of a stack: the allocator, the standard library and the thread's first frames; and
//! recursion.

use super::Frame;
use super::path;

/// Crates whose frames say how something was allocated, and not for what.
const CRATES: &[&str] = &["core", "alloc", "std", "hashbrown", "__rustc", "compiler_builtins", "panic_unwind"];
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
    "rust_eh_personality",
];
const BARE_BEGINS: &[&str] = &["__rust_", "__rg_", "__rdl_", "__rustc"];

/// Whether a function is of the allocator, the standard library, or the start of a thread.
pub(crate) fn is_runtime(function: &str) -> bool {
    if BARE.contains(&function) || BARE_BEGINS.iter().any(|b| function.starts_with(b)) {
        return true;
    }
    let path = path::owner(function);
    let krate = path::first(&path);
    let own = || path.split("::").nth(1).is_some_and(|module| OWN.contains(&module));
    (path.contains("::") || function.starts_with('<')) && (CRATES.contains(&krate) || krate == "tenure" && own())
}

/// The frame that a block is put down to: the program's own line, or else the last that says anything.
pub(crate) fn line(frames: &[Frame]) -> Option<&Frame> {
    let library = |f: &&Frame| path::krate(&f.function) == "std" || !is_runtime(&f.function);
    let with_path = |f: &&Frame| !path::krate(&f.function).is_empty();
    let own = frames.iter().find(|f| !is_runtime(&f.function));
    own.or_else(|| frames.iter().find(library)).or_else(|| frames.iter().rev().find(with_path)).or(frames.last())
}

/// A stack as a report shows it, leaf first.
pub(crate) fn trimmed(frames: &[Frame]) -> Vec<Frame> {
    let own: Vec<_> = frames.iter().filter(|f| !is_runtime(&f.function)).cloned().collect();
    if own.is_empty() { line(frames).into_iter().cloned().collect() } else { own }
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
        let all = [NOISE, &["shop::cart::add", "core::iter::Iterator::fold", "shop::main", "main"]].concat();
        assert_eq!(line_of(&all).as_deref(), Some("shop::cart::add"));
        assert_eq!(trimmed(&stack(&all)), stack(&["shop::cart::add", "shop::main"]));
        // What std allocates for itself.
        let own = ["alloc::sync::Arc<T>::new", "std::thread::Thread::new", "std::rt::init", "main", "_start"];
        assert_eq!(line_of(&own).as_deref(), Some("std::thread::Thread::new"));
        assert_eq!(line_of(&["malloc", "alloc::alloc::alloc", "_start"]).as_deref(), Some("alloc::alloc::alloc"));
        assert_eq!(line_of(&["malloc", "_start"]).as_deref(), Some("_start"));
        assert_eq!(line_of(&[]), None);
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
