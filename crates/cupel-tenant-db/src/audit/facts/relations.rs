use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use super::{Declaration, ForeignKey, Oid};

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Foreign,
    MaterializedView,
    Table,
    View,
}

/// Whose the rows of a relation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// An organization's, by its tenant column.
    ByColumn,
    /// An organization's, by a foreign key to such a table and no column of its own.
    ByReference,
    /// Everybody's, as somebody declared.
    Shared,
    /// Nobody said.
    Unclassified,
}

/// A table or view outside the system's schemas.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    pub(crate) oid: Oid,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// With its schema, quoted where needed.
    pub(crate) quoted: String,
    pub(crate) kind: Kind,
    pub(crate) owner: Oid,
    pub(crate) row_security: bool,
    pub(crate) forced: bool,
    pub(crate) is_partition: bool,
    pub(crate) is_populated: bool,
    pub(crate) has_rules: bool,
    pub(crate) has_tenant_column: bool,
    pub(crate) tenant_not_null: bool,
    /// The type of the tenant column.
    pub(crate) tenant_type: Option<String>,
    /// Of a view, whether it reads with the rights of whoever asks.
    pub(crate) invoker: bool,
    pub(crate) barrier: bool,
    pub(crate) of_extension: bool,
    /// Of a view, its query.
    pub(crate) definition: Option<String>,
    pub(crate) belongs: Belongs,
}

/// A right on a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Delete,
    Insert,
    Maintain,
    References,
    Select,
    Trigger,
    Truncate,
    Update,
    /// Writing the tenant column of a new row.
    InsertTenant,
    /// Writing the tenant column of a row that is there.
    UpdateTenant,
    /// Of the schema that it stands in.
    Usage,
}

impl Right {
    pub(crate) fn bit(self) -> u32 {
        1 << match self {
            Self::Select => 0,
            Self::Insert => 1,
            Self::Update => 2,
            Self::Delete => 3,
            Self::Truncate => 4,
            Self::References => 5,
            Self::Trigger => 6,
            Self::Maintain => 7,
            Self::Usage => 8,
            Self::InsertTenant => 9,
            Self::UpdateTenant => 10,
        }
    }

    /// Reading and writing rows.
    pub(crate) const ROWS: [Self; 4] = [Self::Select, Self::Insert, Self::Update, Self::Delete];
}

