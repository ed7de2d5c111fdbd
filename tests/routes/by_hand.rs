//! Services that are polled by hand: what is counted is known to the byte.

use super::row;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;
use tenure::Tag;
use tenure::http::Routes;
use tenure::http::tower::RouteLayer;
use tower_layer::Layer;
use tower_service::Service;

fn tag() -> &'static str {
    Tag::current().name()
}

fn bytes(n: usize) -> Vec<u8> {
    black_box(Vec::with_capacity(n))
}

/// Whether every block of this thread is tracked.
fn is_exact() -> bool {
    (0..100).all(|_| tenure::origin(&*black_box(Box::new(0u64))).is_some())
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Allocates 10 bytes when it is called; 1,000 at its first poll, which it frees at its second, and then 500 that it leaves; its
/// body gives two frames, and allocates 100 for each, which it frees at its end.
#[derive(Clone)]
struct Handler {
    panics: bool,
}

struct Handling {
    panics: bool,
    at_call: Vec<u8>,
    at_first: Option<Vec<u8>>,
    over: bool,
}

#[derive(Default)]
struct Streamed {
    frames: Vec<Vec<u8>>,
}

impl Service<Request<()>> for Handler {
    type Response = Response<Streamed>;
    type Error = Infallible;
    type Future = Handling;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Handling {
        assert_ne!(tag(), "");
        Handling { panics: self.panics, at_call: bytes(10), at_first: None, over: false }
    }
}

impl Future for Handling {
    type Output = Result<Response<Streamed>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        assert_ne!(tag(), "");
        if self.at_first.take().is_none() {
            self.at_first = Some(bytes(1000));
            return Poll::Pending;
        }
        if self.panics {
            std::panic::resume_unwind(Box::new("as planned"));
        }
        forget(bytes(500));
        self.over = true;
        Poll::Ready(Ok(Response::new(Streamed::default())))
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        assert_eq!(self.at_call.capacity(), 10);
        assert_ne!(tag(), "", "what ends in its route is dropped in its route");
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        assert_ne!(tag(), "");
        if self.frames.capacity() == 0 {
            // Two of 24 bytes.
            self.frames = Vec::with_capacity(2);
        }
        if self.frames.len() == 2 {
            return Poll::Ready(None);
        }
        self.frames.push(bytes(100));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"frame")))))
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        assert_ne!(tag(), "");
    }
}

type Route = fn(&Request<()>) -> Option<&str>;

fn path(request: &Request<()>) -> Option<&str> {
    Some(request.uri().path())
}

fn layer(routes: &Routes) -> RouteLayer<Route> {
    RouteLayer::new(routes, path as Route)
}

fn request(path: &str) -> Request<()> {
    Request::get(path).body(()).expect("a request")
}

/// Across threads, from the call to the end of the body.
#[test]
fn to_the_byte() {
    let routes = Routes::new().exact_one_in(1);
    let mut service = layer(&routes).layer(Handler { panics: false });
    for exact in [1, 2] {
        let mut future = Box::pin(service.call(request("/bytes")));
        assert!(poll(future.as_mut()).is_pending());
        assert_eq!((tag(), is_exact()), ("", false), "between polls the thread is as it was");
        let mut body = thread::spawn(move || match poll(future.as_mut()) {
            Poll::Ready(Ok(response)) => response.into_body(),
            _ => unreachable!("it is over at the second poll"),
        })
        .join()
        .expect("no panic");
        thread::spawn(move || {
            for _ in 0..2 {
                let mut body = pin!(&mut body);
                let frame = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(frame, Poll::Ready(Some(Ok(_)))));
            }
            drop(body);
            assert_eq!((tag(), is_exact()), ("", false));
        })
        .join()
        .expect("no panic");
        let row = row(&routes, "/bytes").expect("a row");
        assert_eq!((row.requests, row.exact, row.not_measured), (exact, exact, 0));
        // 10 + 1000 + 500 + 48 + 2 * 100; 1010 at a time; what was forgotten is left.
        assert_eq!((row.allocated, row.peak, row.left), (1758 * exact, 1010 * exact, 500 * exact));
    }
}

