//! What the layer costs: `cargo test --release --features axum --test routes -- --ignored --nocapture cost`. In the
//! thread's own processor time.

use http::{Request, Response};
use http_body::Body;
use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tenure::http::Routes;
use tenure::http::tower::RouteLayer;
use tower_layer::Layer;
use tower_service::Service;

/// Nanoseconds of processor time that this thread has used.
fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Is polled so often, and allocates and frees so many blocks each time.
#[derive(Clone, Copy)]
struct Handler {
    polls: u32,
    blocks: u32,
}

impl Service<Request<()>> for Handler {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Handler;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Handler {
        *self
    }
}

impl Future for Handler {
    type Output = Result<Response<String>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        for i in 0..self.blocks {
            drop(black_box(Vec::<u8>::with_capacity(16 + i as usize * 40 % 1000)));
        }
        self.polls -= 1;
        if self.polls == 0 { Poll::Ready(Ok(Response::new(String::new()))) } else { Poll::Pending }
    }
}

/// Nanoseconds of a request, the least of some rounds.
fn time<S, R: Body>(mut service: S) -> f64
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
{
    let mut round = |n: u32| {
        let begin = now();
        for _ in 0..n {
            let mut context = Context::from_waker(Waker::noop());
            let mut future = pin!(service.call(Request::new(())));
            let response = loop {
                if let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut context) {
                    break response;
                }
            };
            let mut body = pin!(response.into_body());
            while !matches!(body.as_mut().poll_frame(&mut context), Poll::Ready(None)) {}
        }
        (now() - begin) / n as f64
    };
    round(2000);
    (0..30).map(|_| round(5000)).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "measures"]
fn cost() {
    println!("a request, in ns:     without a layer  tag only  1 in 100 exact  each exact");
    for (polls, blocks) in [(1, 0), (4, 0), (1, 50), (4, 50)] {
        let handler = Handler { polls, blocks };
        let with = |one_in| {
            let routes = Routes::new().exact_one_in(one_in);
            time(RouteLayer::new(&routes, |_: &Request<()>| Some("/cost")).layer(handler))
        };
        println!(
            "{polls} polls, {blocks:2} blocks each {:15.0} {:9.0} {:15.0} {:11.0}",
            time(handler),
            with(0),
            with(100),
            with(1)
        );
    }
}

/// How long the process' blocks are looked through when watches run short.
#[test]
#[ignore = "measures"]
fn forgetting_cost() {
    for blocks in [0, 1_000_000] {
        let kept: Vec<Box<[u8; 32]>> = {
            let _exact = tenure::exact_scope();
            (0..blocks).map(|_| Box::new([1; 32])).collect()
        };
        let routes = Routes::new().exact_one_in(1);
        let mut left = Vec::with_capacity(20_000);
        let leaves = |_: Request<()>| {
            left.push(Box::new([1u8; 40]));
            std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
        };
        let mut service =
            RouteLayer::new(&routes, |_: &Request<()>| Some("/leaves")).layer(super::by_hand::Called(leaves));
        let mut longest = 0.0f64;
        for _ in 0..10_000 {
            let begin = now();
            assert!(pin!(service.call(Request::new(()))).poll(&mut Context::from_waker(Waker::noop())).is_ready());
            longest = longest.max((now() - begin) / 1e6);
        }
        println!("with {blocks} tracked blocks beside, the longest of 10,000 exact requests took {longest:.1} ms");
        drop(kept);
    }
}
