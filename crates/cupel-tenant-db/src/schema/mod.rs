//! Which tables belong to organizations, and the SQL that keeps them apart.

mod access_log;
mod context;
mod install;
mod policies;
mod roles;
mod table;

pub(crate) use access_log::ACCESS_LOG;
pub(crate) use context::{GUARD, context};
pub(crate) use install::{Declared, hardening, install};
pub(crate) use policies::{isolate, policies_of};
pub(crate) use roles::{Purpose, correct_role, create_role, grant_schema};
pub(crate) use table::TableName;
pub use table::{Table, TableKind};

/// The column that names the organization of a row.
pub const ORG_COLUMN: &str = "org_id";

/// The column that names the workspace of a row; NULL where the organization shares it.
pub const WORKSPACE_COLUMN: &str = "workspace_id";

/// Quotes a name for SQL.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text for SQL, in the form that no setting reads differently.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_would_end_a_name_or_a_text() {
        assert_eq!(ident(r#"a"; DROP"#), r#""a""; DROP""#);
        assert_eq!(literal(r"it's \"), r"E'it''s \\'");
    }
}
