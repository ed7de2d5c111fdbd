//! What happens to each request, whichever view answers it.

use crate::views::Problem;
use axum::extract::{MatchedPath, Request};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use tenure::{InScopeExt, Tag};

/// What a request allocates has its route as its tag: `/document/{id}`, not `/document/7`, so that there are as many
/// tags as routes, whatever is asked for.
pub(crate) async fn tag(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let tag = Tag::new(route);
    next.run(request).in_tag(tag).await
}

/// Answers what no route matches.
pub(crate) async fn unmatched(uri: Uri) -> Problem {
    let path = uri.path();
    let what = format!("{path} is no route: try /search, /document/{{id}}, /session, /stats or /sites");
    Problem(StatusCode::NOT_FOUND, what)
}
