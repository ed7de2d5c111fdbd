//! `GET /download`: all texts, one after the other. Only a few pieces are in memory at a time: the next one is made when
//! the client has taken those before.

use crate::app::App;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use tenure::Tag;

/// Of a piece; documents that are longer are sent in several.
const BYTES: usize = 32 << 10;

pub(crate) async fn download(State(app): State<Arc<App>>) -> Response {
    // The body is polled when this function has long returned, so the tag has to go with it.
    let tag = Tag::current();
    let pieces = stream::unfold((app, 0, 0), move |(app, document, line)| async move {
        let _in = tag.enter();
        let (piece, document, line) = piece(&app, document, line)?;
        Some((Ok::<_, Infallible>(piece), (app, document, line)))
    });
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(pieces)).into_response()
}

/// From this line of this document on, and where the next piece begins. `None` at the end.
fn piece(app: &App, mut document: usize, mut line: usize) -> Option<(Bytes, usize, usize)> {
    let index = app.index();
    let mut piece = String::with_capacity(BYTES + 1024);
    while let Some(of) = index.documents.get(document) {
        if line == 0 {
            piece.push_str(&of.path);
            piece.push('\n');
        }
        for text in of.lines.iter().skip(line) {
            piece.push_str(text);
            piece.push('\n');
            line += 1;
            if piece.len() >= BYTES {
                return Some((piece.into(), document, line));
            }
        }
        (document, line) = (document + 1, 0);
    }
    (!piece.is_empty()).then(|| (piece.into(), document, 0))
}
