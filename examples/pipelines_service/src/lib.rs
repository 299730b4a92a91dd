//! An HTTP service of many organizations: a token says whose data is touched, and every layer holds it.
//!
//! This is an example to copy from. A request comes in with a signed token; the [`Service`] turns it into
//! the handles of one tenant, or refuses it; a handler gets those handles and nothing else. None takes an
//! organization from a request, and none has a connection pool or a key.
//!
//! ```no_run
//! use cupel_isolation::Isolation;
//! use pipelines_service::{Service, TokenKey, app};
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let isolation = Isolation::from_config("cupel.toml").await?;
//! let tokens = TokenKey::new(b"the 32 bytes or more that sign tokens")?;
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app(Service::new(isolation, tokens))).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What this crate does not do
//!
//! It issues no tokens but for its tests, and onboards nobody: `cupel onboard` does. What a pipeline
//! moves is left out; where it comes from, under whose name and with which password, is not.
//!
//! # Crate features
//!
//! None.

mod app;
mod auth;
mod credentials;
mod error;
mod name;
mod pipeline_run;
mod pipelines;
mod runs;
mod schemas;
pub mod testbed;
mod token;
mod workers;

pub use app::{Service, app};
pub use token::{Claims, ShortSecret, TokenKey};
pub use workers::Workers;
