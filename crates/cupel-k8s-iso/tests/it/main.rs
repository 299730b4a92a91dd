//! The cluster layer against a real API server.

#![expect(clippy::unwrap_used, reason = "a test may unwrap; helpers in tests are linted too")]

mod bad_input;
mod bed;
mod guards;
mod lifecycle;
mod names;
mod prove;
mod render;
mod without;
