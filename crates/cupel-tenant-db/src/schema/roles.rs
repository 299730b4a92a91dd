use super::{ident, literal};

/// What a role is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Admin,
    App,
}

impl Purpose {
    /// The attributes of the role, in full: what is not said would be left as somebody made it.
    fn attributes(self) -> &'static str {
        match self {
            // INHERIT changes nothing for a role that is a member of nothing.
            Self::App => "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
            Self::Admin => "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS",
        }
    }
}

/// Creates the role or corrects its attributes. Changes nothing where they are as wanted.
pub(crate) fn create_role(role: &str, purpose: Purpose) -> String {
    let attributes = purpose.attributes();
    let bypass = purpose == Purpose::Admin;
    format!(
        "DO $cupel$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN
    CREATE ROLE {role} {attributes};
  ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name} AND (NOT rolcanlogin
      OR rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls <> {bypass})) THEN
    ALTER ROLE {role} {attributes};
  END IF;
END $cupel$;
",
        name = literal(role),
        role = ident(role),
    )
}

/// Lets the role use what the migration made.
///
/// The admin role becomes a member of the application's, never the other way round: that is how an
/// admin transaction for named organizations gives up its exemption.
pub(crate) fn grant_schema(role: &str, purpose: Purpose, app: &str) -> String {
    let role = ident(role);
    let mut sql = format!(
        "GRANT USAGE ON SCHEMA cupel TO {role};
GRANT EXECUTE ON FUNCTION cupel.current_org_id(), cupel.current_workspace_id(), cupel.org_state(),
  cupel.session_is_clean(), cupel.settings(), cupel.policies_of(oid) TO {role};
GRANT SELECT ON cupel.tenant_tables TO {role};
"
    );
    if purpose == Purpose::Admin {
        sql += &format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON cupel.organizations TO {role};
GRANT SELECT, INSERT ON cupel.access_log TO {role};
GRANT {app} TO {role};
",
            app = ident(app),
        );
    }
    sql
}
