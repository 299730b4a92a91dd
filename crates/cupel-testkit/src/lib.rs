//! Real servers for tests: PostgreSQL and Redis, started and stopped.
//!
//! A test that asks for a server gets a real one, or fails and says what to install; it is never
//! skipped. The tests of a process share one server of each kind, which ends with the process,
//! however that ends.
//!
//! ```no_run
//! use cupel_testkit::{Postgres, Redis};
//!
//! # async fn test() -> Result<(), cupel_testkit::Error> {
//! let database_url = Postgres::shared().await?.database().await?; // fresh and empty
//! let redis_url = Redis::shared().await?.url();
//! # Ok(())
//! # }
//! ```

mod apiserver;
mod bed;
mod cluster;
mod config;
mod container;
mod error;
mod http;
mod images;
mod kms;
mod lifeline;
mod postgres;
mod redis;
mod running;
mod service;
mod settings;
mod supervisor;
mod temporal;
mod wait;

pub use bed::TestBed;
pub use cluster::Cluster;
pub use config::config;
pub use error::Error;
pub use kms::Kms;
pub use postgres::Postgres;
pub use redis::Redis;
pub use service::Service;
pub use service::Source;
pub use settings::Provider;
pub use settings::Settings;
pub use temporal::Temporal;
