//! What `cupel.toml` and the environment may say.

mod sections;
mod source;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use cupel_tenant::{LayerName, Tier};
use figment::Figment;
use serde::Deserialize;

pub use self::sections::{
    CacheConfig, CacheIsolationName, ClusterConfig, ColumnTypeName, ContextName, DatabaseConfig,
    KeysConfig, QueuesConfig, ResourceConfig, TableKindName, TierConfig,
};
use self::source::Source;
use crate::{Environment, Error};

/// The configuration of a service: one section per layer, each optional.
///
/// Every key can be overridden by the environment: `CUPEL_` and the path joined by `__`, as
/// `CUPEL_DATABASE__URL`. What is set there is taken as it is written, without quotes; a list is written as
/// `["a", "b"]`. An unknown key is refused. URLs and passphrases are not printed by `Debug`, and no error
/// tells the value that has the wrong type.
///
/// # Examples
///
/// ```
/// use cupel_isolation::{Config, Environment};
///
/// let config = Config::from_toml(
///     r#"
///     environment = "development"
///
///     [cache]
///     url = "redis://localhost"
///     "#,
/// )?;
/// assert_eq!(config.environment, Environment::Development);
/// assert!(config.database.is_none());
///
/// assert!(Config::from_toml("colour = 'blue'").is_err());
/// # Ok::<(), cupel_isolation::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where the service runs. Production unless said otherwise.
    #[serde(default)]
    pub environment: Environment,
    /// PostgreSQL.
    pub database: Option<DatabaseConfig>,
    /// Redis.
    pub cache: Option<CacheConfig>,
    /// Temporal.
    pub queues: Option<QueuesConfig>,
    /// Kubernetes. Without it namespaces are rendered, not applied.
    pub cluster: Option<ClusterConfig>,
    /// AWS KMS or a local keyring.
    pub keys: Option<KeysConfig>,
    /// What each tier allows. `standard` and `enterprise` need not be listed; every other tier must.
    #[serde(default)]
    pub tiers: BTreeMap<Tier, TierConfig>,
}

impl Config {
    /// Reads a file, with the environment over it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the file is not there or not TOML, a key is unknown, or a value has the
    /// wrong type; the cause names the key and where it was set.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|error| Box::new(error.to_string().into()));
        let file = text.and_then(|text| Source::toml(&text, Some(path)));
        file.and_then(|file| Self::read(Some(file), std::env::vars_os()))
            .map_err(refused_in(Some(path)))
    }

    /// Reads the environment alone.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn from_env() -> Result<Self, Error> {
        Self::read(None, std::env::vars_os()).map_err(refused_in(None))
    }

    /// Reads a text, with the environment over it.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Source::toml(text, None)
            .and_then(|text| Self::read(Some(text), std::env::vars_os()))
            .map_err(refused_in(None))
    }

    /// Returns whether a layer has a section.
    pub fn has(&self, layer: LayerName) -> bool {
        match layer {
            LayerName::Database => self.database.is_some(),
            LayerName::Cache => self.cache.is_some(),
            LayerName::Queues => self.queues.is_some(),
            LayerName::Cluster => self.cluster.is_some(),
            LayerName::Keys => self.keys.is_some(),
        }
    }

    fn read(
        text: Option<Source>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Box<figment::Error>> {
        let sources = text.into_iter().chain(Source::environment(variables));
        // Lossy: where a number is expected, the text of one will do.
        let read = sources.fold(Figment::new(), Figment::merge).extract_lossy();
        read.map_err(|error| Box::new(source::without_value(error)))
    }
}

