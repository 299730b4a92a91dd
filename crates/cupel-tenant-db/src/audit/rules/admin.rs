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

/// Whether the application can put something on the search path that the admin role's sessions begin with.
///
/// Without a preset for the role or the database it is the server's, as far as this session shows it.
pub(super) async fn path(
    conn: &mut PgConnection,
    facts: &Facts,
    admin: Option<&str>,
) -> Result<Option<Place>, sqlx::Error> {
    let Some(admin) = admin.and_then(|name| facts.roles.named(name)) else { return Ok(None) };
    let row: Option<(Option<String>, Option<String>, String)> = sqlx::query_as(
        "WITH presets AS (
           SELECT d.setrole, d.setdatabase, substr(s.text, 13) AS path
           FROM pg_catalog.pg_db_role_setting d CROSS JOIN LATERAL unnest(d.setconfig) s(text)
           WHERE s.text LIKE 'search_path=%' AND (d.setdatabase = 0 OR d.setdatabase =
             (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
         ), path(text) AS (
           SELECT coalesce(
             (SELECT p.path FROM presets p WHERE p.setrole IN (0, $1::oid)
              ORDER BY p.setrole <> 0 DESC, p.setdatabase <> 0 DESC LIMIT 1),
             (SELECT CASE WHEN EXISTS (SELECT FROM presets p
                  WHERE p.setrole = 0 OR p.setrole = session_user::regrole) THEN g.boot_val ELSE g.reset_val END
              FROM pg_catalog.pg_settings g WHERE g.name = 'search_path'))
         ), entries AS (
           SELECT e.at, CASE btrim(e.name, ' \"') WHEN '$user' THEN $2 ELSE btrim(e.name, ' \"') END AS name
           FROM path, unnest(string_to_array(path.text, ',')) WITH ORDINALITY e(name, at)
         ), judged AS (
           SELECT e.at, e.name, EXISTS (SELECT FROM unnest($3::int8[]::oid[]) r(role)
             WHERE CASE WHEN n.oid IS NULL THEN has_database_privilege(r.role, current_database(), 'CREATE')
               ELSE has_schema_privilege(r.role, n.oid, 'CREATE') END) AS open
           FROM entries e LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = e.name
           WHERE e.name NOT IN ('pg_catalog', 'pg_temp', '')
             AND (n.oid IS NULL OR has_schema_privilege($1::oid, n.oid, 'USAGE'))
         )
         SELECT string_agg(name, ', ' ORDER BY at) FILTER (WHERE open),
           string_agg(quote_ident(name), ', ' ORDER BY at) FILTER (WHERE NOT open),
           quote_ident(current_database())
         FROM judged",
    )
    .bind(admin.oid)
    .bind(&admin.name)
    .bind(facts.roles.acting())
    .fetch_optional(conn)
    .await?;
    Ok(row.and_then(|(open, closed, database)| {
        let closed = closed.map_or_else(String::new, |it| format!(", {it}"));
        let fix = format!(
            "ALTER ROLE {} IN DATABASE {database} SET search_path = pg_catalog{closed}",
            quoted(&admin.name)
        );
        Some(PATH.at(&admin.name, sql(fix)).noting(open?))
    }))
}
