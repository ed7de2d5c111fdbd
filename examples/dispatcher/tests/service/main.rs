//! The service as users have it: a process that is asked over TCP.

mod lab;
mod memory;
mod routes;
mod stress;
mod support;
