//! The event loop and the protocol: accepts connections, as many as there may be, and speaks HTTP/1.1 on each, until
//! told to stop. `axum::serve` is shorter, and lets a client take all the time in the world for its headers.

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;

/// For the whole head of a request; and for the next request on a connection that is kept.
const HEAD: Duration = Duration::from_secs(10);
/// A client that takes nothing of its answer for so long has vanished.
const WRITE: Duration = Duration::from_secs(20);
/// The longest head, with the address.
const HEAD_BYTES: usize = 32 << 10;
/// Connections at a time.
const MOST: usize = 10_000;
/// For the requests under way when the service is told to stop.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// The connections that there are.
pub(crate) struct Connections {
    room: Arc<Semaphore>,
    may: usize,
    /// At a time, so far. Relaxed: it counts.
    most: AtomicUsize,
}

impl Connections {
    /// As many as the process may open, about. The others wait in the kernel's queue.
    pub(crate) fn new() -> Connections {
        // A limit that cannot be raised is the limit.
        let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
        let may = (files.saturating_sub(100).max(100) as usize).min(MOST);
        Connections { room: Arc::new(Semaphore::new(may)), may, most: AtomicUsize::new(0) }
    }

    pub(crate) fn open(&self) -> usize {
        self.may - self.room.available_permits()
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// Waits until there is room for one more.
    async fn has_room(&self) {
        drop(self.room.acquire().await.expect("it is never closed"));
    }

    /// Takes the room for one. It is free again when the permit is dropped.
    fn one_more(&self) -> OwnedSemaphorePermit {
        let room = self.room.clone().try_acquire_owned().expect("nobody else takes what was waited for");
        self.most.fetch_max(self.open(), Relaxed);
        room
    }
}

/// Serves until `stop`, and then until the requests under way are answered, or their time is over. Whether all were.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    room: &Connections,
    stop: impl Future<Output = ()>,
) -> bool {
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            room.has_room().await;
            listener.accept().await
        };
        let accepted = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let Ok((stream, peer)) = accepted else {
            // No files are left, or the client was gone already.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let room = room.one_more();
        let connection = graceful.watch(connection(stream, peer, routes.clone()));
        tokio::spawn(async move {
            // A client that vanished, or did not speak HTTP: there is nobody to tell.
            _ = connection.await;
            drop(room);
        });
    }
    drop(listener);
    tokio::time::timeout(GRACE, graceful.shutdown()).await.is_ok()
}

fn connection(stream: TcpStream, peer: SocketAddr, routes: Router) -> impl GracefulConnection<Error = hyper::Error> {
    // It only delays small answers.
    _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE));
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        // Who asks: the debug endpoints answer nobody else than this machine.
        request.extensions_mut().insert(ConnectInfo(peer));
        routes.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
}
