//! What a function's name says about where it was written.
//!
//! Names come in two manglings: `<a::T as b::U>::f` is the same in both; inherent functions are `a::T<X>::f` in the
//! legacy one and `<a::T<X>>::f` in v0; closures are `{{closure}}` and `{closure#0}`. C++ has operators, whose brackets
//! enclose nothing: `a::T::operator<`.

/// The path of what a name belongs to: of the function itself, or of the type or trait whose `impl` it stands in.
/// Without generics; empty if the name has no path, as in C.
pub(super) fn owner(function: &str) -> String {
    let Some(inside) = function.strip_prefix('<') else { return without_generics(function) };
    let (inside, _) = split_matching(inside);
    let (of, by) = match split_as(inside) {
        Some((of, by)) => (path_of_type(of), path_of_type(by)),
        None => (path_of_type(inside), String::new()),
    };
    // An impl stands in the crate of its type or of its trait; if one of them is of std, in the other's.
    let foreign = |path: &str| path.is_empty() || is_std(first(path));
    let owner = if foreign(&of) && !by.is_empty() && (of.is_empty() || !foreign(&by)) { by } else { of };
    // Primitive types have their functions from core.
    if owner.is_empty() { "core".into() } else { owner }
}

/// The path of the module that a function stands in, crate first; empty if it has none.
pub(crate) fn module(function: &str) -> String {
    let owner = owner(function);
    let mut segments: Vec<&str> = owner.split("::").collect();
    if !function.starts_with('<') {
        while segments.last().is_some_and(|s| s.starts_with('{')) {
            segments.pop();
        }
        segments.pop();
    }
    // Types, and what stands in their functions. Modules have small letters.
    if let Some(at) = segments.iter().position(|s| s.starts_with(char::is_uppercase)) {
        segments.truncate(at);
    }
    segments.retain(|s| !s.starts_with('{'));
    segments.join("::")
}

/// The crate of a function; empty if it has none.
pub(super) fn krate(function: &str) -> String {
    let owner = owner(function);
    if function.starts_with('<') || owner.contains("::") { first(&owner).to_string() } else { String::new() }
}

/// Owner and last name: `a::T::f` for `<a::T as b::U>::f`, so that one glob fits both.
pub(super) fn plain(function: &str) -> String {
    match function.strip_prefix('<').map(split_matching) {
        Some((_, rest)) => owner(function) + &without_generics(rest),
        None => owner(function),
    }
}

pub(super) fn is_std(krate: &str) -> bool {
    matches!(krate, "core" | "alloc" | "std")
}

pub(super) fn first(path: &str) -> &str {
    path.split("::").next().unwrap_or(path)
}

/// Splits behind the `>` that closes what was opened before.
fn split_matching(text: &str) -> (&str, &str) {
    let mut depth = 1;
    let mut before = ' ';
    for (i, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return (&text[..i], &text[i + 1..]);
        }
        before = c;
    }
    (text, "")
}

/// Splits at the ` as ` that stands in no inner brackets.
fn split_as(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    let mut before = ' ';
    for (i, c) in text.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if before == '-' => (),
            '>' | ')' | ']' => depth -= 1,
            ' ' if depth == 0 && text[i..].starts_with(" as ") => return Some((&text[..i], &text[i + 4..])),
            _ => (),
        }
        before = c;
    }
    None
}

/// The path that a type begins with, behind references and brackets; empty if it has none.
fn path_of_type(mut text: &str) -> String {
    loop {
        let rest = text.trim_start_matches(['&', '*', '[', '(', ' ']);
        let word = rest.split([' ', ':', '<', '>', ',', ')', ']']).next().unwrap_or("");
        let skip = matches!(word, "mut" | "const" | "dyn" | "impl") || word.starts_with('\'');
        if !skip {
            let path =
                without_generics(rest.strip_prefix('<').map_or(rest, |inner| split_as(inner).map_or(inner, |s| s.0)));
            let end = path.find([' ', ',', ')', ']', ';', '+', '(']).unwrap_or(path.len());
            return if path[..end].contains("::") { path[..end].to_string() } else { String::new() };
        }
        text = &rest[word.len()..];
    }
}

