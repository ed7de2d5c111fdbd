//! Names as they stand in the source, of those that compilers made of them.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// A name in a file may stand for one that is longer than memory.
const LONGEST: usize = 64 << 10;

/// Takes so many bytes of a name and no more.
pub(super) struct Bounded {
    text: String,
    most: usize,
}

impl Bounded {
    pub(super) fn new(most: usize) -> Bounded {
        Bounded { text: String::new(), most }
    }

    /// What was written; with a sign that there is more, if not all of it was.
    pub(super) fn finish(mut self, whole: bool) -> String {
        if !whole {
            self.text.push('…');
        }
        self.text
    }
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > self.most {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// A name for people: without the compiler's hash, and of the parts that an optimizer has made of a function, the
/// function's.
pub(super) fn demangled(name: &[u8]) -> String {
    let rust = std::str::from_utf8(name).ok().and_then(|name| rustc_demangle::try_demangle(name).ok());
    if let Some(rust) = rust {
        let mut short = Bounded::new(LONGEST);
        let whole = write!(short, "{rust:#}").is_ok();
        return short.finish(whole);
    }
    let name = without_part(name);
    #[cfg(feature = "cpp")]
    if let Some(cpp) = super::cpp::demangled(name) {
        return cpp;
    }
    match String::from_utf8_lossy(&name[..name.len().min(LONGEST)]) {
        Cow::Borrowed(name) => name.into(),
        Cow::Owned(name) => name,
    }
}

/// GCC and LLVM name what they split off a function or made a copy of `f.cold`, `f.part.0`, `f.isra.0.constprop.1`: who
/// reads a report has written `f`. Other languages have points in their names, so only these words count.
fn without_part(name: &[u8]) -> &[u8] {
    const PARTS: [&[u8]; 8] = [b"cold", b"part", b"isra", b"constprop", b"lto_priv", b"localalias", b"llvm", b"clone"];
    let is_part = |at: usize| {
        let rest = &name[at + 1..];
        PARTS
            .iter()
            .any(|part| rest.strip_prefix(*part).is_some_and(|after| matches!(after.first(), None | Some(b'.'))))
    };
    let cut = (1..name.len().min(LONGEST)).find(|&at| name[at] == b'.' && is_part(at));
    &name[..cut.unwrap_or(name.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(mangled: &str) -> String {
        demangled(mangled.as_bytes())
    }

    #[test]
    fn rust_and_c() {
        assert_eq!(name("_ZN4shop4cart3add17h0123456789abcdefE"), "shop::cart::add");
        assert_eq!(name("_ZN4shop4cart3add17h0123456789abcdefE.llvm.1234"), "shop::cart::add");
        let clone =
            "_ZN67_$LT$alloc..vec..Vec$LT$T$C$A$GT$$u20$as$u20$core..clone..Clone$GT$5clone17h0123456789abcdefE";
        assert_eq!(name(clone), "<alloc::vec::Vec<T,A> as core::clone::Clone>::clone");
        assert_eq!(name("_RNvNtCs1234_4shop4cart3add"), "shop::cart::add");
        assert_eq!(name("main"), "main");
        assert_eq!(demangled(b"in\xFFvalid"), "in\u{FFFD}valid");
        assert_eq!(name(""), "");
    }

    #[test]
    fn parts_of_functions_are_the_functions() {
        for (mangled, plain) in [
            ("parse.cold", "parse"),
            ("parse.part.0", "parse"),
            ("parse.isra.0.constprop.1", "parse"),
            ("parse.lto_priv.12.cold", "parse"),
            // Go's names, and what looks like a part and is none.
            ("runtime.mallocgc", "runtime.mallocgc"),
            ("main.parted", "main.parted"),
            (".cold", ".cold"),
            ("x.", "x."),
        ] {
            assert_eq!(name(mangled), plain);
        }
    }

    #[test]
    fn no_name_is_longer_than_memory() {
        let long = "a".repeat(LONGEST * 2);
        assert_eq!(name(&long).len(), LONGEST);
        let mut short = Bounded::new(5);
        assert!(short.write_str("abc").is_ok() && short.write_str("def").is_err());
        assert_eq!(short.finish(false), "abc…");
    }
}
