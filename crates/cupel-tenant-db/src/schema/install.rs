use super::{Purpose, grant_schema, ident, literal};
use crate::{ColumnType, ContextMode, TableKind};

/// Everything in the schema `cupel`, and what the roles may do with it.
pub(crate) fn installation(whole: &Whole, app: &str, admin: Option<&str>) -> String {
    let mut sql = install(whole, app, admin);
    sql += &grant_schema(app, Purpose::App, app, whole.mode);
    if let Some(admin) = admin {
        sql += &grant_schema(admin, Purpose::Admin, app, whole.mode);
    }
    sql
}

/// Everything in the schema `cupel`, idempotent.
///
/// The registry is read by a SECURITY DEFINER function that takes no argument: a role learns the state
/// of the organization that it acts for and of no other. Operators are named in full where the function
/// runs as its owner, so that no search path decides what `=` means.
fn install(whole: &Whole, app: &str, admin: Option<&str>) -> String {
    let Whole { column_type, mode, strict } = *whole;
    format!(
        r#"CREATE SCHEMA IF NOT EXISTS cupel;
REVOKE ALL ON SCHEMA cupel FROM PUBLIC;
CREATE OR REPLACE FUNCTION cupel.is_admin() RETURNS boolean
  LANGUAGE sql STABLE
  AS $$ SELECT coalesce(session_user OPERATOR(pg_catalog.=) {admin}::pg_catalog.name, false) $$;
{context}
CREATE TABLE IF NOT EXISTS cupel.organizations (
  org_id text COLLATE "C" PRIMARY KEY CHECK (org_id ~ '^[a-z0-9]([a-z0-9-]{{0,51}}[a-z0-9])?$'),
  tier text NOT NULL,
  state text NOT NULL
    CHECK (state IN ('onboarding', 'active', 'suspended', 'offboarding', 'erased')),
  created timestamptz NOT NULL DEFAULT now()
);
{access_log}CREATE TABLE IF NOT EXISTS cupel.tenant_tables (
  schema_name name NOT NULL,
  table_name name NOT NULL,
  kind text NOT NULL,
  definition text NOT NULL,
  policies text NOT NULL,
  PRIMARY KEY (schema_name, table_name)
);
ALTER TABLE cupel.tenant_tables ADD COLUMN IF NOT EXISTS org_column name NOT NULL DEFAULT '{org}',
  ADD COLUMN IF NOT EXISTS workspace_column name NOT NULL DEFAULT '{workspace}',
  DROP CONSTRAINT IF EXISTS tenant_tables_kind_check,
  ADD CONSTRAINT tenant_tables_kind_check CHECK (kind IN ({kinds}));

CREATE TABLE IF NOT EXISTS cupel.refusals (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  count bigint NOT NULL DEFAULT 0
);
INSERT INTO cupel.refusals DEFAULT VALUES ON CONFLICT DO NOTHING;
COMMENT ON TABLE cupel.refusals IS 'how often an organization was refused: while it stays, who was let in may be let in again';
CREATE OR REPLACE FUNCTION cupel.count_refusal() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ BEGIN UPDATE cupel.refusals SET count = count + 1; RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER count_refusal AFTER INSERT OR UPDATE OF state ON cupel.organizations
  FOR EACH ROW WHEN ((new.state <> ALL (ARRAY['onboarding'::text, 'active'::text])))
  EXECUTE FUNCTION cupel.count_refusal();
CREATE OR REPLACE FUNCTION cupel.org_state() RETURNS text
  LANGUAGE plpgsql STABLE SECURITY DEFINER
  AS $$ BEGIN
    RETURN (SELECT pg_catalog.concat((SELECT o.state FROM cupel.organizations o
        WHERE o.org_id OPERATOR(pg_catalog.=) (cupel.current_org_id()::text COLLATE "C")),
      '@', r.count) FROM cupel.refusals r);
  END $$;
CREATE OR REPLACE FUNCTION cupel.session_is_clean() RETURNS boolean
  LANGUAGE plpgsql STABLE
  AS $$ BEGIN
    RETURN pg_catalog.now() = pg_catalog.statement_timestamp()
      AND pg_catalog.pg_my_temp_schema() = 0
      AND pg_catalog.current_setting('role') = 'none'
      AND coalesce(pg_catalog.current_setting('app.current_org_id', true), '') = ''
      AND coalesce(pg_catalog.current_setting('app.current_workspace_id', true), '') = ''
      AND coalesce(pg_catalog.current_setting('app.current_seal', true), '') = ''
      AND NOT pg_catalog.starts_with(pg_catalog.current_setting('backtrace_functions'), 'cupel_')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_statement() p WHERE p.from_sql)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_cursor())
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_listening_channels())
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l
        WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'advisory');
  END $$;
