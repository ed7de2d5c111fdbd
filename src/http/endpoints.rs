//! The one function, and what the program chooses.

use super::access::{Access, Peer};
use super::answer::{Answer, Fault};
use super::baseline::Baseline;
use super::call::{Call, Format};
use super::figures::Figures;
use super::history;
use super::jobs::{Cancel, Jobs};
use super::query::Query;
use super::routes::Routes;
use super::table::{self, Row};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use serde::Serialize;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

/// Bytes of a URI's path and query.
const LONGEST_URI: usize = 4 << 10;
/// Bytes of a body.
pub(crate) const LONGEST_BODY: usize = 64 << 10;

/// The debug endpoints: what they answer, and to whom, stands at the head of [`http`](super).
///
/// Cheap to clone; clones are the same endpoints. Two that were made apart share neither their baseline nor their turns. What the
/// builder's methods change, they change for all clones; call them before the first request.
///
/// `Debug` shows no token.
#[derive(Clone)]
pub struct Endpoints(Arc<Inner>);

/// Reads the program's figures.
type ReadFigures = Arc<dyn Fn(&mut Figures) + Send + Sync>;

pub(super) struct Inner {
    /// What the builder's methods chose. Written while the program sets its endpoints up, read by each request for a moment.
    chosen: RwLock<Arc<Chosen>>,
    pub(super) jobs: Jobs,
    pub(super) baseline: Baseline,
}

#[derive(Clone, Default)]
struct Chosen {
    access: Access,
    read_only: bool,
    figures: Vec<ReadFigures>,
    routes: Option<Routes>,
    links: Vec<Link>,
}

/// A page of the program's own.
#[derive(Clone, Serialize)]
pub(super) struct Link {
    name: String,
    path: String,
}

/// What a request consists of, whatever its body's type.
struct Asked<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    peer: Option<Peer>,
    body: &'a [u8],
}

impl Default for Endpoints {
    fn default() -> Endpoints {
        Endpoints::new()
    }
}

impl Endpoints {
    /// Endpoints that answer this machine, and nobody else.
    pub fn new() -> Endpoints {
        history::listen();
        Endpoints(Arc::new(Inner { chosen: RwLock::default(), jobs: Jobs::default(), baseline: Baseline::default() }))
    }

    /// The program has seen to it that only those ask who may: by a listener of its own, by a proxy's authentication. Requests from
    /// elsewhere and through a proxy need the [`bearer_token`](Endpoints::bearer_token) all the same, and are refused without one.
    #[must_use]
    pub fn trust_caller(self) -> Self {
        self.choose(|chosen| chosen.access.trust_caller = true)
    }

    /// What requests from elsewhere bring, as `Authorization: Bearer TOKEN`: at best 32 random characters or more. It is compared
    /// in constant time, and stands in no answer, URL or log.
    ///
    /// # Panics
    /// If it is empty, or not visible ASCII without spaces.
    #[must_use]
    pub fn bearer_token(self, token: &str) -> Self {
        self.choose(|chosen| chosen.access.set_token(token))
    }

    /// Asks this machine for the token, too: where a proxy or a tunnel stands before the server that leaves no header behind, requests
    /// of the whole world come from this machine.
    #[must_use]
    pub fn token_for_all(self) -> Self {
        self.choose(|chosen| chosen.access.token_for_all = true)
    }

    /// Answers requests for this `Host` too, besides those of this machine: `debug.example.com`, of any port, or
    /// `debug.example.com:8080`. May be called again, for another. A page of that host may ask, too.
    ///
    /// # Panics
    /// If it is no host.
    #[must_use]
    pub fn host(self, name: &str) -> Self {
        self.choose(|chosen| chosen.access.add_host(name))
    }

    /// Refuses everything that changes anything: what is not GET, and `gc=1`.
    #[must_use]
    pub fn read_only(self) -> Self {
        self.choose(|chosen| chosen.read_only = true)
    }

    /// Shows figures of the program's own, in `/metrics` and on the page. `read` is called for each of these requests, on their thread, and
    /// no lock of ours is held meanwhile; it should take microseconds. May be called again, for others.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// static REUSED: AtomicU64 = AtomicU64::new(0);
    ///
    /// let endpoints = tenure::http::Endpoints::new().figures(|figures| {
    ///     figures.counter("contexts_reused", "Request contexts that came from the pool.", REUSED.load(Ordering::Relaxed) as f64);
    /// });
    /// ```
    #[must_use]
    pub fn figures(self, read: impl Fn(&mut Figures) + Send + Sync + 'static) -> Self {
        self.choose(|chosen| chosen.figures.push(Arc::new(read)))
    }

    /// Shows these statistics by route, in `/metrics` and on the page.
    #[must_use]
    pub fn routes(self, routes: &Routes) -> Self {
        self.choose(|chosen| chosen.routes = Some(routes.clone()))
    }

    /// Shows a link to a page of the program's own in the head of the page, like `("Orders", "/admin/orders")`.
    ///
    /// # Panics
    /// If the path does not begin with one `/`: it is on the same server.
    #[must_use]
    pub fn link(self, name: &str, path: &str) -> Self {
        let own = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\n', '\t', '\r']);
        assert!(own, "link: {path:?} is no path on this server: begin it with one /");
        self.choose(|chosen| chosen.links.push(Link { name: name.into(), path: path.into() }))
    }

