//! The debug endpoints as a `tower` service, and a layer that tells what each route does with memory.

mod body;
mod layer;
mod oneshot;
mod service;

pub use body::Whole;
pub use layer::{RouteBody, RouteFuture, RouteLayer, RouteService};
pub use service::Answer;
