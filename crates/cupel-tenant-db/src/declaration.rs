use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::{Error, Table, TableKind};

/// The tables of a service, each with whose its rows are, as a TOML file declares them.
///
/// A table is a kind, or a kind with what is particular to it. Columns that are named at the top are those
/// of every table that names none of its own.
///
/// # Examples
///
/// ```
/// use cupel_tenant_db::{Declaration, TableKind};
///
/// let declaration: Declaration = r#"
///     org_column = "tenant_id"
///
///     [tables]
///     customers = { kind = "org", org_column = "id" }
///     pipelines = "org"
///     pipeline_runs = { kind = "workspace", workspace_column = "team_id", parent = "pipelines" }
///     component_libraries = "shared"
///     plans = "global"
/// "#
/// .parse()?;
/// assert_eq!(declaration.tables().len(), 5);
/// assert_eq!(declaration.tables()[0].kind(), TableKind::Shared); // in the order of their names
/// # Ok::<(), cupel_tenant_db::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    tables: Vec<Table>,
}

impl Declaration {
    /// Returns the tables, in the order of their names.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }
}

impl FromStr for Declaration {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::InvalidDeclaration`] for what is not TOML, or has a key or a kind that there is not;
    /// [`Error::InvalidTableName`] and [`Error::InvalidColumnName`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.split('\n').count();
            Error::InvalidDeclaration { line, problem: error.message().replace('\n', ", ") }
        })?;
        let others =
            Columns { org_column: file.org_column, workspace_column: file.workspace_column };
        let tables = file.tables.iter().map(|(name, entry)| entry.table(name, &others));
        let tables: Vec<Table> = tables.collect();
        for table in &tables {
            table.parsed()?;
        }
        Ok(Self { tables })
    }
}

impl IntoIterator for Declaration {
    type Item = Table;
    type IntoIter = std::vec::IntoIter<Table>;

    fn into_iter(self) -> Self::IntoIter {
        self.tables.into_iter()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    org_column: Option<String>,
    workspace_column: Option<String>,
    #[serde(default)]
    tables: BTreeMap<String, Entry>,
}

#[derive(Default)]
struct Columns {
    org_column: Option<String>,
    workspace_column: Option<String>,
}

/// What stands behind the name of a table.
struct Entry {
    kind: TableKind,
    columns: Columns,
    parent: Option<String>,
}

impl Entry {
    fn table(&self, name: &str, others: &Columns) -> Table {
        let mut table = Table::of_kind(name, self.kind);
        if let Some(column) = self.columns.org_column.as_ref().or(others.org_column.as_ref()) {
            table = table.org_column(column);
        }
        let workspace = self.columns.workspace_column.as_ref();
        if let Some(column) = workspace.or(others.workspace_column.as_ref()) {
            table = table.workspace_column(column);
        }
        match &self.parent {
            Some(parent) => table.child_of(parent),
            None => table,
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a kind, as "org", or a table with a kind, as { kind = "org" }"#)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Entry, E> {
        Ok(Entry { kind: kind(text)?, columns: Columns::default(), parent: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        let full = Full::deserialize(MapAccessDeserializer::new(map))?;
        let columns =
            Columns { org_column: full.org_column, workspace_column: full.workspace_column };
        Ok(Entry { kind: kind(&full.kind)?, columns, parent: full.parent })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    kind: String,
    org_column: Option<String>,
    workspace_column: Option<String>,
    parent: Option<String>,
}

fn kind<E: serde::de::Error>(text: &str) -> Result<TableKind, E> {
    let unknown =
        || E::unknown_variant(text, &["global", "org", "shared", "workspace", "separate"]);
    TableKind::parse(text).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_columns_of_all_unless_it_names_its_own() {
        let text = "org_column = \"tenant\"\n[tables]\na = \"org\"\nb.kind = \"workspace\"\nb.org_column = \"t\"\nb.parent = \"a\"";
        let read: Declaration = text.parse().unwrap();
        let expected = [
            Table::org("a").org_column("tenant"),
            Table::workspace("b").org_column("t").child_of("a"),
        ];
        assert_eq!(read.tables(), expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line, words) in [
            ("[tables]\na = 1", 2, "a kind"),
            ("[tables]\na = \"orgs\"", 2, "unknown variant `orgs`"),
            ("[tables]\na = { kind = \"org\", colour = 1 }", 2, "unknown field `colour`"),
            ("[tables]\na = { parent = \"b\" }", 2, "missing field `kind`"),
            ("colour = 1", 1, "unknown field `colour`"),
            ("[tables", 1, "table"),
        ] {
            match text.parse::<Declaration>() {
                Err(Error::InvalidDeclaration { line: at, problem }) => {
                    assert_eq!(at, line, "{text}: {problem}");
                    assert!(problem.contains(words), "{text}: {problem}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        let name = "[tables]\n\"a.b.c\" = \"org\"".parse::<Declaration>();
        assert!(matches!(name, Err(Error::InvalidTableName)), "{name:?}");
    }
}
