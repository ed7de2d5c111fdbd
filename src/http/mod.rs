//! The debug endpoints: what a service shows of its memory over HTTP, as a function from a request to a response.
//!
//! [`Endpoints::respond`] takes an [`http::Request`] and gives an [`http::Response`], whatever server they came by: it reads no socket and
//! needs no runtime. It may block, for as long as a snapshot takes, so call it on a thread that may.
//!
//! ```
//! use tenure::http::{Endpoints, Peer};
//! # let address = "127.0.0.1:4000".parse().unwrap();
//!
//! let endpoints = Endpoints::new();
//! // The server says where the request came from: nobody else can.
//! let request = http::Request::get("/debug/tenure/stats?format=text")
//!     .header("host", "localhost:6060")
//!     .extension(Peer(address))
//!     .body("")?;
//! assert_eq!(endpoints.respond(&request).status(), 200);
//! # Ok::<(), http::Error>(())
//! ```
//!
//! # What there is
//!
//! | method and path | answer |
//! | --- | --- |
//! | GET `/debug/pprof/heap`, `/debug/pprof/allocs` | a profile as Go's `net/http/pprof` serves it, for `go tool pprof`, Parca, Pyroscope. `seconds=n` (1 to 300): what changed meanwhile; `debug=1`: a text; `gc=1`: an old collection first |
//! | GET `/metrics` | OpenMetrics, for Prometheus |
//! | GET `/debug/tenure/` | a page for people |
//! | GET `/debug/tenure/live`, `stats`, `suspects`, `retention`, `routes`, `figures` | reports |
//! | GET `/debug/tenure/groups`, `diff`, `tenuring` | reports by what blocks have in common: `by=line` or `function`, `module`, `crate`, `file`, `tag`, `class`, `site`; `n=20`; of `groups` also `order=live_bytes` and `filter=GLOB` |
//! | GET `/debug/tenure/snapshot` | a file that `tenure` (the program) and [`export::from_json`](crate::export::from_json) read; `raw=1`: without names |
//! | GET `/debug/tenure/flame.svg`, `flame.json` | a flame graph: `value=live_bytes`, `live_blocks`, `allocated_bytes`, `allocated_blocks`; of the picture also `diff=1` |
//! | GET `/debug/tenure/charts/memory.svg`, `charts/generations.svg` | what the page draws: `seconds=600`, `width=800` |
//! | POST, DELETE `/debug/tenure/baseline` | keeps a snapshot for `diff`, or forgets it |
//! | GET, PUT `/debug/tenure/thresholds` | those of [`generation`](crate::generation); PUT takes any of them |
//! | POST `/debug/tenure/collect` | `generation=old`, `middle` or `young` |
//! | GET, PUT `/debug/tenure/mode` | `{"mode":"exact","seconds":60}`, which ends by itself, `{"mode":"sampled","mean":524288}`, `{"mode":"off"}` |
//!
//! Reports are JSON, as `docs/http.schema.json` in tenure's repository has it; a text with `format=text`, and an HTML page around that
//! text for a browser. What is wrong is said in one line: `{"error":"..."}`, or the line as text.
//!
//! # Who is answered
//!
//! A heap's call stacks, addresses and tags are nobody else's business. So a request is refused unless
//!
//! - it comes **from this machine**: the server put [`Peer`] with a loopback address into its extensions, and no proxy has left
//!   `Forwarded`, `Via`, `X-Real-IP`, `X-Forwarded-...` or the like in it; or the program says [`trust_caller`](Endpoints::trust_caller). Then a
//!   request from elsewhere, or through a proxy, needs the [`bearer_token`](Endpoints::bearer_token); one without a `Peer` needs it if
//!   there is one.
//!   **A proxy or tunnel that leaves no header cannot be told from this machine**: behind one, call
//!   [`token_for_all`](Endpoints::token_for_all), with which this machine needs the token, too;
//! - its **`Host`** is `localhost`, an address of `127.0.0.0/8` or `[::1]`, or one that the program [listed](Endpoints::host), so that no
//!   other site can lead a browser here by DNS;
//! - it comes from **no other site**: `Origin` is absent, the request's own or one that is listed, and `Sec-Fetch-Site` is absent, `none`
//!   or `same-origin`.
//!
//! What changes anything needs POST, PUT or DELETE (but for `gc=1`), and [`read_only`](Endpoints::read_only) refuses it. Nothing in a request
//! names a file. Every answer forbids the browser to load anything from elsewhere, to show it in a frame, to guess its type, and to keep it.
//!
//! # What it costs
//!
//! Whatever takes a snapshot is a job. One runs at a time; up to four wait for it, for a second at most, and the next are answered with 429.
//! What a job allocates is not tracked.

mod access;
mod answer;
#[cfg(feature = "axum")]
pub mod axum;
mod baseline;
mod call;
mod charts;
mod control;
mod dashboard;
mod endpoints;
mod exact;
mod figures;
mod flame;
mod history;
mod jobs;
mod metrics;
mod page;
mod pprof;
mod query;
mod reports;
#[cfg_attr(not(feature = "tower"), allow(dead_code, reason = "requests come by the layer"))]
mod routes;
mod table;
#[cfg(feature = "tower")]
pub mod tower;

pub use access::Peer;
pub use endpoints::Endpoints;
pub use figures::Figures;
#[cfg(feature = "tower")]
pub(crate) use jobs::Cancel;
pub use routes::Routes;
