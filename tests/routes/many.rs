//! More requests than there are watches.

use super::by_hand::Called;
use super::row;
use http::{Request, Response};
use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use tenure::http::Routes;
use tenure::http::tower::RouteLayer;
use tower_layer::Layer;
use tower_service::Service;

/// Those that are open at once take half of the watches at most: one of these tests at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn request() -> Request<()> {
    Request::new(())
}

/// Each leaves a block in a cache: all are measured, and none of them is in the way of a later one.
#[test]
fn caches_do_not_use_up_the_watches() {
    let _alone = ALONE.lock();
    const REQUESTS: u64 = 20_000;
    let routes = Routes::new().exact_one_in(1);
    let mut cache: Vec<Box<[u8; 40]>> = Vec::with_capacity(REQUESTS as usize);
    let caches = |_: Request<()>| {
        cache.push(Box::new([1; 40]));
        ready(Ok::<_, Infallible>(Response::new(())))
    };
    let mut service = RouteLayer::new(&routes, |_: &Request<()>| Some("/cached")).layer(Called(caches));
    for _ in 0..REQUESTS {
        let future = pin!(service.call(request()));
        assert!(matches!(future.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_))));
    }
    drop(service);
    let was = row(&routes, "/cached").expect("a row");
    let all = 40 * REQUESTS;
    assert_eq!((was.requests, was.exact, was.not_measured), (REQUESTS, REQUESTS, 0));
    assert_eq!((was.allocated, was.peak, was.left), (all, all, all));
    let live = || -> f64 {
        tenure::snapshot().tags().iter().filter(|tag| tag.name == "/cached").map(|tag| tag.live.blocks).sum()
    };
    assert_eq!(live(), REQUESTS as f64, "they are still tracked, each under its tag");
    drop(cache);
    assert_eq!(live(), 0.0);
    assert_eq!(row(&routes, "/cached"), Some(was), "what is freed later is nobody's");
}

/// Where as many are measured at once as may be, the next are counted as not measured, and tests still have scopes.
#[test]
fn too_many_at_once() {
    let _alone = ALONE.lock();
    let routes = Routes::new().exact_one_in(1);
    let waits = |_: Request<()>| pending::<Result<Response<()>, Infallible>>();
    let mut service = RouteLayer::new(&routes, |_: &Request<()>| Some("/waits")).layer(Called(waits));
    let mut futures: Vec<_> = (0..5000).map(|_| service.call(request())).collect();
    let m = tenure::testing::measure(|| drop(Box::new(1u64)));
    assert_eq!(m.allocated.bytes, 8);
    let full = row(&routes, "/waits").expect("a row");
    assert_eq!((full.requests, full.exact), (5000, 0));
    // Other tests may have some of the half of 8,192 that there are.
    assert!((904..2000).contains(&full.not_measured), "{full:?}");
    futures.clear();
    assert_eq!(row(&routes, "/waits").expect("a row").exact, 5000 - full.not_measured);
    drop(service.call(request()));
    assert_eq!(row(&routes, "/waits").expect("a row").not_measured, full.not_measured);
}
