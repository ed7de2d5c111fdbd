//! What all requests share.

use crate::context::Context;
use crate::events::{DocumentIndexed, RequestFinished, RequestStarted};
use crate::index::Index;
use crate::jobs::Jobs;
use crate::lab::Lab;
use crate::pool::{Bounds, Pool};
use crate::server::Connections;
use crate::signals::{Receiver, Signal};
use crate::store::Store;
use crate::summaries::Summaries;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A pool of this size serves a few dozen requests at a time; the ones beyond make their own.
const CONTEXTS: Bounds = Bounds { objects: 64, bytes: 8 << 20, bytes_of_one: 512 << 10 };

pub(crate) struct App {
    index: RwLock<Index>,
    pub(crate) connections: Connections,
    pub(crate) store: Store,
    pub(crate) jobs: Jobs,
    pub(crate) contexts: Arc<Pool<Context>>,
    pub(crate) summaries: Arc<Summaries>,
    /// The words that stand most often, which the first page that needs them looks for.
    frequent: OnceLock<String>,
    pub(crate) lab: Lab,
    pub(crate) request_started: Signal<RequestStarted>,
    pub(crate) request_finished: Signal<RequestFinished>,
    pub(crate) document_indexed: Signal<DocumentIndexed>,
    /// Receivers live as long as whoever owns them.
    _invalidate: Arc<Receiver<DocumentIndexed>>,
}

impl App {
    /// `address` is where the service can be reached.
    pub(crate) fn new(index: Index, store: Store, address: SocketAddr) -> App {
        let summaries = Arc::new(Summaries::new());
        let document_indexed = Signal::new("document_indexed");
        let invalidate: Arc<Receiver<DocumentIndexed>> = {
            let summaries = summaries.clone();
            Arc::new(move |event: &DocumentIndexed| {
                summaries.forget(event.id);
                Ok(())
            })
        };
        document_indexed.connect(&invalidate);
        App {
            index: RwLock::new(index),
            connections: Connections::new(),
            store,
            jobs: Jobs::default(),
            contexts: Pool::new(CONTEXTS),
            summaries,
            frequent: OnceLock::new(),
            lab: Lab::new(address),
            request_started: Signal::new("request_started"),
            request_finished: Signal::new("request_finished"),
            document_indexed,
            _invalidate: invalidate,
        }
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Built when it is first asked for.
    pub(crate) fn frequent(&self) -> &str {
        self.frequent.get_or_init(|| {
            let frequent = crate::words::of_all(&self.index(), 12);
            frequent.into_iter().map(|(word, _)| word).collect::<Vec<_>>().join(" ")
        })
    }
}