    fn choose(self, change: impl FnOnce(&mut Chosen)) -> Self {
        change(Arc::make_mut(&mut self.0.chosen.write().unwrap_or_else(PoisonError::into_inner)));
        self
    }

    /// Answers a request. Never fails: what is wrong with it is the answer.
    ///
    /// Blocks: for milliseconds where it takes a snapshot of a common heap, for a second at most to come to its turn, and for `seconds`
    /// where these are asked for. Allocates.
    pub fn respond<B: AsRef<[u8]>>(&self, request: &Request<B>) -> Response<Vec<u8>> {
        self.respond_until(request, &Cancel::default())
    }

    /// The same, but waiting for a difference ends when nobody waits for the answer.
    pub(crate) fn respond_until<B: AsRef<[u8]>>(&self, request: &Request<B>, cancel: &Cancel) -> Response<Vec<u8>> {
        let asked = Asked {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            peer: request.extensions().get().copied(),
            body: request.body().as_ref(),
        };
        self.answer(&asked, cancel).into_response(asked.method)
    }

    /// Whether [`respond`](Endpoints::respond) may block for longer than some microseconds.
    #[cfg_attr(not(feature = "tower"), allow(dead_code, reason = "for whom blocking matters"))]
    pub(crate) fn is_costly(&self, method: &Method, uri: &Uri) -> bool {
        table::at(uri.path()).find(|row| row.is_for(method)).is_some_and(|row| row.costly)
    }

    /// The refusal of one who may not ask: before a body is read for them, or a thread started.
    #[cfg(feature = "tower")]
    pub(crate) fn refusal<B>(&self, request: &Request<B>) -> Option<Response<Vec<u8>>> {
        let (uri, headers) = (request.uri(), request.headers());
        let peer = request.extensions().get().copied();
        let fault = self.0.chosen().access.check(peer, uri, headers).err()?;
        Some(fault.into_answer(Format::accepted(uri.path(), headers)).into_response(request.method()))
    }

    fn answer(&self, asked: &Asked<'_>, cancel: &Cancel) -> Answer {
        let format = Format::accepted(asked.uri.path(), asked.headers);
        let chosen = self.0.chosen();
        let allowed = chosen.access.check(asked.peer, asked.uri, asked.headers);
        let row = allowed.and_then(|()| row(asked, chosen.read_only));
        row.and_then(|row| {
            let query = Query::parse(asked.uri.query().unwrap_or_default(), row.parameters)?;
            let format = format.or_named(&query)?;
            let call = Call { inner: &self.0, path: asked.uri.path(), query, body: asked.body, format, cancel };
            // From here on a fault is written as the report would have been.
            Ok((row.answer)(&call).unwrap_or_else(|fault| fault.into_answer(format)))
        })
        .unwrap_or_else(|fault: Fault| fault.into_answer(format))
    }
}

/// What is asked for.
fn row(asked: &Asked<'_>, read_only: bool) -> Result<&'static Row, Fault> {
    if asked.uri.path_and_query().is_some_and(|uri| uri.as_str().len() > LONGEST_URI) {
        return Err(Fault::new(StatusCode::URI_TOO_LONG, "the URI is longer than 4 KiB: ask for less"));
    }
    if asked.body.len() > LONGEST_BODY {
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 64 KiB: send less"));
    }
    let path = asked.uri.path();
    if table::at(path).next().is_none() {
        let list = format!("there is nothing at this path; there is {}", table::paths().join(", "));
        return Err(Fault::new(StatusCode::NOT_FOUND, list));
    }
    let Some(row) = table::at(path).find(|row| row.is_for(asked.method)) else {
        let allow = table::methods(path);
        let line = format!("the method is none of those that this path has: {allow}");
        let fault = Fault::new(StatusCode::METHOD_NOT_ALLOWED, line);
        return Err(match HeaderValue::from_str(&allow) {
            Ok(allow) => fault.with(header::ALLOW, allow),
            Err(_) => fault,
        });
    };
    if row.changes() && read_only { Err(refused()) } else { Ok(row) }
}

fn refused() -> Fault {
    let line = "these endpoints only read (read_only): what changes anything is refused";
    Fault::new(StatusCode::FORBIDDEN, line)
}

impl Inner {
    fn chosen(&self) -> Arc<Chosen> {
        self.chosen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The statistics by route, if the program has any.
    pub(super) fn routes(&self) -> Option<Routes> {
        self.chosen().routes.clone()
    }

    /// Whether anything may be changed.
    pub(super) fn may_change(&self) -> bool {
        !self.chosen().read_only
    }

    /// Pages of the program's own.
    pub(super) fn links(&self) -> Vec<Link> {
        self.chosen().links.clone()
    }

    /// An error unless anything may be changed.
    pub(super) fn check_change(&self) -> Result<(), Fault> {
        if self.may_change() { Ok(()) } else { Err(refused()) }
    }

    /// Asks the program for its figures.
    pub(super) fn read_figures(&self) -> Figures {
        let mut figures = Figures::default();
        // No lock is held while the program's code runs.
        for read in &self.chosen().figures {
            if catch_unwind(AssertUnwindSafe(|| read(&mut figures))).is_err() {
                figures.panicked();
            }
        }
        figures
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = self.0.chosen();
        f.debug_struct("Endpoints")
            .field("access", &chosen.access)
            .field("read_only", &chosen.read_only)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
