//! What stands around the declared tables: their children, the views that read them, and what the next table
//! will be granted.

use super::{Declared, TableName, ident, literal};

/// The partitions and children of a table, at any depth, as `c`.
const BELOW: &str = "WITH RECURSIVE below(oid) AS (
    SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = {table}::pg_catalog.regclass
    UNION SELECT i.inhrelid FROM below b JOIN pg_catalog.pg_inherits i ON i.inhparent = b.oid)";

/// Closes partitions and children to whoever does not come through their parent: its policies do not bind a
/// query that names them.
pub(crate) fn close_children(declared: &Declared, app: &str) -> String {
    if !declared.is_of_orgs() {
        return String::new();
    }
    let below = BELOW.replace("{table}", &literal(&declared.name.quoted()));
    let app = ident(app).replace('\'', "''").replace('%', "%%");
    format!(
        "DO $cupel$ DECLARE c pg_catalog.regclass; BEGIN
  FOR c IN {below}
    SELECT b.oid FROM below b JOIN pg_catalog.pg_class c USING (oid) WHERE c.relkind IN ('r', 'p')
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM PUBLIC, {app}', c);
    EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', c);
    EXECUTE pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', c);
  END LOOP;
END $cupel$;\n"
    )
}

/// Asks whether they are closed to the role `$1`.
pub(crate) fn children_are_closed(name: &TableName) -> String {
    format!(
        "{below} SELECT NOT EXISTS (SELECT FROM below b JOIN pg_catalog.pg_class c USING (oid)
           WHERE c.relkind IN ('r', 'p') AND NOT (c.relrowsecurity AND c.relforcerowsecurity
             AND NOT has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
             AND NOT has_table_privilege($1, c.oid, 'DELETE, TRUNCATE, TRIGGER')))",
        below = BELOW.replace("{table}", &literal(&name.quoted()))
    )
}

/// Where the declared tables of organizations are remembered.
const DECLARED: &str =
    "SELECT schema_name, table_name FROM cupel.tenant_tables WHERE kind <> 'global'";

/// The views that the application reads, by itself or through another, and that read a table of
/// organizations: as `ours(oid)`, beside what each view reads.
fn views(app: &str, declared: &str) -> String {
    format!(
        "WITH RECURSIVE
    reads(view, relation) AS (
      SELECT DISTINCT r.ev_class, d.refobjid FROM pg_catalog.pg_rewrite r
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
        AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      WHERE r.ev_type = '1' AND d.refobjid <> r.ev_class),
    tenants(oid) AS (
      SELECT c.oid FROM ({declared}) t(schema_name, table_name)
      JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema_name
      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.table_name
      UNION SELECT r.view FROM tenants t JOIN reads r ON r.relation = t.oid),
    asked(oid) AS (
      SELECT c.oid FROM pg_catalog.pg_class c
      WHERE c.relkind = 'v' AND c.oid IN (SELECT view FROM reads)
        AND has_any_column_privilege({app}, c.oid, 'SELECT, INSERT, UPDATE')
      UNION SELECT r.relation FROM asked a JOIN reads r ON r.view = a.oid),
    ours(oid) AS (
      SELECT c.oid FROM pg_catalog.pg_class c
      WHERE c.relkind = 'v' AND c.oid IN (SELECT oid FROM tenants) AND c.oid IN (SELECT oid FROM asked))",
        app = literal(app)
    )
}

/// Asks for those of them that read with their owner's rights.
pub(crate) fn owners_views(app: &str) -> String {
    format!(
        "{}
  SELECT c.oid::pg_catalog.regclass AS view FROM ours JOIN pg_catalog.pg_class c USING (oid)
  WHERE NOT coalesce((SELECT bool_or(o.option_value::boolean)
    FROM pg_catalog.pg_options_to_table(c.reloptions) o WHERE o.option_name = 'security_invoker'), false)",
        views(app, DECLARED)
    )
}

/// Has them read with the rights of whoever asks. A view that only another reads is read by the application
/// then.
pub(crate) fn invokers(app: &str) -> String {
    format!(
        "DO $cupel$ DECLARE v pg_catalog.regclass; BEGIN
  FOR v IN {}
  LOOP
    EXECUTE pg_catalog.format('ALTER VIEW %s SET (security_invoker = true)', v);
    EXECUTE pg_catalog.format('GRANT SELECT ON %s TO {}', v);
  END LOOP;
END $cupel$;\n",
        owners_views(app),
        ident(app).replace('\'', "''").replace('%', "%%")
    )
}

/// Asks for a view that the application could not read any more with its own rights, and for what it reads:
/// neither one of the declared tables nor readable by the application.
pub(crate) fn lost_views(app: &str, declared: &[&Declared]) -> String {
    let pair = |it: &Declared| {
        format!("({}::name, {}::name)", literal(&it.name.schema), literal(&it.name.table))
    };
    let of_orgs: Vec<String> =
        declared.iter().filter(|it| it.is_of_orgs()).map(|it| pair(it)).collect();
    let all: Vec<String> = declared.iter().map(|it| pair(it)).collect();
    let values = |list: &[String]| match list {
        [] => "SELECT NULL::name, NULL::name WHERE false".to_owned(),
        list => format!("VALUES {}", list.join(", ")),
    };
    format!(
        "{}
  SELECT v.relname::text, pg_catalog.concat(n.nspname, '.', c.relname) FROM ours JOIN reads r ON r.view = ours.oid
  JOIN pg_catalog.pg_class v ON v.oid = ours.oid
  JOIN pg_catalog.pg_class c ON c.oid = r.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid NOT IN (SELECT oid FROM ours) AND (n.nspname, c.relname) NOT IN ({})
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND NOT has_any_column_privilege({}, c.oid, 'SELECT') ORDER BY 1, 2 LIMIT 1",
        views(app, &values(&of_orgs)),
        values(&all),
        literal(app)
    )
}

/// Asks for what the application will be granted on tables that are still to be made, as far as the owner
/// may change it.
pub(crate) fn given_by_default(app: &str) -> String {
    format!(
        "SELECT DISTINCT d.defaclrole::pg_catalog.regrole AS maker, n.nspname AS in_schema,
      CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::pg_catalog.regrole::text END AS grantee
    FROM pg_catalog.pg_default_acl d
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace,
      pg_catalog.aclexplode(d.defaclacl) a
    WHERE d.defaclobjtype = 'r' AND pg_has_role(d.defaclrole, 'USAGE')
      AND (a.grantee = 0 OR a.grantee = pg_catalog.to_regrole({app})::oid)",
        app = literal(&ident(app))
    )
}

/// A table that nobody has declared is not to be reached: it would not be isolated either.
pub(crate) fn give_nothing(app: &str) -> String {
    format!(
        "DO $cupel$ DECLARE g record; BEGIN
  FOR g IN {}
  LOOP EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %s %s REVOKE ALL ON TABLES FROM %s', g.maker,
    CASE WHEN g.in_schema IS NULL THEN '' ELSE pg_catalog.format('IN SCHEMA %I', g.in_schema) END, g.grantee);
  END LOOP;
END $cupel$;\n",
        given_by_default(app)
    )
}
