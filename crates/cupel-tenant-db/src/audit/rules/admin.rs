//! What the admin role is, and what it can be made to run.

use cupel_tenant::Severity;
use sqlx::PgConnection;

use super::{Place, Rule, sql};
use crate::audit::facts::{Facts, Role, quoted};

static POWERFUL: Rule = Rule {
    id: "A1",
    severity: Severity::Medium,
    phase: 1,
    problem: "the admin role is more than exempt from row security",
    allows: "a mistake in administration to change roles or the server, and not only rows",
};

static PATH: Rule = Rule {
    id: "A2",
    severity: Severity::High,
    phase: 1,
    problem: "the admin role looks for what it names in a schema in which the application's role may create",
    allows: "a table, view or function of the application's to stand in for another, and to run as the admin role",
};

static UNKNOWN_PATH: Rule = Rule {
    id: "A3",
    severity: Severity::Low,
    phase: 1,
    problem: "the admin role's search path is the server's, which whoever asks may not know: the asking session has one of its own",
    allows: "what A2 says, if a schema on it is open to the application",
};

/// What the admin role should not be.
pub(super) fn find(facts: &Facts, admin: Option<&str>) -> Vec<Place> {
    let too_much = |it: &&Role| it.superuser || it.create_role || it.replication;
    let admin = admin.and_then(|name| facts.roles.named(name)).filter(too_much);
    let place = |it: &Role| {
        let fix = format!("ALTER ROLE {} NOSUPERUSER NOCREATEROLE NOREPLICATION", quoted(&it.name));
        POWERFUL.at(&it.name, sql(fix))
    };
    admin.map(place).into_iter().collect()
}

/// The search path that sessions begin with where neither their role nor the database has one: what the server
/// was configured with. `source` is where this session's own comes from.
///
/// It hides behind a path that this session has to itself. The files can still be read then, by whoever may; what
/// the server's command line says comes before them, and stands in a file for superusers.
async fn configured(conn: &mut PgConnection, source: &str) -> Result<Option<String>, sqlx::Error> {
    const SHOWN: [&str; 4] =
        ["default", "environment variable", "configuration file", "command line"];
    if SHOWN.contains(&source) {
        let shown = "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'search_path'";
        return sqlx::query_scalar(shown).fetch_one(conn).await;
    }
    let readable: bool = sqlx::query_scalar(
        "SELECT has_function_privilege('pg_show_all_file_settings()', 'EXECUTE')
           AND has_function_privilege('pg_read_file(text, bigint, bigint, boolean)', 'EXECUTE')",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !readable {
        return Ok(None);
    }
    let path: Option<Option<String>> = sqlx::query_scalar(
        "SELECT coalesce((SELECT f.setting FROM pg_show_all_file_settings() f
             WHERE f.name = 'search_path' AND f.applied ORDER BY f.seqno DESC LIMIT 1), s.boot_val)
         FROM pg_catalog.pg_settings s WHERE s.name = 'search_path'
           AND strpos(pg_read_file('postmaster.opts', 0, 1000000, true), 'search_path') = 0",
    )
    .fetch_optional(conn)
    .await?;
    Ok(path.flatten())
}

/// Whether the application can put something on the search path that the admin role's sessions begin with.
pub(super) async fn path(
    conn: &mut PgConnection,
    facts: &Facts,
    admin: Option<&str>,
    source: &str,
) -> Result<Option<Place>, sqlx::Error> {
    let Some(admin) = admin.and_then(|name| facts.roles.named(name)) else { return Ok(None) };
    let configured = configured(conn, source).await?;
    // Where it is not known, the schemas to pin are those of the default.
    let (known, open, closed, database): (bool, Option<String>, Option<String>, String) = sqlx::query_as(
        "WITH presets AS (
           SELECT d.setrole, d.setdatabase, substr(s.text, 13) AS path
           FROM pg_catalog.pg_db_role_setting d CROSS JOIN LATERAL unnest(d.setconfig) s(text)
           WHERE s.text LIKE 'search_path=%' AND (d.setdatabase = 0 OR d.setdatabase =
             (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
         ), path(text) AS (
           SELECT coalesce(
             (SELECT p.path FROM presets p WHERE p.setrole IN (0, $1::oid)
              ORDER BY p.setrole <> 0 DESC, p.setdatabase <> 0 DESC LIMIT 1), $4)
         ), entries AS (
           SELECT e.at, CASE btrim(e.name, ' \"') WHEN '$user' THEN $2 ELSE btrim(e.name, ' \"') END AS name
           FROM path, unnest(string_to_array(coalesce(path.text, '\"$user\", public'), ',')) WITH ORDINALITY e(name, at)
         ), judged AS (
           SELECT e.at, e.name, EXISTS (SELECT FROM unnest($3::int8[]::oid[]) r(role)
             WHERE CASE WHEN n.oid IS NULL THEN has_database_privilege(r.role, current_database(), 'CREATE')
               ELSE has_schema_privilege(r.role, n.oid, 'CREATE') END) AS open
           FROM entries e LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = e.name
           WHERE e.name NOT IN ('pg_catalog', 'pg_temp', '')
             AND (n.oid IS NULL OR has_schema_privilege($1::oid, n.oid, 'USAGE'))
         )
         SELECT (SELECT text IS NOT NULL FROM path), string_agg(name, ', ' ORDER BY at) FILTER (WHERE open),
           string_agg(quote_ident(name), ', ' ORDER BY at) FILTER (WHERE NOT open),
           quote_ident(current_database())
         FROM judged",
    )
    .bind(admin.oid)
    .bind(&admin.name)
    .bind(facts.roles.acting())
    .bind(configured)
    .fetch_one(conn)
    .await?;
    let closed = closed.map_or_else(String::new, |it| format!(", {it}"));
    let fix = sql(format!(
        "ALTER ROLE {} IN DATABASE {database} SET search_path = pg_catalog{closed}",
        quoted(&admin.name)
    ));
    if known {
        return Ok(open.map(|open| PATH.at(&admin.name, fix).noting(open)));
    }
    // Where the application can make nothing, no path leads to anything of its own.
    Ok(facts.makes.objects.then(|| UNKNOWN_PATH.at(&admin.name, fix)))
}
