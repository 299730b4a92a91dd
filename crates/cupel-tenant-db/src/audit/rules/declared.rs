//! What a migration of ours made, and what became of it.

use cupel_tenant::Severity;
use sqlx::PgConnection;

use super::{Asked, Place, Rule, words};
use crate::audit::facts::{Facts, Oid};

static CHANGED: Rule = Rule {
    id: "P1",
    severity: Severity::Critical,
    phase: 4,
    problem: "the policies that the migration made were changed or dropped",
    allows: "rows to be reached that the declaration keeps apart",
};

/// Compares the policies, as the server writes them out, with what it wrote when they were made.
pub(super) async fn changed(
    conn: &mut PgConnection,
    facts: &Facts,
) -> Result<Vec<Place>, sqlx::Error> {
    let rows: Vec<(Oid, String, String)> = sqlx::query_as(
        "SELECT c.oid::int8, t.policies, p.now
         FROM cupel.tenant_tables t JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema_name
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.table_name
         CROSS JOIN LATERAL (SELECT cupel.policies_of(c.oid) AS now OFFSET 0) p
         WHERE t.policies <> p.now",
    )
    .fetch_all(conn)
    .await?;
    let places = rows.into_iter().filter_map(|(oid, made, now)| {
        let table = facts.relations.get(&oid)?;
        let mut lost = made.lines().filter(|line| !now.lines().any(|it| it == *line));
        // Without its access policy the table is closed, and nobody reaches anything.
        let closed = lost.all(|line| line.starts_with("cupel_access"))
            && now.lines().all(|line| made.lines().any(|it| it == line));
        let place = CHANGED.at(table.object(), words("run the migration"));
        Some(if closed { place.weighing(Severity::Medium) } else { place })
    });
    Ok(places.collect())
}

pub(super) const ASKED: &[Asked] = &[Asked {
    rule: Rule {
        id: "D1",
        severity: Severity::High,
        phase: 2,
        problem: "the application's role has a right on what the migration keeps for administration",
        allows: "learning which organizations there are, or making seals of its own",
    },
    query: "SELECT 'cupel.' || c.relname, format('REVOKE ALL ON cupel.%I FROM %s', c.relname, q.revokees),
          CASE WHEN c.relname = 'seal_keys' THEN 'critical' END
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, q
        WHERE n.nspname = 'cupel' AND c.relkind IN ('r', 'v')
          AND EXISTS (SELECT FROM r WHERE
            has_any_column_privilege(r.role, c.oid, 'INSERT, UPDATE') OR has_table_privilege(r.role, c.oid, 'DELETE')
            OR c.relname IN ('organizations', 'access_log', 'seal_keys')
              AND has_any_column_privilege(r.role, c.oid, 'SELECT'))",
}];
