use std::fmt;

use super::{ORG_COLUMN, WORKSPACE_COLUMN, ident};
use crate::Error;

/// The declaration of one table: whose its rows are.
///
/// A name without a schema is one of `public`. The columns are `org_id` and `workspace_id` unless others
/// are named.
///
/// # Examples
///
/// ```
/// use cupel_tenant_db::{Table, TableKind};
///
/// let tables = [
///     Table::org("customers").org_column("id"),
///     Table::org("pipelines"),
///     Table::workspace("pipeline_runs").workspace_column("team_id").child_of("pipelines"),
///     Table::shared("component_libraries"),
///     Table::global("plans"),
/// ];
/// assert_eq!(tables[2].kind(), TableKind::Workspace);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    name: String,
    kind: TableKind,
    org_column: String,
    workspace_column: String,
    parent: Option<String>,
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
    /// A workspace's, by `workspace_id`, or the organization's own; never NULL. A narrowed scope reads its own
    /// and the organization's, and writes its own. One that is not narrowed reads and writes the organization's
    /// alone, so that every scope is served by one index condition on `(org_id, workspace_id)`.
    ///
    /// The organization's rows have `cupel.shared_workspace()` in the column, which is no workspace's id: `-`,
    /// or the nil UUID where columns are UUIDs.
    Separate,
}

impl TableKind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Global, Self::Org, Self::Shared, Self::Workspace, Self::Separate];

    /// Whether there is a column that names the workspace of a row.
    pub(crate) fn has_workspaces(self) -> bool {
        matches!(self, Self::Workspace | Self::Separate)
    }

    /// Returns the kind as text: its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Org => "org",
            Self::Shared => "shared",
            Self::Workspace => "workspace",
            Self::Separate => "separate",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Table {
    pub(crate) fn of_kind(name: &str, kind: TableKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            org_column: ORG_COLUMN.to_owned(),
            workspace_column: WORKSPACE_COLUMN.to_owned(),
            parent: None,
        }
    }

    /// A table whose rows belong to organizations.
    pub fn org(name: &str) -> Self {
        Self::of_kind(name, TableKind::Org)
    }

    /// A table whose rows belong to workspaces of organizations, or are shared by them.
    pub fn workspace(name: &str) -> Self {
        Self::of_kind(name, TableKind::Workspace)
    }

    /// A table whose rows belong to workspaces of organizations, or to organizations apart from them.
    pub fn separate(name: &str) -> Self {
        Self::of_kind(name, TableKind::Separate)
    }

    /// A table whose rows organizations share with their workspaces.
    pub fn shared(name: &str) -> Self {
        Self::of_kind(name, TableKind::Shared)
    }

    /// A table that is the same for everybody, such as a list of plans.
    pub fn global(name: &str) -> Self {
        Self::of_kind(name, TableKind::Global)
    }

    /// The column that names the organization of a row: `org_id` unless told. In the table of the
    /// organizations themselves it is their own id.
    #[must_use = "the declaration is the returned one"]
    pub fn org_column(self, column: &str) -> Self {
        Self { org_column: column.to_owned(), ..self }
    }

    /// The column that names the workspace of a row: `workspace_id` unless told.
    #[must_use = "the declaration is the returned one"]
    pub fn workspace_column(self, column: &str) -> Self {
        Self { workspace_column: column.to_owned(), ..self }
    }

    /// The table that its rows belong to, by a foreign key: a row is of the organization that its parent's
    /// row is of.
    ///
    /// A table that has no column for the organization yet gets one in the [adoption](crate::Adoption),
    /// filled from there.
    #[must_use = "the declaration is the returned one"]
    pub fn child_of(self, parent: &str) -> Self {
        Self { parent: Some(parent.to_owned()), ..self }
    }

    /// Returns the name, as it was declared.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whose its rows are.
    pub fn kind(&self) -> TableKind {
        self.kind
    }

    /// Reads the names.
    pub(crate) fn parsed(&self) -> Result<Declared, Error> {
        let fits = |column: &String| (1..=63).contains(&column.len()) && !column.contains('\0');
        if !fits(&self.org_column)
            || !fits(&self.workspace_column)
            || self.org_column == self.workspace_column
        {
            return Err(Error::InvalidColumnName);
        }
        Ok(Declared {
            name: TableName::parse(&self.name)?,
            kind: self.kind,
            org_column: self.org_column.clone(),
            workspace_column: self.workspace_column.clone(),
            parent: self.parent.as_deref().map(TableName::parse).transpose()?,
        })
    }
}

/// A declaration whose names are read.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) name: TableName,
    pub(crate) kind: TableKind,
    pub(crate) org_column: String,
    pub(crate) workspace_column: String,
    pub(crate) parent: Option<TableName>,
}

impl Declared {
    pub(crate) fn is_of_orgs(&self) -> bool {
        self.kind != TableKind::Global
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
        let parsed = |text| Table::org(text).parsed().map(|it| it.name.quoted());
        assert_eq!(parsed("runs").unwrap(), r#""public"."runs""#);
        assert_eq!(parsed("a.runs").unwrap(), r#""a"."runs""#);
        assert_eq!(parsed(r#"r"s"#).unwrap(), r#""public"."r""s""#);
        for refused in ["", ".", "a.", ".b", "a.b.c", "a\0", &"x".repeat(64)] {
            assert!(matches!(parsed(refused), Err(Error::InvalidTableName)), "{refused:?}");
        }
    }
    #[test]
    fn a_column_has_a_name_of_its_own() {
        let table = || Table::workspace("runs");
        for refused in [
            table().org_column(""),
            table().workspace_column(&"x".repeat(64)),
            table().org_column("a\0"),
            table().org_column("workspace_id"),
        ] {
            assert!(matches!(refused.parsed(), Err(Error::InvalidColumnName)), "{refused:?}");
        }
    }
}
