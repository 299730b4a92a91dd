use std::time::Duration;

use cupel_tenant::TenantScope;
use sqlx::SqlStr;
use sqlx::{AssertSqlSafe, SqlSafeStr};

use crate::seal::{LIFETIME, Place, Sealer};
use crate::{Error, TxOptions};

/// How a transaction tells the server whose it is. The policies are the same in every mode.
///
/// What SQL that an attacker got to run as the application's role can do:
///
/// | | plain | sealed | register |
/// |---|---|---|---|
/// | `set_config` inside a SELECT | refused | refused | refused |
/// | `SET LOCAL` of another organization, stacked | **switches** | no rows | no rows |
/// | the same in a `DO` block | **switches** | no rows | no rows |
/// | a seal seen elsewhere, of another backend | – | no rows, **switches** behind a pooler | refused, the same |
/// | an expired seal, or one of an unknown key | – | no rows | refused |
/// | another seal of this backend, while it is valid | – | **switches** | refused, **switches** once it has ended the transaction |
/// | `RESET ALL`, `ROLLBACK TO` | own rows or none | own rows or none | own rows or none |
///
/// A seal counts for ten seconds and in one backend, or behind a pooler, where no backend is ours, in every one. A
/// migration by a superuser hides the statements of other sessions, where it could be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContextMode {
    /// A transaction-local setting that the policies read: it trusts the SQL of the application.
    #[default]
    Plain,
    /// The setting counts only with a seal: a message authentication code over organization, workspace,
    /// backend and time, which the policies check in every statement. Needs no superuser.
    Sealed,
    /// The seal is checked once per transaction, and what was in it is kept in a setting that the
    /// application's role cannot write. PostgreSQL 15 and later; the migration needs a superuser.
    Register,
}

impl ContextMode {
    const ALL: [Self; 3] = [Self::Plain, Self::Sealed, Self::Register];

    /// Returns the mode as text: its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Sealed => "sealed",
            Self::Register => "register",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// What names the scope of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named {
    /// Its session, which is bound to it.
    BySession,
    /// Its session, once the opening has bound it.
    ByBinding,
    /// The transaction itself.
    InTransaction,
}

/// Asks for the state that the registry has of the organization which is named.
pub(crate) const ORG_STATE: &str = "SELECT cupel.org_state()";

/// How the transactions of one [`TenantDb`](crate::TenantDb) say whose they are.
#[derive(Debug)]
pub(crate) enum Context {
    Plain,
    Sealed(Sealer),
    Register(Sealer),
}

impl Context {
    pub(crate) fn mode(&self) -> ContextMode {
        match self {
            Self::Plain => ContextMode::Plain,
            Self::Sealed(_) => ContextMode::Sealed,
            Self::Register(_) => ContextMode::Register,
        }
    }

    /// Whether transactions too run on sessions that stay bound to whom they served last.
    ///
    /// Where no seal is to be made and opened, naming the scope costs so little that the session that came
    /// back last serves better.
    pub(crate) fn binds_transactions(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// The statements that open a tenant's transaction, sent as one message.
    ///
    /// With `ask`, they answer the state that the registry has of the organization, so that a suspended
    /// one is refused without a round trip of its own.
    pub(crate) fn opening(
        &self,
        scope: &TenantScope,
        options: TxOptions,
        place: Place,
        named: Named,
        ask: bool,
    ) -> Result<SqlStr, Error> {
        let begin = options.begin();
        let mut sql = match named {
            Named::InTransaction => format!("{begin}{}; ", self.enter(scope, place)?),
            Named::BySession => begin,
            // In a transaction of its own: a rollback would leave the session to whom it served before.
            Named::ByBinding => format!("BEGIN; {}; COMMIT; {begin}", self.bind(scope, place)?),
        };
        if ask {
            sql += ORG_STATE;
        }
        Ok(AssertSqlSafe(sql).into_sql_str())
    }

    /// The statements that bind a session to the scope: what it runs outside a transaction is the scope's.
    pub(crate) fn bind(&self, scope: &TenantScope, place: Place) -> Result<String, Error> {
        Ok(match self {
            Self::Plain => format!(
                "SET app.current_org_id = '{}'; SET app.current_workspace_id = '{}'",
                scope.org_id(),
                scope.workspace_id().map_or("", |it| it.as_str()),
            ),
            Self::Sealed(sealer) => {
                format!("SET app.current_seal = '{}'", sealer.seal(scope, place)?)
            }
            Self::Register(sealer) => {
                format!("CALL cupel.bind('{}')", sealer.seal(scope, place)?)
            }
        })
    }

    /// The statements that take a session away from whom it is bound to.
    pub(crate) fn unbind(&self) -> &'static str {
        match self {
            Self::Plain => "SET app.current_org_id = ''; SET app.current_workspace_id = ''",
            Self::Sealed(_) => "SET app.current_seal = ''",
            Self::Register(_) => "CALL cupel.unbind()",
        }
    }

    /// How long a binding counts.
    pub(crate) fn binds_for(&self) -> Duration {
        match self {
            // A setting stays. For as long as a connection lives, unless that was set to more.
            Self::Plain => Duration::from_secs(60 * 60),
            // A seal is opened by every statement, the last of which may be a while on its way.
            Self::Sealed(_) => LIFETIME / 2,
            // What is in a register stays there; but a key that is taken away must end what it opened.
            Self::Register(_) => LIFETIME,
        }
    }