impl Relation {
    /// With its schema, as findings name it.
    pub(crate) fn object(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    pub(crate) fn is_of_orgs(&self) -> bool {
        self.kind == Kind::Table
            && self.schema != "cupel"
            && matches!(self.belongs, Belongs::ByColumn | Belongs::ByReference)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    oid: Oid,
    schema: String,
    name: String,
    quoted: String,
    kind: String,
    owner: Oid,
    row_security: bool,
    forced: bool,
    is_partition: bool,
    is_populated: bool,
    has_rules: bool,
    tenant_not_null: Option<bool>,
    tenant_type: Option<String>,
    invoker: bool,
    barrier: bool,
    of_extension: bool,
    definition: Option<String>,
}

/// Which relations are looked at, as `c` in the schema `n`.
const OURS: &str = "c.relkind IN ('r', 'p', 'f', 'v', 'm')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp\\_%'";

pub(super) async fn read(
    conn: &mut PgConnection,
    tenant_column: &str,
) -> Result<Vec<Relation>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT c.oid::int8, n.nspname::text AS schema, c.relname::text AS name,
           format('%I.%I', n.nspname, c.relname) AS quoted, c.relkind::text AS kind,
           c.relowner::int8 AS owner, c.relrowsecurity AS row_security,
           c.relforcerowsecurity AS forced, c.relispartition AS is_partition,
           c.relispopulated AS is_populated, c.relhasrules AS has_rules,
           a.attnotnull AS tenant_not_null, format_type(a.atttypid, NULL) AS tenant_type,
           coalesce((SELECT bool_or(o.option_value::bool) FROM pg_options_to_table(c.reloptions) o
             WHERE c.relkind = 'v' AND o.option_name = 'security_invoker'), false) AS invoker,
           coalesce((SELECT bool_or(o.option_value::bool) FROM pg_options_to_table(c.reloptions) o
             WHERE c.relkind = 'v' AND o.option_name = 'security_barrier'), false) AS barrier,
           e.objid IS NOT NULL AS of_extension,
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS definition
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_attribute a
           ON a.attrelid = c.oid AND a.attname = $1 AND NOT a.attisdropped
         LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_class'::regclass
           AND e.objid = c.oid AND e.objsubid = 0 AND e.deptype = 'e'
         WHERE {OURS} ORDER BY 2, 3"
    )))
    .bind(tenant_column)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Relation {
            oid: row.oid,
            schema: row.schema,
            name: row.name,
            quoted: row.quoted,
            kind: match row.kind.as_str() {
                "v" => Kind::View,
                "m" => Kind::MaterializedView,
                "f" => Kind::Foreign,
                _ => Kind::Table,
            },
            owner: row.owner,
            row_security: row.row_security,
            forced: row.forced,
            is_partition: row.is_partition,
            is_populated: row.is_populated,
            has_rules: row.has_rules,
            has_tenant_column: row.tenant_type.is_some(),
            tenant_not_null: row.tenant_not_null.unwrap_or(false),
            tenant_type: row.tenant_type,
            invoker: row.invoker,
            barrier: row.barrier,
            of_extension: row.of_extension,
            definition: row.definition,
            belongs: Belongs::Unclassified,
        })
        .collect())
}

/// Says whose rows each relation holds: by its column, by what it refers to, or as was declared.
pub(super) fn classify(
    relations: &mut HashMap<Oid, Relation>,
    declaration: &Declaration,
    foreign_keys: &[ForeignKey],
    parents: &HashMap<Oid, Vec<Oid>>,
) {
    let mut of_orgs: HashSet<Oid> = HashSet::new();
    for relation in relations.values_mut() {
        let name = (relation.schema.clone(), relation.name.clone());
        if declaration.shared.contains(&name) {
            relation.belongs = Belongs::Shared;
        } else if relation.has_tenant_column {
            relation.belongs = Belongs::ByColumn;
            of_orgs.insert(relation.oid);
        }
    }
    loop {
        let more: Vec<Oid> = foreign_keys
            .iter()
            .map(|key| (key.from, key.to))
            .chain(parents.iter().flat_map(|(child, all)| all.iter().map(|it| (*child, *it))))
            .filter(|(from, to)| of_orgs.contains(to) && !of_orgs.contains(from))
            .map(|(from, _)| from)
            .filter(|from| {
                relations
                    .get(from)
                    .is_some_and(|it| it.kind == Kind::Table && it.belongs == Belongs::Unclassified)
            })
            .collect();
        if more.is_empty() {
            return;
        }
        for oid in more {
            if let Some(relation) = relations.get_mut(&oid) {
                relation.belongs = Belongs::ByReference;
            }
            of_orgs.insert(oid);
        }
    }
}

/// The parents of partitions and of tables that inherit.
pub(super) async fn parents(
    conn: &mut PgConnection,
) -> Result<HashMap<Oid, Vec<Oid>>, sqlx::Error> {
    let rows: Vec<(Oid, Oid)> = sqlx::query_as(
        "SELECT i.inhrelid::int8, i.inhparent::int8 FROM pg_catalog.pg_inherits i
         JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relkind IN ('r', 'p', 'f')
         ORDER BY 1, 2",
    )
    .fetch_all(conn)
    .await?;
    Ok(grouped(rows))
}

