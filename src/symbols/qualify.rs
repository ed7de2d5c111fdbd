//! Paths for functions whose debug information names them without one.
//!
//! What was not inlined has its whole name in the symbol table. What was inlined is in no table: its path is put together
//! from its file, whose modules follow from Rust's rules, and whose crate from the directory above `src`.

use crate::snapshot::{Frame, function_module};
use std::collections::HashMap;

/// The crates of directories, where whole names have told them.
pub(super) type Crates = HashMap<String, String>;

/// Where this crate was compiled. A clone may have any name, and reports leave our own frames out by the crate's.
const OWN: &str = env!("CARGO_MANIFEST_DIR");

/// Whether a name is that of a Rust function and lacks its path.
pub(super) fn is_bare(frame: &Frame) -> bool {
    let name = frame.function.split('<').next().unwrap_or("");
    let entry = ["__rust", "__rg_", "__rdl_"].iter().any(|e| name.starts_with(e));
    frame.named && !name.is_empty() && !name.contains("::") && !entry && is_rust(frame)
}

fn is_rust(frame: &Frame) -> bool {
    frame.file.as_deref().is_some_and(|f| f.ends_with(".rs"))
}

/// Gives the frames at one address their paths. `whole`: the name of the last, which was not inlined, from the symbol
/// table.
pub(super) fn qualify(frames: &mut [Frame], whole: Option<&str>, crates: &mut Crates) {
    let Some((outer, inlined)) = frames.split_last_mut() else { return };
    let module = whole.map(function_module).unwrap_or_default();
    if let (Some(whole), false) = (whole, module.is_empty()) {
        outer.function = whole.into();
        learn(whole, &module, outer.file.as_deref().unwrap_or(""), crates);
    } else if is_bare(outer) {
        give_path(outer, crates);
    }
    for frame in inlined.iter_mut().filter(|f| is_bare(f)) {
        // Most files hold one module.
        if frame.file == outer.file && !module.is_empty() {
            frame.function = join(&module, &frame.function);
        } else {
            give_path(frame, crates);
        }
    }
}

/// Notes which crate a directory holds, if a function and its file tell it without doubt. A file may be another crate's,
/// where that was inlined without a trace, and so may an `impl`.
fn learn(whole: &str, module: &str, file: &str, crates: &mut Crates) {
    let Some((directory, inside)) = split(file) else { return };
    let (name, below) = module.split_once("::").unwrap_or((module, ""));
    let path = modules_of(inside).join("::");
    let same = path.is_empty() || below == path || below.starts_with(&format!("{path}::"));
    let named_by_cargo = has_version(directory) || file.contains("/library/");
    // The compiler puts `__rustc::__rust_alloc` at the line of the global allocator's static.
    if same && !name.starts_with("__") && !named_by_cargo && !whole.starts_with('<') && !name.is_empty() {
        crates.entry(directory.into()).or_insert_with(|| name.into());
    }
}

/// The modules that a file below `src` holds.
fn modules_of(inside: &str) -> Vec<&str> {
    inside.trim_end_matches(".rs").split('/').filter(|p| !matches!(*p, "" | "lib" | "main" | "mod")).collect()
}

fn give_path(frame: &mut Frame, crates: &Crates) {
    if let Some((name, inside)) = frame.file.as_deref().and_then(target) {
        let name = name.replace('-', "_");
        let mut path = vec![name.as_str()];
        path.extend(modules_of(inside));
        frame.function = join(&path.join("::"), &frame.function);
        return;
    }
    let Some((directory, inside)) = frame.file.as_deref().and_then(split) else { return };
    let name = match crates.get(directory) {
        _ if directory == OWN => "tenure".into(),
        Some(name) => name.clone(),
        None => crate_of(directory),
    };
    let mut path = vec![name.as_str()];
    path.extend(modules_of(inside));
    frame.function = join(&path.join("::"), &frame.function);
}

/// The name without its generics, which the whole names of others lack too, behind a path.
fn join(path: &str, name: &str) -> std::sync::Arc<str> {
    format!("{path}::{}", name.split('<').next().unwrap_or(name)).into()
}

/// The crate that has a file or a directory of its own below where cargo looks for such, and the path below that. A directory
/// below `tests` or `benches` is as likely what several of them share.
fn target(file: &str) -> Option<(&str, &str)> {
    let below = |place: &str| {
        let rest = file.rsplit_once(place).map(|(_, rest)| rest).or_else(|| file.strip_prefix(&place[1..]))?;
        (!rest.contains("/src/")).then_some(rest)
    };
    // What is called so below `src` is a module.
    let beside = |place: &str| below(place).filter(|_| !file.contains("/src/"));
    let (rest, directories) = below("/src/bin/")
        .or_else(|| beside("/examples/"))
        .map(|rest| (rest, true))
        .or_else(|| beside("/tests/").or_else(|| beside("/benches/")).map(|rest| (rest, false)))?;
    match rest.split_once('/') {
        Some(parts) => directories.then_some(parts),
        None => Some((rest.strip_suffix(".rs")?, "")),
    }
}

/// The directory above `src`, and the path below it.
fn split(file: &str) -> Option<(&str, &str)> {
    file.rsplit_once("/src/")
}