/// A path without what stands in `<...>`.
fn without_generics(text: &str) -> String {
    let (mut plain, mut depth, mut before) = (String::with_capacity(text.len()), 0usize, ' ');
    let mut of_operator = 0;
    for (i, c) in text.char_indices() {
        if depth == 0 && text[i..].starts_with("operator") && !before.is_alphanumeric() && before != '_' {
            of_operator = i + operator(&text[i..]);
        }
        match c {
            _ if i < of_operator => plain.push(c),
            '<' => depth += 1,
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => (),
        }
        before = c;
    }
    // `a::<X>::f` and `a::<impl T>::f` leave a gap.
    while let Some(at) = plain.find("::::") {
        plain.replace_range(at..at + 2, "");
    }
    plain.trim_end_matches("::").to_string()
}

/// How long the name of an operator is that a text begins with, as far as it may have brackets.
fn operator(text: &str) -> usize {
    const SIGNS: &[&str] = &["<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "<", ">"];
    let signs = &text["operator".len()..];
    "operator".len() + SIGNS.iter().find(|sign| signs.starts_with(**sign)).map_or(0, |sign| sign.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_names() {
        // What stands in binaries of rustc 1.95, and in some of v0 mangling.
        for (function, in_module, in_crate) in [
            ("shop::cart::add_item", "shop::cart", "shop"),
            ("shop::cart::add_item::{{closure}}", "shop::cart", "shop"),
            ("shop::cart::add_item::{closure#0}::{closure#1}", "shop::cart", "shop"),
            ("shop::cart::add_item::<u32>", "shop::cart", "shop"),
            ("shop::main", "shop", "shop"),
            ("shop::cart::Cart::new", "shop::cart", "shop"),
            ("<shop::cart::Cart<T>>::new", "shop::cart", "shop"),
            ("shop::cart::Cart<T>::new", "shop::cart", "shop"),
            ("<shop::cart::Cart as core::clone::Clone>::clone", "shop::cart", "shop"),
            ("<shop::cart::Cart as core::clone::Clone>::clone::{{closure}}", "shop::cart", "shop"),
            ("<alloc::vec::Vec<T> as shop::Put>::put", "shop", "shop"),
            ("<alloc::vec::Vec<T,A> as core::clone::Clone>::clone", "alloc::vec", "alloc"),
            ("<T as alloc::slice::hack::ConvertVec>::to_vec", "alloc::slice::hack", "alloc"),
            ("<&mut shop::Reader as std::io::Read>::read", "shop", "shop"),
            ("<dyn shop::job::Job + core::marker::Send>::run", "shop::job", "shop"),
            ("<[u8]>::to_vec", "core", "core"),
            ("<str>::to_owned", "core", "core"),
            ("<(shop::A, u8) as core::hash::Hash>::hash", "shop", "shop"),
            ("alloc::slice::<impl [T]>::to_vec", "alloc::slice", "alloc"),
            ("alloc::raw_vec::RawVec<T,A>::grow_one", "alloc::raw_vec", "alloc"),
            ("<fn(u8) -> shop::X as core::ops::function::FnOnce<()>>::call_once", "core::ops::function", "core"),
            ("<F as core::ops::function::FnOnce<(shop::X,)>>::call_once", "core::ops::function", "core"),
            ("core::ops::function::FnOnce::call_once{{vtable.shim}}", "core::ops::function", "core"),
            ("<<shop::A as shop::B>::C as core::fmt::Display>::fmt", "shop", "shop"),
            ("shop::Money::operator<", "shop", "shop"),
            ("shop::operator<< <int>", "shop", "shop"),
            ("std::map<int, shop::Cart>::operator[]", "std::map", "std"),
            ("shop::Cart::add(int)::{lambda()#1}::operator()", "shop", "shop"),
            ("operator new", "", ""),
            ("main", "", ""),
            ("__libc_start_main_impl", "", ""),
            ("__rustc::__rust_alloc", "__rustc", "__rustc"),
            ("<", "core", "core"),
            ("", "", ""),
        ] {
            assert_eq!((module(function).as_str(), krate(function).as_str()), (in_module, in_crate), "{function}");
        }
        assert_eq!(plain("<shop::cart::Cart as core::clone::Clone>::clone"), "shop::cart::Cart::clone");
        assert_eq!(plain("alloc::vec::Vec<T,A>::push"), "alloc::vec::Vec::push");
        for (name, short) in [
            ("shop::Ptr<shop::Cart>::operator->", "shop::Ptr::operator->"),
            ("shop::operator<< <int>", "shop::operator<< "),
            ("shop::Less<int>::operator()", "shop::Less::operator()"),
            ("my_operator<int>::f", "my_operator::f"),
        ] {
            assert_eq!(plain(name), short);
        }
    }
}
