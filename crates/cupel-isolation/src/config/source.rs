use std::ffi::OsString;
use std::path::Path;

use figment::error::{Actual, Kind};
use figment::providers::{Format, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};

/// Values, with the name of where they came from.
pub(super) struct Source {
    metadata: Metadata,
    values: Dict,
}

impl Source {
    /// The values of a TOML text, which was in a file or was given.
    ///
    /// The parser's own text of a syntax error shows the line that is wrong, which may be a secret's. So
    /// it is told by its number here.
    pub(super) fn toml(text: &str, path: Option<&Path>) -> Result<Self, Box<figment::Error>> {
        let metadata = match path {
            Some(path) => Metadata::from("TOML file", path),
            None => Metadata::named("TOML source string"),
        };
        match Toml::from_str(text) {
            Ok(values) => Ok(Self { metadata, values }),
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.unwrap_or_default().split('\n').count();
                let rule = error.message().replace('\n', ", ");
                let mut error = figment::Error::from(format!("line {line}: {rule}"));
                error.metadata = Some(metadata);
                Err(Box::new(error))
            }
        }
    }

    /// The values of the variables `CUPEL_…`, each a source of its own.
    ///
    /// Each is text as it stands: a password of digits is no number. The field that reads it knows its
    /// type.
    pub(super) fn environment(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> impl Iterator<Item = Self> {
        variables.into_iter().filter_map(|(name, value)| {
            let name = name.to_str()?;
            let key = name.to_ascii_lowercase().strip_prefix("cupel_")?.replace("__", ".");
            // CUPEL_CONFIG names the file, for the command.
            if key == "config" || key.split('.').any(str::is_empty) {
                return None;
            }
            let value = Value::from(value.to_string_lossy().into_owned());
            let metadata = Metadata::named(format!("environment variable {name}"));
            Some(Self { metadata, values: nest(&key, value).into_dict()? })
        })
    }
}

impl Provider for Source {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Reads a list, which the environment gives as text: `["a", "b"]`.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = match <Value as Deserialize>::deserialize(deserializer)? {
        Value::String(_, text) => text.parse().unwrap_or_else(|never| match never {}),
        value => value,
    };
    value.deserialize().map_err(|error| D::Error::custom(without_value(error).kind))
}

/// Takes the value that was found out of an error of its type: it may be a secret, or a secret in the
/// wrong place. The key and where it was set stay.
pub(super) fn without_value(mut error: figment::Error) -> figment::Error {
    error.kind = match error.kind {
        Kind::InvalidType(found, expected) => Kind::InvalidType(kind_of(&found), expected),
        Kind::InvalidValue(found, expected) => Kind::InvalidValue(kind_of(&found), expected),
        kind => kind,
    };
    error
}

fn kind_of(found: &Actual) -> Actual {
    let kind = match found {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) => "an integer",
        Actual::Float(_) => "a fraction",
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "a text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "another type",
    };
    Actual::Other(kind.to_owned())
}
