use std::collections::HashMap;

use sqlx::PgConnection;

use super::{Oid, Relation};
use crate::audit::expr::{Class, Reader, Surroundings};

/// A policy, with what its conditions let through.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) name: String,
    /// `r`, `a`, `w`, `d`, or `*` for all.
    pub(crate) command: char,
    pub(crate) permissive: bool,
    /// Whom it binds; 0 is everybody.
    pub(crate) roles: Vec<Oid>,
    /// The same, as the migration writes them down.
    pub(crate) role_names: String,
    pub(crate) using: Option<String>,
    pub(crate) check: Option<String>,
    pub(crate) using_class: Class,
    /// Of new rows: WITH CHECK, or USING where there is none.
    pub(crate) check_class: Class,
    pub(crate) functions: Vec<Oid>,
    /// The other tables that it reads.
    pub(crate) reads: Vec<Oid>,
}

#[derive(sqlx::FromRow)]
struct Row {
    relation: Oid,
    name: String,
    command: String,
    permissive: bool,
    roles: Vec<Oid>,
    role_names: String,
    using: Option<String>,
    check: Option<String>,
    functions: Vec<Oid>,
    reads: Vec<Oid>,
}

/// Every policy of the database, by its table.
pub(super) async fn read(
    conn: &mut PgConnection,
) -> Result<HashMap<Oid, Vec<Policy>>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT p.polrelid::int8 AS relation, p.polname::text AS name, p.polcmd::text AS command,
           p.polpermissive AS permissive, p.polroles::int8[] AS roles,
           ARRAY(SELECT r::regrole::text FROM unnest(p.polroles) r ORDER BY 1)::text AS role_names,
           pg_get_expr(p.polqual, p.polrelid) AS using,
           pg_get_expr(p.polwithcheck, p.polrelid) AS check,
           coalesce(d.functions, '{}') AS functions, coalesce(d.reads, '{}') AS reads
         FROM pg_catalog.pg_policy p
         LEFT JOIN (
           SELECT d.objid,
             array_agg(DISTINCT d.refobjid::int8)
               FILTER (WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass) AS functions,
             array_agg(DISTINCT d.refobjid::int8)
               FILTER (WHERE d.refclassid = 'pg_catalog.pg_class'::regclass
                 AND d.refobjid <> q.polrelid) AS reads
           FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_policy q ON q.oid = d.objid
           WHERE d.classid = 'pg_catalog.pg_policy'::regclass GROUP BY d.objid
         ) d ON d.objid = p.oid
         ORDER BY p.polrelid, p.polname",
    )
    .fetch_all(conn)
    .await?;
    let mut policies: HashMap<Oid, Vec<Policy>> = HashMap::new();
    for row in rows {
        policies.entry(row.relation).or_default().push(Policy {
            name: row.name,
            command: row.command.chars().next().unwrap_or('*'),
            permissive: row.permissive,
            roles: row.roles,
            role_names: row.role_names,
            using: row.using,
            check: row.check,
            using_class: Class::Unknown,
            check_class: Class::Unknown,
            functions: row.functions,
            reads: row.reads,
        });
    }
    Ok(policies)
}

/// Judges every condition, each text once for each name of the tenant column.
pub(super) fn judge(
    policies: &mut HashMap<Oid, Vec<Policy>>,
    known: &Surroundings,
    relations: &HashMap<Oid, Relation>,
) {
    let asked = known.tenant_column.as_str();
    let mut readers: HashMap<&str, Surroundings> = HashMap::new();
    let mut judged: HashMap<(&str, String), Class> = HashMap::new();
    for (table, policies) in policies {
        let column = relations.get(table).map_or(asked, |it| it.tenant_column(asked));
        let known = readers
            .entry(column)
            .or_insert_with(|| Surroundings { tenant_column: column.to_owned(), ..known.clone() });
        let mut class = |text: &Option<String>| {
            let text = text.as_ref()?;
            let judged = judged.entry((column, text.clone()));
            Some(*judged.or_insert_with(|| Reader(known).judge(text)))
        };
        for policy in policies {
            // A policy of a command that takes no USING lets every row be found.
            policy.using_class = class(&policy.using).unwrap_or(Class::Open);
            policy.check_class = match policy.command {
                // An INSERT has no USING to fall back on.
                'a' => class(&policy.check).unwrap_or(Class::Open),
                _ => class(&policy.check).unwrap_or(policy.using_class),
            };
        }
    }
}