    /// The statements that name the scope in an open transaction.
    ///
    /// `SET` takes no parameters, so ids and seals become text. They can: their alphabets leave nothing
    /// to quote.
    pub(crate) fn enter(&self, scope: &TenantScope, place: Place) -> Result<String, Error> {
        Ok(match self {
            Self::Plain => {
                let org = format!("SET LOCAL app.current_org_id = '{}'", scope.org_id());
                // A session that is clean has no workspace set, and no other session is borrowed.
                scope.workspace_id().map_or(org.clone(), |workspace| {
                    format!("{org}; SET LOCAL app.current_workspace_id = '{workspace}'")
                })
            }
            Self::Sealed(sealer) => {
                format!("SET LOCAL app.current_seal = '{}'", sealer.seal(scope, place)?)
            }
            Self::Register(sealer) => {
                format!("CALL cupel.enter('{}')", sealer.seal(scope, place)?)
            }
        })
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
    /// transaction with an error about a cast. Refuses the nil UUID as a workspace: it stands for none.
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
            Some(workspace) if workspace.as_uuid().is_some_and(|it| it.is_nil()) => {
                Err(Error::NilWorkspace)
            }
            _ => Ok(()),
        }
    }
}

/// The statements that commit a transaction which may have failed or ended, sent as one message.
///
/// In a failed transaction PostgreSQL answers `COMMIT` with the tag `ROLLBACK` and no error, and sqlx
/// does not read the tag. `SAVEPOINT` does fail there (25P02), and also where a statement has already
/// ended the transaction (25P01), and then `COMMIT` is not reached.
pub(crate) const CHECKED_COMMIT: &str = "SAVEPOINT cupel_commit; COMMIT";

/// Takes from a session what outlives its transactions, as far as a statement inside one can. `DISCARD ALL`
/// is more, and refused beside other statements.
macro_rules! clean_up {
    () => {
        "CLOSE ALL; DEALLOCATE ALL; UNLISTEN *; RESET ALL; RESET ROLE; \
         SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD SEQUENCES; DISCARD TEMP"
    };
}

/// Behind a pooler the backend is somebody else's as soon as a transaction is over, and nothing can be
/// asked of it. So prepared statements go with each transaction: the next client's have the same names.
pub(crate) const POOLED_COMMIT: &str = "DEALLOCATE ALL; COMMIT";

/// Rolls a transaction back, behind a pooler.
pub(crate) const POOLED_ROLLBACK: &str = "ROLLBACK; DEALLOCATE ALL";

/// Commits a transaction that may have left something, behind a pooler. What a commit would not undo goes
/// before it, so that it is gone even if the commit fails.
/// What is deferred to the commit goes first: its triggers act for the organization, which the cleaning
/// takes away.
pub(crate) const CLEANED_COMMIT: &str =
    concat!("SET CONSTRAINTS ALL IMMEDIATE; ", clean_up!(), "; SAVEPOINT cupel_commit; COMMIT");

/// Rolls such a transaction back.
pub(crate) const CLEANED_ROLLBACK: &str = concat!("ROLLBACK; ", clean_up!());

/// Takes its settings from a session, and asks whether it holds anything else that outlives its transactions.
///
/// Settings are not asked for: the server takes longer to list them than a transaction takes.
pub(crate) const IS_CLEAN: &str = "RESET ALL; SELECT cupel.session_is_clean()";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::shared;

    fn opening(scope: &TenantScope, ask: bool) -> SqlStr {
        let (options, named) = (TxOptions::new(), Named::InTransaction);
        Context::Plain.opening(scope, options, Place::Anywhere, named, ask).unwrap()
    }

    #[test]
    fn the_opening_names_the_scope() {
        let scope = TenantScope::org("acme".parse().unwrap());
        assert_eq!(
            opening(&scope, true).as_str(),
            "BEGIN; SET LOCAL app.current_org_id = 'acme'; SELECT cupel.org_state()"
        );
        let narrow = scope.narrow_to("eu-1".parse().unwrap()).unwrap();
        assert!(
            opening(&narrow, false)
                .as_str()
                .ends_with("SET LOCAL app.current_workspace_id = 'eu-1'; ")
        );
    }

    #[test]
    fn a_slug_does_not_reach_a_uuid_database() {
        let slug = TenantScope::org("acme".parse().unwrap());
        assert!(ColumnType::Text.check(&slug).is_ok());
        assert!(matches!(ColumnType::Uuid.check(&slug), Err(Error::SlugOnUuid { .. })));
        let uuid = TenantScope::org("0192d4c6-5b1a-7c3e-9f00-0123456789ab".parse().unwrap());
        assert!(ColumnType::Uuid.check(&uuid).is_ok());
        let narrow = uuid.clone().narrow_to("eu".parse().unwrap()).unwrap();
        assert!(matches!(ColumnType::Uuid.check(&narrow), Err(Error::SlugOnUuid { .. })));
        let nil = uuid.narrow_to(shared(ColumnType::Uuid).parse().unwrap()).unwrap();
        assert!(matches!(ColumnType::Uuid.check(&nil), Err(Error::NilWorkspace)));
        assert!(shared(ColumnType::Text).parse::<cupel_tenant::WorkspaceId>().is_err());
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
            proptest::prop_assert_eq!(named(&opening(&scope, true)), ids);
        }
    }
}
