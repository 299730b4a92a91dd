use cupel_tenant::TenantScope;
use sqlx::SqlStr;
use sqlx::{AssertSqlSafe, SqlSafeStr};

use crate::Error;

/// How a transaction tells the server whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextMode {
    /// A transaction-local setting that the policies read.
    #[default]
    Plain,
    /// The setting counts only with a proof bound to backend, organization and time. Not built yet.
    Sealed,
    /// Sealed once per transaction, in a setting that the role cannot write. Not built yet.
    Register,
}

impl ContextMode {
    /// Returns the mode as text: its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Sealed => "sealed",
            Self::Register => "register",
        }
    }

    pub(crate) fn check(self) -> Result<(), Error> {
        match self {
            Self::Plain => Ok(()),
            mode @ (Self::Sealed | Self::Register) => {
                Err(Error::ContextModeNotBuilt { mode: mode.as_str() })
            }
        }
    }
}

/// The type of the columns that name organizations and workspaces, the same in the whole database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColumnType {
    /// `text COLLATE "C"`: any id.
    #[default]
    Text,
    /// `uuid`: only ids that are UUIDs.
    Uuid,
}

impl ColumnType {
    /// Returns the name of the type on the server.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Uuid => "uuid",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Text, Self::Uuid].into_iter().find(|it| it.as_str() == text)
    }

    /// Refuses a slug where the columns are UUIDs: the server would answer every statement of the
    /// transaction with an error about a cast.
    pub(crate) fn check(self, scope: &TenantScope) -> Result<(), Error> {
        if self == Self::Text {
            return Ok(());
        }
        if scope.org_id().as_uuid().is_none() {
            return Err(Error::SlugOnUuid { what: "organizations" });
        }
        match scope.workspace_id() {
            Some(workspace) if workspace.as_uuid().is_none() => {
                Err(Error::SlugOnUuid { what: "workspaces" })
            }
            _ => Ok(()),
        }
    }
}

/// The statements that open a tenant's transaction, sent as one message.
///
/// `SET` takes no parameters, so the ids become text. They can: both grammars are `a-z 0-9 -`, which
/// leaves nothing to quote. The last statement asks the registry for the organization's state, so that
/// a suspended one is refused without a round trip of its own.
pub(crate) fn opening(scope: &TenantScope) -> SqlStr {
    let mut sql = format!("BEGIN; SET LOCAL app.current_org_id = '{}'; ", scope.org_id());
    // A session that is clean has no workspace set, and no other session is borrowed.
    if let Some(workspace) = scope.workspace_id() {
        sql += &format!("SET LOCAL app.current_workspace_id = '{workspace}'; ");
    }
    sql += "SELECT cupel.org_state()";
    AssertSqlSafe(sql).into_sql_str()
}

/// The statements that commit a transaction, sent as one message.
///
/// In a failed transaction PostgreSQL answers `COMMIT` with the tag `ROLLBACK` and no error, and sqlx
/// does not read the tag. `SAVEPOINT` does fail there (25P02), and also where a statement has already
/// ended the transaction (25P01), and then `COMMIT` is not reached.
pub(crate) const COMMIT: &str = "SAVEPOINT cupel_commit; COMMIT";

/// Asks whether a session holds anything that outlives its transactions.
pub(crate) const IS_CLEAN: &str = "SELECT cupel.session_is_clean()";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opening_names_the_scope() {
        let scope = TenantScope::org("acme".parse().unwrap());
        assert_eq!(
            opening(&scope).as_str(),
            "BEGIN; SET LOCAL app.current_org_id = 'acme'; SELECT cupel.org_state()"
        );
        let narrow = scope.narrow_to("eu-1".parse().unwrap()).unwrap();
        assert!(opening(&narrow).as_str().contains("current_workspace_id = 'eu-1'"));
    }

    #[test]
    fn a_slug_does_not_reach_a_uuid_database() {
        let slug = TenantScope::org("acme".parse().unwrap());
        assert!(ColumnType::Text.check(&slug).is_ok());
        assert!(matches!(ColumnType::Uuid.check(&slug), Err(Error::SlugOnUuid { .. })));
        let uuid = TenantScope::org("0192d4c6-5b1a-7c3e-9f00-0123456789ab".parse().unwrap());
        assert!(ColumnType::Uuid.check(&uuid).is_ok());
        let narrow = uuid.narrow_to("eu".parse().unwrap()).unwrap();
        assert!(matches!(ColumnType::Uuid.check(&narrow), Err(Error::SlugOnUuid { .. })));
    }

    /// Returns the ids that an opening names: what stands between its quotes.
    fn named(opening: &SqlStr) -> Vec<String> {
        opening.as_str().split('\'').skip(1).step_by(2).map(str::to_owned).collect()
    }

    proptest::proptest! {
        #[test]
        fn an_opening_reads_back_as_the_scope_it_was_made_for(
            org in "[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?",
            workspace in proptest::option::of("[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?"),
        ) {
            let Ok(id) = org.parse() else { return Ok(()) };
            let mut scope = TenantScope::org(id);
            if let Some(workspace) = workspace.as_ref().and_then(|text| text.parse().ok()) {
                scope = scope.narrow_to(workspace).unwrap();
            }
            let mut ids = vec![org];
            ids.extend(scope.workspace_id().map(ToString::to_string));
            proptest::prop_assert_eq!(named(&opening(&scope)), ids);
        }
    }
}