DROP FUNCTION IF EXISTS cupel.settings();
CREATE FUNCTION cupel.settings()
  RETURNS TABLE (column_type text, app_role text, admin_role text, context text)
  LANGUAGE sql STABLE
  AS $$ SELECT '{kind}'::text, {app}::text, {admin}::text, '{mode}'::text $$;
CREATE OR REPLACE FUNCTION cupel.policies_of(relation oid) RETURNS text
  LANGUAGE sql STABLE
  AS $$ SELECT coalesce(pg_catalog.string_agg(pg_catalog.concat_ws(' | ', p.polname, p.polcmd,
      p.polpermissive, ARRAY(SELECT r::pg_catalog.regrole::text FROM unnest(p.polroles) r ORDER BY 1),
      pg_catalog.pg_get_expr(p.polqual, p.polrelid),
      pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)), E'\n' ORDER BY p.polname), '')
    FROM pg_catalog.pg_policy p WHERE p.polrelid = relation AND p.polname LIKE 'cupel\_%' $$;

REVOKE ALL ON ALL TABLES IN SCHEMA cupel FROM {all};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA cupel FROM {all};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA cupel FROM {all};
"#,
        all = with_public(app, admin),
        org = super::ORG_COLUMN,
        workspace = super::WORKSPACE_COLUMN,
        kinds = TableKind::ALL.map(|kind| format!("'{}'", kind.as_str())).join(", "),
        kind = column_type.as_str(),
        mode = mode.as_str(),
        context = super::context(mode, column_type, strict),
        access_log = super::ACCESS_LOG,
        app = literal(app),
        admin = admin.map_or_else(|| "NULL".to_owned(), literal),
    )
}

/// PUBLIC and the roles: each may have been given rights, by default, on whatever the owner makes.
fn with_public(app: &str, admin: Option<&str>) -> String {
    let roles = std::iter::once(app).chain(admin).map(ident);
    std::iter::once("PUBLIC".to_owned()).chain(roles).collect::<Vec<_>>().join(", ")
}

/// What a migration declares of the whole database.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whole {
    pub(crate) column_type: ColumnType,
    pub(crate) mode: ContextMode,
    /// Whether a policy that is read without a context raises an error.
    pub(crate) strict: bool,
}

/// Takes from PUBLIC what row-level security does not cover.
///
/// TEMP: a temporary table outlives the transaction, and shadows a real one for the next borrower.
/// CREATE: an object of the application's own is a place for a trigger or a function that runs as
/// somebody else. `set_config`: it changes the context inside a SELECT, so that one injected expression
/// would switch organizations; SET LOCAL, which `begin` uses, is a statement of its own.
///
/// Where contexts are sealed, also the statements of other sessions: a seal stands in them. Who monitors
/// keeps the sight of them.
pub(crate) fn hardening(owner: Option<&str>, admin: Option<&str>, sealed: bool) -> String {
    let activity = if sealed { activity(admin) } else { String::new() };
    let keep = owner.map_or_else(String::new, |owner| {
        format!(
            "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO {};\n",
            ident(owner)
        )
    });
    format!(
        "DO $cupel$ BEGIN
  EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $cupel$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
{keep}{activity}"
    )
}

/// Takes the sight of other sessions' statements from PUBLIC.
fn activity(admin: Option<&str>) -> String {
    let admin = admin.map_or_else(String::new, |admin| format!(", {}", ident(admin)));
    format!(
        "REVOKE EXECUTE ON FUNCTION {ACTIVITY} FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {ACTIVITY} TO pg_read_all_stats{admin};\n"
    )
}

/// The functions that show what other sessions of the same role run.
const ACTIVITY: &str =
    "pg_catalog.pg_stat_get_activity(integer), pg_catalog.pg_stat_get_backend_activity(integer)";
