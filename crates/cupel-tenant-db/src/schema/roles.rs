use super::{ident, literal};
use crate::ContextMode;

/// What a role is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Admin,
    App,
    Guard,
}

impl Purpose {
    /// Its name; for those that log in, whose URL it is.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::App => "app",
            Self::Guard => "guard",
        }
    }

    /// The attributes of the role, in full.
    fn attributes(self) -> &'static str {
        match self {
            // INHERIT changes nothing for a role that is a member of nothing.
            Self::App => "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
            Self::Admin => "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS",
            Self::Guard => "NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
        }
    }

    /// What a role without those that it needs cannot do.
    pub(crate) fn lacks(self) -> &'static str {
        match self {
            Self::App => "cannot log in (NOLOGIN)",
            Self::Guard => "can log in (LOGIN)",
            Self::Admin => "cannot log in or is bound by row-level security (NOLOGIN, NOBYPASSRLS)",
        }
    }
}

/// Creates the role if there is none. One that exists is never changed: it is refused if it is unfit.
pub(crate) fn create_role(role: &str, purpose: Purpose) -> String {
    format!(
        "DO $cupel$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN
    CREATE ROLE {role} {attributes};
  ELSIF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name} AND (rolcanlogin <> {login}
      OR rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls <> {bypass})) THEN
    RAISE EXCEPTION 'the role % exists and is not as it must be', {name}
      USING HINT = {hint};
  END IF;
END $cupel$;
",
        name = literal(role),
        role = ident(role),
        attributes = purpose.attributes(),
        bypass = purpose == Purpose::Admin,
        login = purpose != Purpose::Guard,
        hint = literal(&format!("{}, or name another role", correct_role(role, purpose))),
    )
}

/// The statement that gives a role its attributes: for somebody to run who knows why it is as it is.
pub(crate) fn correct_role(role: &str, purpose: Purpose) -> String {
    format!("ALTER ROLE {} {}", ident(role), purpose.attributes())
}

/// Lets the role use what the migration made.
///
/// The admin role becomes a member of the application's, never the other way round: that is how an
/// admin transaction for named organizations gives up its exemption.
pub(crate) fn grant_schema(role: &str, purpose: Purpose, app: &str, mode: ContextMode) -> String {
    let role = ident(role);
    let mut sql = format!(
        "GRANT USAGE ON SCHEMA cupel TO {role};
GRANT EXECUTE ON FUNCTION cupel.current_org_id(), cupel.current_workspace_id(), cupel.shared_workspace(),
  cupel.no_tenant(), cupel.org_state(), cupel.session_is_clean(), cupel.settings(), cupel.policies_of(oid) TO {role};
GRANT SELECT ON cupel.tenant_tables TO {role};
"
    );
    if mode == ContextMode::Register {
        sql += &format!(
            "GRANT EXECUTE ON PROCEDURE cupel.enter(text), cupel.bind(text), cupel.unbind() TO {role};\n"
        );
    }
    if purpose == Purpose::Admin {
        sql += &format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON cupel.organizations TO {role};
GRANT SELECT ON cupel.access_log TO {role};
GRANT EXECUTE ON FUNCTION cupel.access_digest(cupel.access_log), cupel.log_access(text, text, text,
  text, text, text[], bigint) TO {role};
GRANT {app} TO {role};
",
            app = ident(app),
        );
    }
    sql
}
