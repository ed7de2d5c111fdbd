//! The dashboard's own files, as they are in the repository: no resource from anywhere else, no script or style inside the
//! page.

/// A file of the page.
pub(crate) struct Asset {
    pub(crate) content_type: &'static str,
    pub(crate) body: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What is served below `/debug/tenure/` by this name, the page itself by the empty one.
pub(crate) fn asset(name: &str) -> Option<Asset> {
    let (content_type, body) = match name {
        "" => ("text/html; charset=utf-8", include_str!("index.html")),
        "page.css" => ("text/css; charset=utf-8", include_str!("page.css")),
        "page.js" => (SCRIPT, include_str!("page.js")),
        "tables.js" => (SCRIPT, include_str!("tables.js")),
        "flame.js" => (SCRIPT, include_str!("flame.js")),
        "views.js" => (SCRIPT, include_str!("views.js")),
        "text.js" => (SCRIPT, include_str!("text.js")),
        _ => return None,
    };
    Some(Asset { content_type, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the policy refuses would fail in silence.
    #[test]
    fn nothing_is_inside_the_page_and_nothing_from_elsewhere() {
        let page = asset("").expect("the page").body;
        for refused in ["<style", " style=", "http:", "https:", "javascript:", "src=\"/", "href=\"/"] {
            assert!(!page.contains(refused), "{refused}");
        }
        let handler = |word: &&str| word.starts_with("on") && word.contains('=');
        assert_eq!(page.split_whitespace().find(handler), None);
        assert_eq!(page.matches("<script").count(), page.matches("<script type=\"module\" src=\"").count());
        for file in page.split('"').filter(|word| word.ends_with(".js") || word.ends_with(".css")) {
            assert!(asset(file).is_some(), "{file}");
        }
    }

    /// `innerHTML` and its like read markup out of texts; names of functions and tags are texts.
    #[test]
    fn scripts_write_texts_only() {
        for name in ["page.js", "views.js", "tables.js", "flame.js", "text.js"] {
            let script = asset(name).expect("a script").body;
            for refused in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "://"]
            {
                let svg_namespace = script.matches("http://www.w3.org/2000/svg").count();
                let found = script.matches(refused).count();
                assert_eq!(found, if refused == "://" { svg_namespace } else { 0 }, "{refused} in {name}");
            }
            for import in script.lines().filter_map(|line| line.split_once(" from './")).map(|(_, rest)| rest) {
                let file = import.trim_end_matches("';");
                assert!(asset(file).is_some(), "{name} imports {file}");
            }
        }
    }
}