fn refused_in(path: Option<&Path>) -> impl FnOnce(Box<figment::Error>) -> Error {
    move |source| Error::Config { path: path.map(Path::to_owned), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match Config::from_toml(text) {
            Err(Error::Config { source, .. }) => source.to_string(),
            other => panic!("accepted: {other:?}"),
        }
    }

    #[test]
    fn unknown_keys_are_named_at_every_depth() {
        assert!(refused("colour = 1").contains("colour"));
        assert!(refused("[cache]\nurl = 'redis://h'\nttl = 1").contains("ttl"));
        assert!(refused("[tiers.gold]\npodz = 1").contains("podz"));
        assert!(refused("[keys]\nprovider = 'local-keyring'\npath = 'k'\nx = 1").contains('x'));
    }

    #[test]
    fn production_is_the_default() {
        assert_eq!(Config::from_toml("").unwrap().environment, Environment::Production);
        assert!(refused("environment = 'staging'").contains("staging"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = "[database]\nurl = 'postgres://app:hunter2@h/d'\n[keys]\nprovider = 'local-keyring'\npath = 'k'\npassphrase = 'hunter2'";
        assert!(!format!("{:?}", Config::from_toml(text).unwrap()).contains("hunter2"));
    }

    /// Every key that holds a secret, in a configuration that is whole without it.
    const SECRETS: [(&str, &str, &str); 8] = [
        ("", "database", "url"),
        ("url = 'postgres://h'", "database", "admin_url"),
        ("url = 'postgres://h'", "database", "owner_url"),
        ("url = 'postgres://h'", "database", "seal_key"),
        ("url = 'postgres://h'", "database", "previous_seal_key"),
        ("", "cache", "url"),
        ("provider = 'local-keyring'\npath = 'k'", "keys", "passphrase"),
        ("provider = 'aws-kms'", "keys", "secret_access_key"),
    ];

    fn secret(config: &Config, section: &str, key: &str) -> Option<String> {
        use secrecy::ExposeSecret;
        let secret = match (section, key) {
            ("database", "url") => config.database.as_ref().map(|it| &it.url),
            ("database", "admin_url") => config.database.as_ref()?.admin_url.as_ref(),
            ("database", "owner_url") => config.database.as_ref()?.owner_url.as_ref(),
            ("database", "seal_key") => config.database.as_ref()?.seal_key.as_ref(),
            ("database", "previous_seal_key") => {
                config.database.as_ref()?.previous_seal_key.as_ref()
            }
            ("cache", _) => config.cache.as_ref().map(|it| &it.url),
            _ => match config.keys.as_ref()? {
                KeysConfig::AwsKms { secret_access_key, .. } => secret_access_key.as_ref(),
                KeysConfig::LocalKeyring { passphrase, .. } => passphrase.as_ref(),
            },
        };
        secret.map(|it| it.expose_secret().to_owned())
    }

    fn with_environment(
        text: &str,
        name: &str,
        value: &str,
    ) -> Result<Config, Box<figment::Error>> {
        Config::read(Some(Source::toml(text, None)?), [(name.into(), value.into())])
    }

    #[test]
    fn a_secret_in_the_environment_is_taken_as_it_is_written() {
        for (others, section, key) in SECRETS {
            let name = format!("CUPEL_{section}__{key}").to_uppercase();
            for value in ["12345", "0123", "1.50", "true", "[1, 2]", "{a=1}", "'x'", "\"x\"", " x "]
            {
                let config = with_environment(&format!("[{section}]\n{others}"), &name, value);
                let config = config.unwrap_or_else(|error| panic!("{name}={value}: {error}"));
                assert_eq!(secret(&config, section, key).as_deref(), Some(value), "{name}");
            }
        }
    }

    #[test]
    fn the_environment_sets_fields_of_every_type() {
        let database = "[database]\nurl = 'postgres://h'";
        let config = with_environment(database, "CUPEL_DATABASE__MAX_CONNECTIONS", "7").unwrap();
        assert_eq!(config.database.unwrap().max_connections, Some(7));
        let config = with_environment("", "CUPEL_TIERS__GOLD__PODS", "70").unwrap();
        assert_eq!(config.tiers.values().next().unwrap().pods, Some(70));
        let managers = r#"["system:serviceaccount:cupel:cupel", "7"]"#;
        let config = with_environment("", "cupel_cluster__managers", managers).unwrap();
        assert_eq!(config.cluster.unwrap().managers, ["system:serviceaccount:cupel:cupel", "7"]);
        let config = with_environment("", "CUPEL_QUEUES__ADDRESS", "7").unwrap();
        assert_eq!(config.queues.unwrap().address, "7");
        let config = with_environment("", "CUPEL_CONFIG", "elsewhere.toml").unwrap();
        assert!(config.queues.is_none());

        let wrong = with_environment(database, "CUPEL_DATABASE__MAX_CONNECTIONS", "many");
        let said = wrong.unwrap_err().to_string();
        assert!(said.contains("found a text, expected u32"), "{said}");
        assert!(said.contains("environment variable CUPEL_DATABASE__MAX_CONNECTIONS"), "{said}");
    }

    #[test]
    fn no_error_tells_the_value_of_a_secret() {
        let mut cases = Vec::new();
        for (others, section, key) in SECRETS {
            for value in [
                "31337",
                "-31337",
                "31337.5",
                "[31337]",
                "{ x = 31337 }",
                "2031-03-07T00:00:00.31337Z",
                "31337e",
                "313373133731337313373133731337",
                "x31337",
                "'31337",
                "'31337' and more",
            ] {
                cases.push(format!("[{section}]\n{others}\n{key} = {value}"));
            }
            cases.push(format!("{section} = 'redis://u:31337@h'"));
        }
        for text in cases {
            let error = Config::from_toml(&text).expect_err(&text);
            let said = format!("{} {error:?}", crate::report::chain(&error).join(": "));
            assert!(!said.contains("31337"), "{text}\nsaid: {said}");
        }
        let said = with_environment("", "CUPEL_DATABASE", "postgres://u:31337@h").unwrap_err();
        assert!(!said.to_string().contains("31337"), "{said}");
    }

    #[test]
    fn a_mistake_in_the_toml_is_told_by_its_line() {
        let said = refused("environment = 'development'\n[keys]\npassphrase = hunter2\n");
        assert!(said.starts_with("line 3: "), "{said}");
    }

    #[test]
    fn every_secret_of_the_sections_is_tested() {
        let declared = include_str!("sections.rs").matches("SecretString").count();
        assert_eq!(declared - 1, SECRETS.len(), "one is of the import");
    }

    #[test]
    fn a_malformed_tier_name_is_refused() {
        assert!(refused("[tiers.'Gold Plan']\npods = 1").contains("invalid tier"));
    }
}
