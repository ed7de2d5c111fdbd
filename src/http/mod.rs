//! The debug endpoints: what a service shows of its memory over HTTP, as a function from a request to a response.
