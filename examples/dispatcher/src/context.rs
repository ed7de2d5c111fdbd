//! What a request needs to render a page: room that it fills, and that the next one can use.

use crate::app::App;
use crate::index::Place;
use crate::pool::Reuse;
use std::fmt::Write;

/// Lines of a page.
const LINES: usize = 200;

#[derive(Default)]
pub(crate) struct Context {
    places: Vec<Place>,
    /// Lines by the document that they stand in.
    lines: Vec<String>,
    used: usize,
    page: String,
}

impl Reuse for Context {
    fn reset(&mut self) {
        self.places.clear();
        self.page.clear();
        // Their room is the point.
        self.used = 0;
    }

    fn bytes(&self) -> usize {
        let lines = self.lines.iter().map(String::capacity).sum::<usize>();
        self.page.capacity()
            + lines
            + self.lines.capacity() * size_of::<String>()
            + self.places.capacity() * size_of::<Place>()
    }
}

impl Context {
    /// Renders the first lines that hold these words.
    pub(crate) fn render(&mut self, app: &App, words: &str) {
        let frequent = app.frequent();
        let index = app.index();
        self.places.extend(index.search(words).iter().take(LINES));
        for &place in &self.places {
            let (path, text) = index.text(place);
            if self.used == self.lines.len() {
                self.lines.push(String::new());
            }
            let line = &mut self.lines[self.used];
            self.used += 1;
            line.clear();
            // Writing to a text does not fail.
            _ = write!(line, "{path}:{}: {text}", place.line + 1);
        }
        _ = writeln!(self.page, "# {words}\n\nmost frequent here: {frequent}\n");
        for line in &self.lines[..self.used] {
            self.page.push_str(line);
            self.page.push('\n');
        }
    }
}

/// The page.
impl AsRef<[u8]> for Context {
    fn as_ref(&self) -> &[u8] {
        self.page.as_bytes()
    }
}