/// What the queries of views read.
pub(super) async fn reads(conn: &mut PgConnection) -> Result<HashMap<Oid, Vec<Oid>>, sqlx::Error> {
    let rows: Vec<(Oid, Oid)> = sqlx::query_as(
        "SELECT DISTINCT r.ev_class::int8, d.refobjid::int8
         FROM pg_catalog.pg_rewrite r
         JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass
           AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
           AND d.refobjid <> r.ev_class
         WHERE r.ev_type = '1' AND r.oid >= 16384 ORDER BY 1, 2",
    )
    .fetch_all(conn)
    .await?;
    Ok(grouped(rows))
}

/// A rewrite rule that is not a view's.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Rewrite {
    pub(crate) relation: Oid,
    pub(crate) name: String,
    /// `2` UPDATE, `3` INSERT, `4` DELETE.
    pub(crate) event: String,
    pub(crate) touches: Vec<Oid>,
}

/// The rules, with what their actions touch.
pub(super) async fn rewrites(conn: &mut PgConnection) -> Result<Vec<Rewrite>, sqlx::Error> {
    sqlx::query_as(
        "SELECT r.ev_class::int8 AS relation, r.rulename::text AS name, r.ev_type::text AS event,
           array_agg(DISTINCT d.refobjid::int8) AS touches
         FROM pg_catalog.pg_rewrite r
         JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass
           AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass
         WHERE r.ev_type <> '1' AND r.oid >= 16384 GROUP BY 1, 2, 3 ORDER BY 1, 2",
    )
    .fetch_all(conn)
    .await
}

fn grouped(rows: Vec<(Oid, Oid)>) -> HashMap<Oid, Vec<Oid>> {
    let mut groups: HashMap<Oid, Vec<Oid>> = HashMap::new();
    for (from, to) in rows {
        groups.entry(from).or_default().push(to);
    }
    groups
}

/// What each of the roles may do with each relation, as bits of [`Right`].
pub(super) async fn rights(
    conn: &mut PgConnection,
    roles: &[Oid],
    version: i32,
    tenant_column: &str,
) -> Result<HashMap<(Oid, Oid), u32>, sqlx::Error> {
    let maintain = if version >= 170_000 {
        "has_table_privilege(r.role, c.oid, 'MAINTAIN')::int4 * 128"
    } else {
        "0"
    };
    let rows: Vec<(Oid, Oid, i32)> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT r.role::int8, c.oid::int8, has_any_column_privilege(r.role, c.oid, 'SELECT')::int4
             + has_any_column_privilege(r.role, c.oid, 'INSERT')::int4 * 2
             + has_any_column_privilege(r.role, c.oid, 'UPDATE')::int4 * 4
             + has_table_privilege(r.role, c.oid, 'DELETE')::int4 * 8
             + has_table_privilege(r.role, c.oid, 'TRUNCATE')::int4 * 16
             + has_any_column_privilege(r.role, c.oid, 'REFERENCES')::int4 * 32
             + has_table_privilege(r.role, c.oid, 'TRIGGER')::int4 * 64
             + {maintain}
             + s.usage * 256
             + coalesce(has_column_privilege(r.role, c.oid, a.attnum, 'INSERT')::int4 * 512
               + has_column_privilege(r.role, c.oid, a.attnum, 'UPDATE')::int4 * 1024, 0)
         FROM unnest($1::int8[]::oid[]) r(role)
         CROSS JOIN LATERAL (SELECT n.oid, n.nspname,
             has_schema_privilege(r.role, n.oid, 'USAGE')::int4 AS usage
           FROM pg_catalog.pg_namespace n) s
         JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid
         JOIN pg_catalog.pg_namespace n ON n.oid = s.oid
         LEFT JOIN pg_catalog.pg_attribute a
           ON a.attrelid = c.oid AND a.attname = $2 AND NOT a.attisdropped
         WHERE {OURS}"
    )))
    .bind(roles)
    .bind(tenant_column)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(role, relation, bits)| Some(((role, relation), u32::try_from(bits).ok()?)))
        .collect())
}
