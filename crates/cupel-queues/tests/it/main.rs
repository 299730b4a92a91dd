//! The layer against a real Temporal server.

mod prove;
mod server;