/// `serde_json` for `.../serde_json-1.0.150`, `shop_server` for `/home/me/shop-server`.
fn crate_of(directory: &str) -> String {
    let name = directory.rsplit('/').next().unwrap_or(directory);
    name[..version_at(name).unwrap_or(name.len())].replace('-', "_")
}

/// Whether a directory carries the version of a crate, and so surely its name.
fn has_version(directory: &str) -> bool {
    version_at(directory.rsplit('/').next().unwrap_or(directory)).is_some()
}

fn version_at(name: &str) -> Option<usize> {
    name.match_indices('-').map(|m| m.0).find(|i| name[i + 1..].starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, file: &str) -> Frame {
        Frame::new(function, Some(file), Some(1))
    }

    fn names(frames: &[Frame]) -> Vec<&str> {
        frames.iter().map(|f| &*f.function).collect()
    }

    #[test]
    fn this_crate_is_known_whatever_its_directory_is_called() {
        let mut frames = [frame("alloc", concat!(env!("CARGO_MANIFEST_DIR"), "/src/allocator.rs"))];
        qualify(&mut frames, None, &mut Crates::new());
        assert_eq!(names(&frames), ["tenure::allocator::alloc"]);
    }

    #[test]
    fn paths_from_files() {
        for (function, file, whole) in [
            ("push<u8, alloc::alloc::Global>", "/rustc/59807616/library/alloc/src/vec/mod.rs", "alloc::vec::push"),
            ("{closure#0}<u8>", "/rustc/59807616/library/core/src/ptr/mut_ptr.rs", "core::ptr::mut_ptr::{closure#0}"),
            ("find", "/rust/deps/hashbrown-0.15.2/src/raw/mod.rs", "hashbrown::raw::find"),
            ("from_str", "/r/registry/src/index.crates.io-1/serde_json-1.0.150/src/de.rs", "serde_json::de::from_str"),
            ("add", "/home/me/shop-server/src/main.rs", "shop_server::add"),
            ("add", "/home/me/src/shop/src/cart/mod.rs", "shop::cart::add"),
            ("add", "src/cart.rs", "add"),
            ("{closure#0}", "/home/me/shop/examples/quick-start/index.rs", "quick_start::index::{closure#0}"),
            ("add", "/home/me/shop/examples/quick/main.rs", "quick::add"),
            ("add", "/home/me/shop/examples/quick.rs", "quick::add"),
            ("add", "examples/quick.rs", "quick::add"),
            ("add", "/home/me/shop/examples/server/src/main.rs", "server::add"),
            ("add", "/home/me/shop/src/examples/one.rs", "shop::examples::one::add"),
            ("add", "/home/me/shop/src/bin/worker/args.rs", "worker::args::add"),
            ("add", "/home/me/shop/tests/carts.rs", "carts::add"),
            ("add", "/home/me/shop/tests/common/mod.rs", "add"),
            ("free", "/build/glibc/malloc/src/malloc.c", "free"),
            ("__rust_alloc", "/home/me/shop/src/main.rs", "__rust_alloc"),
            ("shop::add", "/home/me/other/src/main.rs", "shop::add"),
            ("<shop::A as shop::B>::add", "/home/me/other/src/main.rs", "<shop::A as shop::B>::add"),
        ] {
            let mut frames = [frame(function, file)];
            qualify(&mut frames, None, &mut Crates::new());
            assert_eq!(names(&frames), [whole], "{function} in {file}");
        }
    }

    #[test]
    fn the_symbol_table_names_what_was_not_inlined_and_its_directory() {
        let mut crates = Crates::new();
        let mut frames = [
            frame("push<u8>", "/rustc/x/library/alloc/src/vec/mod.rs"),
            frame("put", "/work/tree/src/cart.rs"),
            frame("fill", "/work/tree/src/main.rs"),
        ];
        qualify(&mut frames, Some("shop::fill"), &mut crates);
        assert_eq!(names(&frames), ["alloc::vec::push", "shop::cart::put", "shop::fill"]);
        // Known from then on.
        let mut frames = [frame("put", "/work/tree/src/cart.rs"), frame("<T as other::Run>::run", "/o/src/lib.rs")];
        qualify(&mut frames, Some("<T as other::Run>::run"), &mut crates);
        assert_eq!(names(&frames), ["shop::cart::put", "<T as other::Run>::run"]);
        // Inlined without a trace: the file is not the function's.
        let mut frames = [frame("next", "/rustc/x/library/core/src/iter/range.rs"), frame("add", "/work/b/src/b.rs")];
        qualify(&mut frames, Some("shop::cart::add"), &mut crates);
        assert_eq!(names(&frames), ["core::iter::range::next", "shop::cart::add"]);
        assert_eq!(crates.into_iter().collect::<Vec<_>>(), [("/work/tree".to_string(), "shop".to_string())]);
        // The line of the global allocator's static is no module of the compiler's.
        let mut frames = [frame("__rust_alloc", "/work/c/src/main.rs")];
        let mut crates = Crates::new();
        qualify(&mut frames, Some("__rustc::__rust_alloc"), &mut crates);
        assert!(crates.is_empty());
        // A file of its own, as tests and examples are.
        let mut frames = [frame("help", "/work/tree/tests/one.rs"), frame("all", "/work/tree/tests/one.rs")];
        qualify(&mut frames, Some("one::all"), &mut Crates::new());
        assert_eq!(names(&frames), ["one::help", "one::all"]);
    }
}
