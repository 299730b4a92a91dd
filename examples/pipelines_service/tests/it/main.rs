//! The service over HTTP, on real servers.

mod bad_input;
mod bed;
mod lifecycle;
mod two_tenants;
mod workspaces;
