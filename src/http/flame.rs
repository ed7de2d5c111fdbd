//! The flame graph: as a tree that the page draws, and as a picture to be opened by itself.

use crate::export::{Value, flame_stacks};
use crate::os;
use crate::snapshot::{Names, Snapshot};
use serde::Serialize;

/// Frames narrower than this share of the whole are left out of the tree: less than a pixel.
const NARROWEST: f64 = 1.0 / 2000.0;

/// A function, below what called it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Flame {
    pub(crate) name: String,
    /// Bytes or blocks of it and all that it called: estimates, as the snapshot is.
    pub(crate) value: f64,
    /// In the order of their names.
    pub(crate) children: Vec<Flame>,
}

impl Flame {
    fn new(name: &str) -> Flame {
        Flame { name: name.into(), ..Flame::default() }
    }

    /// Adds a stack below this frame. What begins alike comes one after the other.
    fn add(&mut self, stack: &str, value: f64) {
        let mut at = self;
        at.value += value;
        for name in stack.split(';') {
            if at.children.last().is_none_or(|last| last.name != name) {
                at.children.push(Flame::new(name));
            }
            at = at.children.last_mut().expect("one was pushed");
            at.value += value;
        }
    }

    fn without_narrow(&mut self, least: f64) {
        self.children.retain(|child| child.value >= least);
        self.children.iter_mut().for_each(|child| child.without_narrow(least));
    }
}

/// The frames that [`flame_graph`](crate::export::flame_graph) draws, as a tree below one that is called `all`. Looks up
/// names, and allocates.
pub(crate) fn flame_json(snapshot: &Snapshot, names: &mut dyn Names, value: Value) -> Flame {
    let mut all = Flame::new("all");
    flame_stacks(snapshot, names, value, |stack, amount| all.add(stack, amount));
    all.without_narrow(all.value * NARROWEST);
    all
}

/// A picture of `inferno`'s, and the `Content-Security-Policy` under which its own script and style run, and nothing else: they
/// have a nonce, another one in each answer. Without random numbers, the picture stands still.
pub(crate) fn page(svg: &str) -> (String, String) {
    let nonce = os::random().map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let allowed = nonce.as_ref().map_or("'none'".to_string(), |nonce| format!("'nonce-{nonce}'"));
    let policy = format!(
        "default-src 'none'; script-src {allowed}; style-src {allowed}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let nonce = nonce.unwrap_or_default();
    // All of these come before anything that has a name of the program's in it. An `onload` has no nonce: a listener does
    // the same.
    let (script, style) = ("<script type=\"text/ecmascript\"", "<style type=\"text/css\"");
    let listener = "<![CDATA[addEventListener('load', function (e) { init(e); });]]>";
    let with_nonce = svg
        .replacen(" onload=\"init(evt)\"", "", 1)
        .replacen(&format!("{style}>"), &format!("{style} nonce=\"{nonce}\">"), 1)
        .replacen(&format!("{script}>"), &format!("{script} nonce=\"{nonce}\">{listener}"), 1);
    (with_nonce, policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::flame_graph;
    use crate::snapshot::testing::{names, shop};

    #[test]
    fn the_tree_has_what_the_picture_has() {
        let snapshot = shop().snapshot();
        let all = flame_json(&snapshot, &mut names(), Value::LiveBytes);
        let svg = flame_graph(&snapshot, &mut names(), Value::LiveBytes);
        let mut seen = 0;
        let mut waiting = vec![&all];
        while let Some(frame) = waiting.pop() {
            let bytes = format!("{} bytes", frame.value as u64);
            let digits = |text: &str| text.replace(',', "");
            let name = frame.name.replace('<', "&lt;").replace('>', "&gt;");
            assert!(
                digits(&svg).contains(&format!("<title>{name} ({bytes}, ").replace(',', "")),
                "{name} {bytes}: {svg}"
            );
            assert!(frame.children.iter().map(|c| c.value).sum::<f64>() <= frame.value, "{frame:?}");
            waiting.extend(&frame.children);
            seen += 1;
        }
        assert_eq!(seen, svg.matches("<title>").count(), "{all:?}");
    }

    #[test]
    fn what_nobody_could_see_is_left_out() {
        let mut all = Flame::new("all");
        all.add("a;b", 10_000.0);
        all.add("a;c", 4.0);
        all.add("a;d", 6.0);
        all.without_narrow(all.value * NARROWEST);
        let names: Vec<_> = all.children[0].children.iter().map(|c| (&*c.name, c.value)).collect();
        assert_eq!((all.children[0].value, names), (10_010.0, vec![("b", 10_000.0), ("d", 6.0)]));
    }

    #[test]
    fn only_its_own_script_has_the_nonce() {
        let mut made = shop();
        let mut table = names().with(20, &["<script type=\"text/ecmascript\">alert(1)</script> x:1"]);
        made.stacks.insert(2, vec![20]);
        let svg = flame_graph(&made.snapshot(), &mut table, Value::LiveBytes);
        let (page, policy) = page(&svg);
        let nonce = policy.split_once("script-src 'nonce-").and_then(|(_, p)| p.split_once('\'')).expect("a nonce").0;
        assert!(nonce.len() == 32 && policy.contains(&format!("style-src 'nonce-{nonce}'")), "{policy}");
        assert_eq!(page.matches(nonce).count(), 2, "script and style");
        assert_eq!((page.matches("<script").count(), page.matches("onload").count()), (1, 0), "{page}");
        assert!(page.contains("addEventListener('load', function (e) { init(e); })"));
        assert!(!self::page(&svg).1.contains(nonce), "another one each time");
    }
}
