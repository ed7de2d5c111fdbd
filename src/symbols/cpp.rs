//! Names of C++ functions.
//!
//! As people say them: without parameters and return types, which compilers write into names to tell overloads apart, and
//! with what the standard library's templates have by default left out. `std::vector<std::string>::push_back` is, in
//! full, `std::vector<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >, std::allocator<std::__cxx11::basic_string<char,
//! std::char_traits<char>, std::allocator<char> > > >::push_back(std::__cxx11::basic_string<…`.

use super::demangle::Bounded;
use crate::snapshot::is_rust_runtime;
use cpp_demangle::{BorrowedSymbol, DemangleOptions, ParseOptions};

/// Longer ones are left as they are. Real ones, of expression templates, have some thousands.
const LONGEST_MANGLED: usize = 16 << 10;
/// A short name may stand for a very long one: each part of it may be the whole of what was before, twice.
const LONGEST: usize = 16 << 10;
/// How deep a name may be nested, which is also how much stack it takes: some tens of KiB.
const DEEPEST: u32 = 96;

/// `None` if it is no mangled name of C++.
pub(super) fn demangled(name: &[u8]) -> Option<String> {
    let is_mangled = name.starts_with(b"_Z") || name.starts_with(b"__Z") || name.starts_with(b"_GLOBAL_");
    if !is_mangled || name.len() > LONGEST_MANGLED {
        return None;
    }
    let symbol = BorrowedSymbol::new_with_options(name, &ParseOptions::default().recursion_limit(DEEPEST)).ok()?;
    let options =
        DemangleOptions::new().no_params().no_return_type().hide_expression_literal_types().recursion_limit(DEEPEST);
    let mut long = Bounded::new(LONGEST);
    let whole = symbol.structured_demangle(&mut long, &options).is_ok();
    let name = tidy(&long.finish(whole));
    let name = name.strip_suffix(" const").map_or(name.clone(), String::from);
    // What C++ calls `core::f` is not of Rust's library.
    Some(if is_rust_runtime(&name) { format!("::{name}") } else { name })
}

/// Whether a name is another one with its namespaces and classes. Debug information has functions that only their own file
/// can call, as those of a namespace without a name, by their last name.
pub(super) fn is_whole(last: &str, whole: &str) -> bool {
    fn plain(name: &str) -> &str {
        name.split('<').next().filter(|name| !name.ends_with("operator")).unwrap_or(name)
    }
    whole.rsplit_once("::").is_some_and(|(_, name)| plain(name) == plain(last))
}

/// A name without what is there by default.
fn tidy(name: &str) -> String {
    const STRING: &str = "std::basic_string<char, std::char_traits<char>, std::allocator<char> >";
    let name = name.replace("std::__cxx11::", "std::").replace("std::__1::", "std::").replace("[abi:cxx11]", "");
    without_defaults(&name.replace(STRING, "std::string"))
}

/// Without the arguments of templates that nobody writes, and without the spaces in `> >`.
fn without_defaults(name: &str) -> String {
    const DEFAULTS: [&str; 6] = ["allocator", "char_traits", "default_delete", "equal_to", "hash", "less"];

    fn default(rest: &str) -> Option<&str> {
        let args = rest.strip_prefix(", std::")?;
        DEFAULTS.iter().find_map(|default| args.strip_prefix(default)?.strip_prefix('<'))
    }
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = default(rest).and_then(after_matching) {
            rest = after.strip_prefix(' ').filter(|after| after.starts_with('>')).unwrap_or(after);
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c == ' ' && short.ends_with('>') && rest.starts_with('>') {
            continue;
        }
        short.push(c);
    }
    short
}

