//! Which tables belong to organizations, and the SQL that keeps them apart.

mod access_log;
mod context;
mod grants;
mod install;
mod policies;
mod recorded;
mod roles;
mod routines;
mod shadow;
mod surroundings;
mod table;
mod triggers;

pub(crate) use access_log::ACCESS_LOG;
pub(crate) use context::{GUARD, context, shared};
pub(crate) use grants::{Grant, grants};
pub(crate) use install::{Whole, hardening, installation};
pub(crate) use policies::{definition, isolate, policies, policies_of, record};
pub(crate) use recorded::Recorded;
pub(crate) use roles::{Purpose, correct_role, create_role, grant_schema};
pub(crate) use routines::{Made, Routine, deciding, routines};
pub(crate) use shadow::{SHADOWLESS, SHADOWS, cast_shadow, counts, forget, lift_shadow, shadows};
pub(crate) use surroundings::{
    children_are_closed, give_nothing, given_by_default, invokers, lost_views, owners_views,
};
pub(crate) use table::{Declared, TableName};
pub use table::{Table, TableKind};
pub(crate) use triggers::{MadeTrigger, triggers};

/// What is ours: what a migration makes, and what an adoption makes for as long as it takes.
pub(crate) const SCHEMAS: [&str; 2] = ["cupel", "cupel_shadow"];

/// The column that names the organization of a row.
pub const ORG_COLUMN: &str = "org_id";

/// The column that names the workspace of a row; NULL where the organization shares it.
pub const WORKSPACE_COLUMN: &str = "workspace_id";

/// The type of the columns that name organizations and workspaces, as a column is declared with.
pub(crate) fn column_of(column_type: crate::ColumnType) -> &'static str {
    match column_type {
        crate::ColumnType::Text => "text COLLATE \"C\"",
        crate::ColumnType::Uuid => "uuid",
    }
}

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
