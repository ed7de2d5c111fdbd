//! The debug endpoints as an axum router, and the layer that tells what each of axum's routes does with memory.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use axum::Router;
//! use axum::routing::get;
//! use std::net::SocketAddr;
//! use tenure::http::{Endpoints, Routes};
//!
//! let routes = Routes::new();
//! let app = Router::new()
//!     .route("/users/{id}", get(async || "a user"))
//!     // Around the routes that were added before; `layer`, so that requests that none of them matches are counted, too.
//!     .layer(tenure::http::axum::layer(&routes))
//!     // After it, so that the endpoints are not counted among the program's own routes.
//!     .merge(tenure::http::axum::router(Endpoints::new().routes(&routes)));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! // With the address of who asks: without it, every endpoint refuses.
//! let service = app.into_make_service_with_connect_info::<SocketAddr>();
//! # let server = tokio::spawn(async move { axum::serve(listener, service).await });
//! # server.abort();
//! # /*
//! axum::serve(listener, service).await?;
//! # */
//! # Ok(())
//! # }
//! ```

use super::tower::RouteLayer;
use super::{Endpoints, Peer, Routes};
use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::{ConnectInfo, MatchedPath};
use ::axum::response::IntoResponse;
use http::Request;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_service::Service;

/// The layer that [`layer`] makes.
pub type Layer = RouteLayer<fn(&Request<Body>) -> Option<&str>>;

/// Runs each request in the tag of the route that axum has matched, like `/users/{id}`: see [`RouteLayer`].
///
/// With [`Router::layer`], after the last route and the fallback: what no route matches is `unmatched`. With
/// [`Router::route_layer`], it is not counted. Around a whole router, as a service, no route would be known yet.
pub fn layer(routes: &Routes) -> Layer {
    RouteLayer::new(routes, matched)
}

fn matched(request: &Request<Body>) -> Option<&str> {
    request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)
}

/// All endpoints, at the paths that they have: to be merged into a router of the program's own, or to be served by itself.
///
/// A caller's address is known where the router is served with [`Router::into_make_service_with_connect_info`] of a
/// [`SocketAddr`], and without it every request is refused, unless [`Endpoints::trust_caller`] says otherwise. They must not be
/// [nested](Router::nest): a page's links are the paths that it has here.
pub fn router<S: Clone + Send + Sync + 'static>(endpoints: Endpoints) -> Router<S> {
    let service = WithPeer(endpoints);
    PATHS.iter().fold(Router::new(), |router, path| router.route_service(path, service.clone()))
}

/// Where endpoints are.
const PATHS: [&str; 7] = [
    "/metrics",
    "/debug/pprof",
    "/debug/pprof/",
    "/debug/pprof/{*rest}",
    "/debug/tenure",
    "/debug/tenure/",
    "/debug/tenure/{*rest}",
];

/// Says who asks, in the way that the endpoints understand.
#[derive(Clone)]
struct WithPeer(Endpoints);

impl Service<Request<Body>> for WithPeer {
    type Response = ::axum::response::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| Peer(peer.0));
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let answer = self.0.call(request);
        Box::pin(async move { Ok(answer.await?.map(Body::new).into_response()) })
    }
}
