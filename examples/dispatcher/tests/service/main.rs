//! The service as users have it: a process that is asked over TCP.

mod memory;
mod routes;
mod support;
