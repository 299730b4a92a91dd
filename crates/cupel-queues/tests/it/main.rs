//! The layer against a real Temporal server.

mod audit;
mod firewall;
mod lifecycle;
mod prove;
mod refusals;
mod reserved;
mod server;
mod work;
mod workers;