/// The client goes away: before the first poll, between two, within the body. What is held ends with it.
#[test]
fn vanished() {
    let routes = Routes::new().exact_one_in(1);
    let mut service = layer(&routes).layer(Handler { panics: false });
    drop(service.call(request("/vanished")));
    let mut future = Box::pin(service.call(request("/vanished")));
    assert!(poll(future.as_mut()).is_pending());
    drop(future);
    let row1 = row(&routes, "/vanished").expect("a row");
    assert_eq!((row1.exact, row1.allocated, row1.left), (2, 10 + 1010, 0));
    let mut future = Box::pin(service.call(request("/vanished")));
    assert!(poll(future.as_mut()).is_pending());
    let Poll::Ready(Ok(response)) = poll(future.as_mut()) else { unreachable!("it is over at the second poll") };
    assert_eq!(row(&routes, "/vanished").expect("a row").exact, 2, "its body is still there");
    drop(response);
    let row2 = row(&routes, "/vanished").expect("a row");
    assert_eq!((row2.exact, row2.allocated, row2.left), (3, 1020 + 1510, 500));
    assert_eq!((tag(), is_exact()), ("", false));
}

/// A panic in an exact request leaves the thread as it was.
#[test]
fn a_panic() {
    let routes = Routes::new().exact_one_in(1);
    let mut service = layer(&routes).layer(Handler { panics: true });
    let mut future = Box::pin(service.call(request("/panics")));
    assert!(poll(future.as_mut()).is_pending());
    let panic = catch_unwind(AssertUnwindSafe(|| poll(future.as_mut()))).err().expect("it panics");
    assert_eq!(panic.downcast_ref(), Some(&"as planned"));
    assert_eq!((tag(), is_exact()), ("", false));
    assert_eq!(row(&routes, "/panics").expect("a row").exact, 0, "not over yet");
    drop(future);
    let row = row(&routes, "/panics").expect("a row");
    assert_eq!((row.exact, row.not_measured), (1, 0));
    assert!(row.allocated >= 1010, "the panic's own is counted, too: {row:?}");
    assert_eq!((tag(), is_exact()), ("", false));
}

/// Each layer counts; the inner one's tag is that of the blocks.
#[test]
fn layers_nest() {
    let [outer, inner] = [(); 2].map(|()| Routes::new().exact_one_in(1));
    let renamed: Route = |_| Some("/inner");
    let mut service = layer(&outer).layer(RouteLayer::new(&inner, renamed).layer(Handler { panics: false }));
    let mut future = Box::pin(service.call(request("/outer")));
    assert!(poll(future.as_mut()).is_pending());
    let Poll::Ready(Ok(response)) = poll(future.as_mut()) else { unreachable!("it is over at the second poll") };
    drop(response);
    let rows = [row(&outer, "/outer"), row(&inner, "/inner")].map(|row| row.expect("a row"));
    assert_eq!(rows[0], rows[1]);
    assert_eq!((rows[0].exact, rows[0].allocated, rows[0].left), (1, 1510, 500));
    assert_eq!((row(&outer, "/inner"), row(&inner, "/outer")), (None, None));
    let snapshot = tenure::snapshot();
    let live =
        |name: &str| snapshot.tags().iter().filter(|tag| tag.name == name).map(|tag| tag.live.blocks).sum::<f64>();
    assert!(live("/inner") >= 1.0, "what was left");
    assert_eq!(live("/outer"), 0.0);
}

/// What a request hands on to threads is its own.
#[test]
fn inherited() {
    let routes = Routes::new().exact_one_in(1);
    let spawns = |_: Request<()>| {
        let worker = thread::spawn(tenure::inherit(|| (tag(), bytes(3000).capacity())));
        assert_eq!(worker.join().expect("no panic"), ("/inherited", 3000));
        std::future::ready(Ok::<_, Infallible>(Response::new(Streamed::default())))
    };
    let mut service = layer(&routes).layer(Called(spawns));
    let Poll::Ready(Ok(response)) = poll(pin!(service.call(request("/inherited")))) else {
        unreachable!("it is ready")
    };
    drop(response);
    let row = row(&routes, "/inherited").expect("a row");
    assert!(row.exact == 1 && row.allocated >= 3000, "{row:?}");
}

/// A service of a function.
pub(super) struct Called<F>(pub(super) F);

impl<F, T, R> Service<Request<()>> for Called<F>
where
    F: FnMut(Request<()>) -> T,
    T: Future<Output = Result<R, Infallible>>,
{
    type Response = R;
    type Error = Infallible;
    type Future = T;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> T {
        (self.0)(request)
    }
}
