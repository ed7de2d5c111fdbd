//! [`Endpoints`] as a `tower` service, under any runtime: what may block runs on a thread of its own.

use super::body::Whole;
use super::oneshot::{Receiver, oneshot};
use crate::http::answer::Fault;
use crate::http::call::Format;
use crate::http::endpoints::LONGEST_BODY;
use crate::http::{Cancel, Endpoints};
use crate::os::process;
use crate::reading::untracked;
use bytes::Buf;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body::Body;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use tower_service::Service;

/// Threads at a time: more than there can be requests that wait for each other.
const THREADS: usize = 8;

/// Answers at every path that is an endpoint's; 404 elsewhere.
///
/// A request's body is read up to 64 KiB; more is refused with 413. What takes long (a snapshot, a profile, a delta that
/// waits) runs on a thread `tenure-http`, with a lower priority and every signal blocked, so that no event loop waits for
/// it; at most 8 at a time, 429 beyond. It needs no particular runtime. To drop the future ends a wait at once.
impl<B> Service<Request<B>> for Endpoints
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Whole>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answer {
        let endpoints = self.clone();
        Answer(Box::pin(async move { respond(endpoints, request).await.map(Whole::from) }))
    }
}

/// The future of a response. Never an error.
#[must_use = "futures do nothing unless polled"]
pub struct Answer(Pin<Box<dyn Future<Output = Response<Whole>> + Send>>);

impl Future for Answer {
    type Output = Result<Response<Whole>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map(Ok)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

async fn respond<B: Body>(endpoints: Endpoints, request: Request<B>) -> Response<Vec<u8>> {
    if let Some(refusal) = endpoints.refusal(&request) {
        return refusal;
    }
    let (parts, body) = request.into_parts();
    let (format, method) = (Format::accepted(parts.uri.path(), &parts.headers), parts.method.clone());
    let answer = async {
        let request = Request::from_parts(parts, read(body).await?);
        if !endpoints.is_costly(request.method(), request.uri()) {
            return Ok(endpoints.respond_until(&request, &Cancel::default()));
        }
        let panicked = "the endpoint panicked: what it said is on standard error";
        (&mut on_a_thread(endpoints, request)?.response)
            .await
            .ok_or_else(|| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, panicked))
    };
    answer.await.unwrap_or_else(|fault: Fault| fault.into_answer(format).into_response(&method))
}

/// The whole body.
async fn read<B: Body>(body: B) -> Result<Vec<u8>, Fault> {
    let too_large = || Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 64 KiB: send less");
    if body.size_hint().lower() > LONGEST_BODY as u64 {
        return Err(too_large());
    }
    let (mut body, mut read) = (pin!(body), Vec::new());
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|_| Fault::bad("the body could not be read to its end: send it again"))?;
        // Trailers say nothing here.
        let Ok(mut data) = frame.into_data() else { continue };
        if read.len() + data.remaining() > LONGEST_BODY {
            return Err(too_large());
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            read.extend_from_slice(chunk);
            let n = chunk.len();
            data.advance(n);
        }
    }
    Ok(read)
}

/// A response that is made on a thread. Dropping it cancels.
struct Waiting {
    response: Receiver<Response<Vec<u8>>>,
    cancel: Cancel,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// A thread less when it is dropped.
struct Running;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

impl Running {
    fn begin() -> Option<Running> {
        // Relaxed, here and below: a number that bounds, and orders nothing.
        RUNNING.fetch_update(Relaxed, Relaxed, |n| (n < THREADS).then_some(n + 1)).ok().map(|_| Running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Relaxed);
    }
}

fn on_a_thread(endpoints: Endpoints, request: Request<Vec<u8>>) -> Result<Waiting, Fault> {
    let running = Running::begin().ok_or_else(|| {
        let line = "others are waiting already for what is expensive: ask again in a second";
        Fault::new(StatusCode::TOO_MANY_REQUESTS, line).with(RETRY_AFTER, HeaderValue::from_static("1"))
    })?;
    let cancel = Cancel::default();
    let (sender, response) = oneshot();
    let cancelled = cancel.clone();
    let job = move || {
        process::lower_priority();
        // A panic was printed by its hook; the future hears of it by the sender's end.
        let response = catch_unwind(AssertUnwindSafe(|| endpoints.respond_until(&request, &cancelled)));
        // The place is free before the response is seen: whoever asks again then finds it so.
        drop(running);
        if let Ok(response) = response {
            sender.send(response);
        }
    };
    let thread = std::thread::Builder::new().name("tenure-http".into());
    match process::without_signals(|| untracked(|| thread.spawn(job))) {
        Ok(_) => Ok(Waiting { response, cancel }),
        Err(error) => {
            let line = format!("no thread could be started for this ({error}): ask again when fewer run");
            Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, line))
        }
    }
}
