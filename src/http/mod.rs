//! The debug endpoints: what a service shows of its memory over HTTP, as a function from a request to a response.

pub(crate) mod charts;
pub(crate) mod flame;
pub(crate) mod history;
pub(crate) mod page;
