//! The layer that runs each request in its route: in its tag, and one in n of them in a watch of its own.

use crate::http::Routes;
use crate::http::routes::Span;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// Runs each request in the tag of its route, and counts it in [`Routes`]: from the call on, in each poll of its future and of
/// its response's body, on whichever threads those are, until both are dropped.
///
/// What a request spawns goes with it where it is spawned with [`inherit`](crate::inherit) or
/// [`InScopeExt`](crate::InScopeExt). One request in n, [100 by default](Routes::exact_one_in), runs exact besides: its
/// allocations are counted to the byte, and when its response was sent, or its client has gone away, what of them still
/// lives.
///
/// Costs some tens of nanoseconds for a request and for each poll; microseconds for each poll of an exact one.
///
/// ```
/// use http::{Request, Response};
/// use tenure::http::Routes;
/// use tenure::http::tower::RouteLayer;
/// use tower_layer::Layer;
///
/// let routes = Routes::new();
/// // The name must be one of few: the pattern that a router has matched, not the path.
/// let layer = RouteLayer::new(&routes, |request: &Request<String>| match request.uri().path() {
///     "/" => Some("index"),
///     path if path.starts_with("/users/") => Some("/users/{id}"),
///     _ => None,
/// });
/// # struct Users;
/// let service = layer.layer(Users);
/// ```
#[derive(Clone, Debug)]
pub struct RouteLayer<F> {
    routes: Routes,
    route: F,
}

impl<F> RouteLayer<F> {
    /// `route` says which route a request is of: one of few, for the first [200](Routes::most) have statistics of their own.
    /// `None` is counted as `unmatched`.
    pub fn new<B>(routes: &Routes, route: F) -> RouteLayer<F>
    where
        F: Fn(&Request<B>) -> Option<&str>,
    {
        RouteLayer { routes: routes.clone(), route }
    }
}

impl<S, F: Clone> Layer<S> for RouteLayer<F> {
    type Service = RouteService<S, F>;

    fn layer(&self, inner: S) -> RouteService<S, F> {
        RouteService { layer: self.clone(), inner }
    }
}

/// A service whose requests run in their routes: see [`RouteLayer`].
#[derive(Clone, Debug)]
pub struct RouteService<S, F> {
    layer: RouteLayer<F>,
    inner: S,
}

impl<S, F, B, R> Service<Request<B>> for RouteService<S, F>
where
    S: Service<Request<B>, Response = Response<R>>,
    F: Fn(&Request<B>) -> Option<&str>,
{
    type Response = Response<RouteBody<R>>;
    type Error = S::Error;
    type Future = RouteFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = self.layer.routes.begin((self.layer.route)(&request));
        let entered = span.enter();
        let future = self.inner.call(request);
        drop(entered);
        RouteFuture { future: Some(future), span: Some(span) }
    }
}

/// The future of a response, in its route: see [`RouteLayer`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct RouteFuture<F> {
    /// Pinned with the whole. `None` when it is over.
    future: Option<F>,
    /// Goes on with the response's body.
    span: Option<Span>,
}

impl<F, R, E> Future for RouteFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<RouteBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `future` is pinned with the whole: nothing moves out of it, `drop` below drops it where it is, and there is no
        // `Unpin` of our own. `span` is not pinned.
        let (mut future, span) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), &mut this.span)
        };
        let entered = span.as_ref().map(Span::enter);
        let result =
            ready!(future.as_mut().as_pin_mut().expect("a future that is over is not polled again").poll(context));
        // What it still holds is freed in the scope, too.
        future.set(None);
        drop(entered);
        // Where there is an error instead of a response, the span ends here.
        let span = span.take();
        Poll::Ready(result.map(|response| response.map(|body| RouteBody { body: Some(body), span })))
    }
}

impl<F> Drop for RouteFuture<F> {
    fn drop(&mut self) {
        let _entered = self.span.as_ref().map(Span::enter);
        // Dropped where it is, as a pinned value must be.
        self.future = None;
    }
}

/// A response's body, in its route: see [`RouteLayer`].
#[derive(Debug)]
pub struct RouteBody<B> {
    /// Pinned with the whole. `None` only when it is dropped.
    body: Option<B>,
    /// After the body, because its end is the end of the request.
    span: Option<Span>,
}

impl<B: Default> Default for RouteBody<B> {
    /// An empty body, of no request.
    fn default() -> Self {
        RouteBody { body: Some(B::default()), span: None }
    }
}

impl<B: Body> Body for RouteBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let _entered = self.span.as_ref().map(Span::enter);
        // SAFETY: as in `RouteFuture`.
        let body = unsafe { self.map_unchecked_mut(|this| &mut this.body) };
        body.as_pin_mut().map_or(Poll::Ready(None), |body| body.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for RouteBody<B> {
    fn drop(&mut self) {
        let _entered = self.span.as_ref().map(Span::enter);
        // Dropped where it is, as a pinned value must be.
        self.body = None;
    }
}
