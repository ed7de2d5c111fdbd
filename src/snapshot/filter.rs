//! Leaving sites out by globs.

use super::{Culprit, Frame, Names, Snapshot, path, take};

/// Which stacks to keep: those with a frame that fits, and none that does not.
///
/// A glob is matched, as a whole and with regard to case, against each frame's function as demangled
/// (`<shop::Cart as core::clone::Clone>::clone`), its plain path (`shop::Cart::clone`), and its file. `*` stands for any
/// characters, `::` and `/` among them, `?` for one; nothing else is special. Frames that reports trim are matched too.
/// Blocks without a stack have one frame, `(unknown)` or `(overflow)`.
///
/// ```
/// use tenure::snapshot::Filter;
///
/// let own = Filter::new().include("shop::*").exclude("*/generated/*.rs").exclude("shop::cache::*");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    include: Vec<String>,
    exclude: Vec<String>,
}

impl Filter {
    /// Keeps everything.
    pub fn new() -> Filter {
        Filter::default()
    }

    /// Keeps stacks with a frame that fits this glob, or another one that is included.
    pub fn include(mut self, glob: &str) -> Filter {
        self.include.push(glob.into());
        self
    }

    /// Leaves out stacks with a frame that fits this glob, whatever is included.
    pub fn exclude(mut self, glob: &str) -> Filter {
        self.exclude.push(glob.into());
        self
    }

    /// Whether a stack is kept. Allocates.
    pub fn keeps(&self, stack: &[Frame]) -> bool {
        let fits = |globs: &[String], frame: &Frame| {
            let plain = path::plain(&frame.function);
            let texts = [Some(&*frame.function), Some(&*plain), frame.file.as_deref()];
            globs.iter().any(|g| texts.iter().flatten().any(|t| glob_matches(g, t)))
        };
        let any = |globs: &[String]| !globs.is_empty() && stack.iter().any(|f| fits(globs, f));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

impl Snapshot {
    /// The part of the snapshot whose stacks the filter keeps: sites, their rows and suspects, and tags with what lives of those.
    /// What a tag has allocated and freed, and all other figures, stay those of the whole.
    ///
    /// Looks up the names of all frames, which takes time at first: see [`Names`]. Allocates.
    pub fn filter(&self, filter: &Filter, names: &mut dyn Names) -> Snapshot {
        crate::reading::untracked(|| {
            let mut parts = self.parts.clone();
            parts.sites.retain(|site| filter.keeps(&super::keys::frames(self, site, names)));
            let kept = |site| parts.sites.binary_search_by_key(&site, |s| s.number).is_ok();
            parts.rows.retain(|row| kept(row.site));
            let suspects = parts.suspects.len();
            parts.suspects.retain(|suspect| match suspect.culprit {
                Culprit::Site(number) => kept(number),
                Culprit::Tag(_) => true,
            });
            parts.suspects_left_out += (suspects - parts.suspects.len()) as u64;
            take::sum_up(&mut parts);
            names.finish();
            Snapshot { parts }
        })
    }
}

/// Whether a glob fits a text as a whole.
fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t) = (0, 0);
    // Where the last `*` stands, and where what it stands for would end next.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (g, t) = (g + 1, t + 1),
            _ => match star {
                Some((at, end)) => {
                    star = Some((at, end + 1));
                    (g, t) = (at + 1, end + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (glob, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "a::b/c", true),
            ("?", "", false),
            ("?", "ä", true),
            ("a?c", "abc", true),
            ("a?c", "abbc", false),
            ("shop::*", "shop::cart::add", true),
            ("shop::*", "my_shop::cart", false),
            ("shop", "shop::cart", false),
            ("*cart*", "shop::cart::add", true),
            ("*::add", "shop::cart::add", true),
            ("*::add", "shop::cart::add_all", false),
            ("*/src/*.rs", "/x/src/y/z.rs", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*aab", "aaaab", true),
            ("[a]", "a", false),
            ("[a]", "[a]", true),
            ("Shop::*", "shop::x", false),
            ("**", "x", true),
        ] {
            assert_eq!(glob_matches(glob, text), fits, "{glob} on {text}");
        }
    }

    /// The definition, letter by letter.
    fn slow(glob: &[u8], text: &[u8]) -> bool {
        match (glob, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => slow(rest, text) || !text.is_empty() && slow(glob, &text[1..]),
            ([b'?', g @ ..], [_, t @ ..]) => slow(g, t),
            ([a, g @ ..], [b, t @ ..]) => a == b && slow(g, t),
            _ => false,
        }
    }

    #[test]
    fn globs_as_defined() {
        let words = |letters: &[u8], most: usize| {
            let mut all = vec![Vec::new()];
            let mut from = 0;
            for _ in 0..most {
                let to = all.len();
                for i in from..to {
                    all.extend(letters.iter().map(|&c| [&all[i][..], &[c]].concat()).collect::<Vec<_>>());
                }
                from = to;
            }
            all
        };
        for glob in words(b"ab*?", 5) {
            for text in words(b"ab", 5) {
                let (g, t) = (str::from_utf8(&glob).unwrap(), str::from_utf8(&text).unwrap());
                assert_eq!(glob_matches(g, t), slow(&glob, &text), "{g} on {t}");
            }
        }
    }

    #[test]
    fn a_stack_is_kept_for_one_frame_and_left_out_for_another() {
        let stack = [
            Frame::new("alloc::vec::Vec<T,A>::push", Some("/rustc/x/library/alloc/src/vec/mod.rs"), Some(3)),
            Frame::new("<shop::Cart as core::clone::Clone>::clone", Some("src/cart.rs"), Some(4)),
        ];
        let keeps = |f: Filter| f.keeps(&stack);
        assert!(keeps(Filter::new()));
        assert!(keeps(Filter::new().include("shop::*")), "by its plain path");
        assert!(keeps(Filter::new().include("<shop::Cart as*")), "as it is");
        assert!(keeps(Filter::new().include("other::*").include("*/cart.rs").include("src/*")));
        assert!(!keeps(Filter::new().include("other::*")));
        assert!(!keeps(Filter::new().exclude("alloc::vec::*")));
        assert!(!keeps(Filter::new().include("shop::*").exclude("*cart.rs")));
        assert!(!Filter::new().include("*").keeps(&[]));
    }
}
