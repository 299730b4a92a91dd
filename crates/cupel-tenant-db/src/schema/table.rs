use std::fmt;

use super::ident;
use crate::Error;

/// The declaration of one table: whose its rows are.
///
/// A name without a schema is one of `public`.
///
/// # Examples
///
/// ```
/// use cupel_tenant_db::{Table, TableKind};
///
/// let tables = [
///     Table::org("pipelines"),
///     Table::workspace("pipeline_runs"),
///     Table::shared("component_libraries"),
///     Table::global("plans"),
/// ];
/// assert_eq!(tables[1].kind(), TableKind::Workspace);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    name: String,
    kind: TableKind,
}

/// Whose the rows of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TableKind {
    /// Nobody's: every organization reads them, none writes them. There is no `org_id`.
    Global,
    /// An organization's. All its workspaces read and write them.
    Org,
    /// An organization's. A scope narrowed to a workspace reads them and does not write them.
    Shared,
    /// A workspace's, by `workspace_id`; where that is NULL, they are shared by the organization. A
    /// narrowed scope reads its own and the shared ones, and writes its own. One that is not narrowed
    /// reads and writes all of its organization.
    Workspace,
}

impl TableKind {
    const ALL: [Self; 4] = [Self::Global, Self::Org, Self::Shared, Self::Workspace];

    /// Returns the kind as text: its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Org => "org",
            Self::Shared => "shared",
            Self::Workspace => "workspace",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Table {
    /// A table whose rows belong to organizations.
    pub fn org(name: &str) -> Self {
        Self { name: name.to_owned(), kind: TableKind::Org }
    }

    /// A table whose rows belong to workspaces of organizations, or are shared by them.
    pub fn workspace(name: &str) -> Self {
        Self { name: name.to_owned(), kind: TableKind::Workspace }
    }

    /// A table whose rows organizations share with their workspaces.
    pub fn shared(name: &str) -> Self {
        Self { name: name.to_owned(), kind: TableKind::Shared }
    }

    /// A table that is the same for everybody, such as a list of plans.
    pub fn global(name: &str) -> Self {
        Self { name: name.to_owned(), kind: TableKind::Global }
    }

    /// Returns the name, as it was declared.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whose its rows are.
    pub fn kind(&self) -> TableKind {
        self.kind
    }

    pub(crate) fn parsed(&self) -> Result<TableName, Error> {
        TableName::parse(&self.name)
    }
}

/// A schema and a table in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TableName {
    pub(crate) schema: String,
    pub(crate) table: String,
}

impl TableName {
    fn parse(text: &str) -> Result<Self, Error> {
        let (schema, table) = text.split_once('.').unwrap_or(("public", text));
        // NAMEDATALEN is 64 with its terminator: PostgreSQL documentation, section 4.1.1.
        let fits = |part: &str| (1..=63).contains(&part.len()) && !part.contains(['\0', '.']);
        if fits(schema) && fits(table) {
            Ok(Self { schema: schema.to_owned(), table: table.to_owned() })
        } else {
            Err(Error::InvalidTableName)
        }
    }

    /// Returns the name quoted for SQL.
    pub(crate) fn quoted(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.table))
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_schema_is_public() {
        let parsed = |text| Table::org(text).parsed().map(|name| name.quoted());
        assert_eq!(parsed("runs").unwrap(), r#""public"."runs""#);
        assert_eq!(parsed("a.runs").unwrap(), r#""a"."runs""#);
        assert_eq!(parsed(r#"r"s"#).unwrap(), r#""public"."r""s""#);
        for refused in ["", ".", "a.", ".b", "a.b.c", "a\0", &"x".repeat(64)] {
            assert!(matches!(parsed(refused), Err(Error::InvalidTableName)), "{refused:?}");
        }
    }
}
