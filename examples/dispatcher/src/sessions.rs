//! Who is here.

use crate::index::Index;
use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// Lines of a front page.
const LINES: usize = 100;

/// Sessions by their token, each with the front page that was rendered for it.
///
/// **This leaks, and is meant to**, in the way in which services do: who comes without a token gets a new one, and
/// nobody takes out the sessions of those who do not come back. Nothing is lost, so no tool that looks for lost
/// memory finds it: the map holds every page.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Arc<str>>>);

impl Sessions {
    /// The page of a session, if there is one with this token.
    pub(crate) fn find(&self, token: &str) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Opens a session: its token, and its page.
    pub(crate) fn open(&self, user: &str, index: &Index) -> (String, Arc<str>) {
        // Keys of a `RandomState` never repeat.
        let token = format!("{:016x}", RandomState::new().hash_one(user));
        let page: Arc<str> = front_page(user, index).into();
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(token.clone(), page.clone());
        (token, page)
    }
}

/// The first lines that the user is named in, and so many others that the page is full.
fn front_page(user: &str, index: &Index) -> String {
    let mut places = index.search(user);
    if places.len() < LINES {
        places.extend(index.search("the"));
    }
    let mut page = format!("# For {user}\n\n");
    for &place in places.iter().take(LINES) {
        let (path, text) = index.text(place);
        // Writing to a text does not fail.
        _ = writeln!(page, "{path}:{}: {text}", place.line + 1);
    }
    page
}
