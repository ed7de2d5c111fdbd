//! What all requests share.

use crate::index::Index;
use crate::sessions::Sessions;
use std::sync::Arc;
use tenure::Symbols;
use tokio::sync::Mutex;

pub(crate) struct App {
    pub(crate) index: Index,
    pub(crate) sessions: Sessions,
    /// Names that one report has looked up serve the next one too.
    pub(crate) symbols: Arc<Mutex<Symbols>>,
}

impl App {
    pub(crate) fn new(index: Index) -> App {
        App { index, sessions: Sessions::default(), symbols: Arc::new(Mutex::new(Symbols::new())) }
    }
}
