//! Functions between the program and its blocks: what calls them is of interest, and they are not.

/// As pprof takes it: readers leave them out, and what they call, unless they are told not to.
#[cfg(feature = "pprof")]
pub(super) const PATTERN: &str = "<?tenure::(allocator|heap|track)::.*|(__rustc::)?__rust_(alloc|realloc|alloc_zeroed)|alloc::alloc::.*|\
                                  <?alloc::(alloc::Global|raw_vec::).*";

/// The same for those who take no pattern.
#[cfg(feature = "json")]
pub(super) fn is_allocator(function: &str) -> bool {
    const BEGINS: &[&str] = &[
        "tenure::allocator::",
        "tenure::heap::",
        "tenure::track::",
        "__rust_alloc",
        "__rust_realloc",
        "__rustc::__rust_alloc",
        "__rustc::__rust_realloc",
        "alloc::alloc::",
        "alloc::raw_vec::",
    ];
    let path = function.strip_prefix('<').unwrap_or(function);
    BEGINS.iter().any(|begin| path.starts_with(begin))
}
