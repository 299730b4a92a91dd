use std::fmt::Write;

use url::Url;

use crate::{Cluster, Error, Kms, Postgres, Redis, Temporal};

/// Returns a `cupel.toml` for the shared servers of the layers named: `database`, `cache`, `queues`,
/// `cluster`, `keys`. Others are not started; other names are passed over.
///
/// The database is fresh and empty, and is yet to be migrated: its two roles, `cupel_app` and
/// `cupel_admin`, are made by the migration, with the passwords of their URLs. The environment is
/// `development`.
///
/// # Errors
///
/// [`Error`] if a server cannot be started: it says what to install.
///
/// # Examples
///
/// ```no_run
/// # async fn test() -> Result<(), cupel_testkit::Error> {
/// let toml = cupel_testkit::config(&["database", "cache"]).await?;
/// assert!(toml.contains("[database]"));
/// # Ok(())
/// # }
/// ```
pub async fn config(layers: &[&str]) -> Result<String, Error> {
    let mut toml = "environment = 'development'\n".to_owned();
    for layer in layers {
        let section = match *layer {
            "database" => database().await?,
            "cache" => format!("url = '{}'\n", Redis::shared().await?.url()),
            "queues" => queues().await?,
            "cluster" => {
                format!("kubeconfig = '{}'\n", Cluster::shared().await?.kubeconfig_path().display())
            }
            "keys" => keys().await?,
            _ => continue,
        };
        let _ = write!(toml, "\n[{layer}]\n{section}");
    }
    Ok(toml)
}

async fn database() -> Result<String, Error> {
    let owner_url = Postgres::shared().await?.database().await?;
    let of = |role: &str| match Url::parse(&owner_url) {
        Ok(mut url) if url.set_username(role).is_ok() && url.set_password(Some(role)).is_ok() => {
            url.to_string()
        }
        // A server that is given in the environment may have a URL of a form that takes no user.
        _ => owner_url.clone(),
    };
    Ok(format!(
        "url = '{}'\nadmin_url = '{}'\nowner_url = '{owner_url}'\n",
        of("cupel_app"),
        of("cupel_admin"),
    ))
}

async fn queues() -> Result<String, Error> {
    let temporal = Temporal::shared().await?;
    Ok(format!("address = '{}'\nnamespace = '{}'\n", temporal.address(), temporal.namespace()))
}

async fn keys() -> Result<String, Error> {
    let kms = Kms::shared().await?;
    Ok(format!(
        "provider = 'aws-kms'\nregion = '{}'\nendpoint = '{}'\naccess_key_id = '{}'\nsecret_access_key = '{}'\n",
        kms.region(),
        kms.endpoint(),
        kms.access_key_id(),
        kms.secret_access_key(),
    ))
}