/// What stands behind the `>` that closes what was opened before; `None` if that does not come soon.
fn after_matching(text: &str) -> Option<&str> {
    /// So that the work stays in proportion to the name's length.
    const SOON: usize = 2 << 10;
    let mut depth = 1;
    for (i, c) in text.char_indices().take(SOON) {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return Some(&text[i + 1..]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(mangled: &str) -> String {
        demangled(mangled.as_bytes()).unwrap_or_else(|| panic!("{mangled} is a name"))
    }

    /// By g++ 12 and clang 14.
    #[test]
    fn what_compilers_write() {
        for (mangled, plain) in [
            ("_Z3addii", "add"),
            ("_ZN4shop4Cart3addERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE", "shop::Cart::add"),
            ("_ZN4shop4CartC1Ev", "shop::Cart::Cart"),
            ("_ZN4shop4CartD2Ev", "shop::Cart::~Cart"),
            ("_Znwm", "operator new"),
            ("_ZnamRKSt9nothrow_t", "operator new[]"),
            ("_ZNK4shop5MoneyltERKS0_", "shop::Money::operator<"),
            ("_ZN4shoplsERSoRKNS_5MoneyE", "shop::operator<<"),
            ("_ZN12_GLOBAL__N_14loadEv", "(anonymous namespace)::load"),
            ("_ZZ4mainENKUliE_clEi", "main::{lambda(int)#1}::operator()"),
            (
                "_ZNSt6vectorIiSaIiEE17_M_realloc_insertIJiEEEvN9__gnu_cxx17__normal_iteratorIPiS1_EEDpOT_",
                "std::vector<int>::_M_realloc_insert<int>",
            ),
            (
                "_ZNSt6vectorINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEESaIS5_EE9push_backERKS5_",
                "std::vector<std::string>::push_back",
            ),
            (
                "_ZNSt3mapIiSt6vectorIiSaIiEESt4lessIiESaISt4pairIKiS2_EEEixERS6_",
                "std::map<int, std::vector<int>>::operator[]",
            ),
            (
                "_ZNSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEiSt4hashIS5_ESt8equal_toIS5_ESaISt4pairIKS5_iEEEixERSB_",
                "std::unordered_map<std::string, int>::operator[]",
            ),
            ("_ZN4core5alloc5tableEv", "::core::alloc::table"),
        ] {
            assert_eq!(name(mangled), plain, "{mangled}");
        }
    }

    #[test]
    fn last_names() {
        assert!(is_whole("index", "shop::(anonymous namespace)::index"));
        assert!(is_whole("operator()", "main::{lambda()#1}::operator()"));
        assert!(is_whole("make<long int>", "shop::make<long>"));
        assert!(!is_whole("index", "shop::reindex") && !is_whole("main", "main") && !is_whole("f", "index"));
        assert!(is_whole("operator<", "shop::operator<") && !is_whole("operator<", "shop::operator<<"));
    }

    #[test]
    fn what_is_no_name_of_cpp_is_left_alone() {
        for text in ["", "_", "_Z", "_ZN", "main", "_ZN4shop", "_ZN4shop4cart3addEv and more"] {
            assert_eq!(demangled(text.as_bytes()), None, "{text}");
        }
        assert_eq!(demangled(b"_ZN3\xFFooEv"), None);
        assert_eq!(demangled(format!("_Z5{}v", "a".repeat(1 << 20)).as_bytes()), None);
    }

    /// A name that doubles with each part, a deep one, and thousands that were spoiled: an answer, of bounded length.
    /// It would not come within years if each name were written out.
    #[test]
    fn hostile_names_cost_little() {
        let doubled = {
            let mut text = String::from("_Z1fSt4pairIiiE");
            for i in 0..60u32 {
                let digit = char::from_digit(i % 36, 36).expect("a digit").to_ascii_uppercase();
                let number = if i < 36 { digit.to_string() } else { format!("1{digit}") };
                text += &format!("St4pairIS{number}_S{number}_E");
            }
            format!("_Z1hI{}EvT_", &text[4..])
        };
        let deep = [format!("_Z1f{}i", "P".repeat(10_000)), format!("_Z1f{}i{}", "1AI".repeat(3000), "E".repeat(3000))];
        let honest = "_ZNSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEiSt4hashIS5_ESt8equal_toIS5_ESaISt4pairIKS5_iEEEixERSB_";
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % below as u64) as usize
        };
        let alphabet = b"_ZNSTIEJLXDpKPRFvislt0123456789abc";
        let spoiled = (0..20_000).map(|_| {
            let mut text = honest.as_bytes().to_vec();
            for _ in 0..=next(6) {
                let at = 2 + next(text.len() - 2);
                text[at] = alphabet[next(alphabet.len())];
            }
            text
        });
        for text in deep.iter().chain([&doubled]).map(|text| text.as_bytes().to_vec()).chain(spoiled) {
            let len = demangled(&text).map_or(0, |name| name.len());
            assert!(len <= LONGEST + 8, "{len} bytes of {}", String::from_utf8_lossy(&text));
        }
    }
}
