//! A browser without a window.

use crate::tools::{self, Directory};
use std::path::Path;
use std::process::Command;

pub(crate) struct Chromium {
    program: &'static str,
    profile: Directory,
}

impl Chromium {
    pub(crate) fn find() -> Option<Chromium> {
        let program = tools::find(&["chromium", "chromium-browser", "google-chrome"])?;
        let thread = std::thread::current().id();
        Some(Chromium { program, profile: Directory::new(&format!("chromium-{thread:?}")) })
    }

    /// The document once it is loaded, and what its scripts did until then.
    pub(crate) fn dom(&self, page: &Path) -> String {
        let output = Command::new(self.program)
            // A sandbox is not to be had by root, nor in many containers.
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
            .arg(format!("--user-data-dir={}", self.profile.file("profile").display()))
            .arg(format!("file://{}", page.display()))
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same without its tags.
    pub(crate) fn text(&self, page: &Path) -> String {
        let dom = self.dom(page);
        let mut text = String::new();
        for part in dom.split('<') {
            text.push_str(part.split_once('>').map_or(part, |(_, behind)| behind));
        }
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    }
}
