//! Real servers for tests: PostgreSQL, Redis, Temporal, Kubernetes and KMS, started and stopped.
//!
//! A test that asks for a server gets a real one, or fails and says what to install; it is never
//! skipped. The tests of a process share one server of each kind, which ends with the process,
//! however that ends: normally, by a panic, or killed.
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
//!
//! [`TestBed`] is all five at once, and [`config`](config()) the text of a `cupel.toml` on any of
//! them. A service's own test then needs three lines (`no_run`, as all here, since they start
//! servers; the services' part is in a comment, for this crate knows none of the layers):
//!
//! ```no_run
//! # async fn our_tables_are_isolated() -> Result<(), cupel_testkit::Error> {
//! let bed = cupel_testkit::TestBed::shared().await?;
//! let config: String = bed.config().await?;
//! // let isolation = Isolation::connect(Config::from_toml(&config)?).await?;
//! // isolation.prove().await?.assert_isolated();
//! # Ok(())
//! # }
//! ```
//!
//! # Where servers come from
//!
//! Each is found in this order, and its [`Source`] says which it was:
//!
//! 1. **Environment**: the server that a variable names. It is used and left running.
//! 2. **Container**: where a Docker engine and the `docker` program answer, and the image is there
//!    or can be pulled.
//! 3. **Local**: a program of this machine, on a free loopback port, in a temporary folder.
//!
//! | server | environment | container, another by | local |
//! |---|---|---|---|
//! | PostgreSQL | `TESTBED_POSTGRES_URL` | `postgres:15`, `TESTBED_IMAGE_POSTGRES` | `initdb` and `postgres` on the search path, else the newest in `/usr/lib/postgresql` |
//! | Redis | `TESTBED_REDIS_URL` | `redis:7`, `TESTBED_IMAGE_REDIS` | `redis-server` on the search path |
//! | Temporal | `TESTBED_TEMPORAL_ADDRESS` | `temporalio/temporal:1.9.1`, `TESTBED_IMAGE_TEMPORAL` | `TESTBED_TEMPORAL_BIN`, else `temporal` on the search path or in the cache |
//! | Kubernetes | `TESTBED_KUBECONFIG` | `rancher/k3s:v1.35.4-k3s1`, `TESTBED_IMAGE_CLUSTER` | etcd, API server and controllers in `TESTBED_KUBERNETES_BIN`, else in the cache |
//! | KMS | `TESTBED_KMS_ENDPOINT` | `motoserver/moto:5.2.5`, `TESTBED_IMAGE_KMS` | moto in the Python `TESTBED_KMS_PYTHON`, else in the cache |
//!
//! `TESTBED_PROVIDER=container` and `TESTBED_PROVIDER=local` ask for one way only, beside the
//! environment. The cache, which `scripts/install` fills, is `TESTBED_CACHE` or else
//! `~/.cache/cupel`. Servers in the environment must be those of tests: databases, roles, keys and
//! namespaces are made in them and not removed.
//!
//! # What this crate does not do
//!
//! It knows no layer of cupel and opens no connection for a test: it says where a server listens.
//! It runs on Unix, where `sh` is.

mod apiserver;
mod bed;
mod cluster;
mod config;
mod container;
mod docker;
mod error;
mod http;
mod images;
mod kms;
mod lifeline;
mod pgbouncer;
mod postgres;
mod reach;
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
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use redis::Redis;
pub use service::Service;
pub use service::Source;
pub use settings::Provider;
pub use settings::Settings;
pub use temporal::Temporal;
