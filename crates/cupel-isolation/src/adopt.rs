//! What `cupel adopt` does: brings isolation to tables that are in use, and blocks nobody on the way.

use cupel_tenant::{Changes, LayerError, LayerName};
use cupel_tenant_db::Adoption;
pub use cupel_tenant_db::{Adopted, AdoptionStep, Phase};

use crate::{Config, Error, migrate};

/// What is done to the declared tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// Count what enforcement would block, and block nobody.
    Shadow,
    /// Count anew from now on.
    Forget,
    /// Build the keys, references and indexes that carry the organization, beside those that there are.
    Validate,
    /// Validate, and isolate one table after the other.
    Enforce {
        /// Also if violations were counted.
        despite_violations: bool,
    },
}

/// Does it to the tables of `[database]`, and returns what changed. Stopped at any point, it goes on from there
/// when it is run again.
///
/// # Errors
///
/// As [`migrate::run`]; [`Error::Layer`] names what the data breaks, or the table that was
/// violated.
pub async fn run(
    config: &Config,
    act: Act,
    tell: impl Fn(&AdoptionStep) + Send + Sync + 'static,
) -> Result<Changes, Error> {
    let adoption = Adoption::of(migrate::migration(config)?).on_step(tell);
    let done = match act {
        Act::Shadow => adoption.shadow().await,
        Act::Forget => adoption.forget().await,
        Act::Validate => adoption.validate().await,
        Act::Enforce { despite_violations } => {
            adoption.despite_violations(despite_violations).enforce().await
        }
    };
    done.map_err(failed)
}

/// Tells how far each table is, and what was counted. Changes nothing.
///
/// # Errors
///
/// As [`run`].
pub async fn status(config: &Config) -> Result<Vec<Adopted>, Error> {
    Adoption::of(migrate::migration(config)?).status().await.map_err(failed)
}

fn failed(error: cupel_tenant_db::Error) -> Error {
    Error::Layer(LayerError::new(LayerName::Database, "adopting the tables", error.kind(), error))
}
