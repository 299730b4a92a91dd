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
    /// The column that names the organization of a row.
    pub(crate) tenant_column: Option<String>,
    pub(crate) tenant_not_null: bool,
    /// The type of the tenant column.
    pub(crate) tenant_type: Option<String>,
    /// Whether its collation takes for equal what is not the same.
    pub(crate) tenant_is_loose: bool,
    /// Of a view, whether it reads with the rights of whoever asks.
    pub(crate) invoker: bool,
    pub(crate) barrier: bool,
    pub(crate) of_extension: bool,
    /// Of a view, its query.
    pub(crate) definition: Option<String>,
    pub(crate) belongs: Belongs,
}

impl Relation {
    pub(crate) fn has_tenant_column(&self) -> bool {
        self.tenant_column.is_some()
    }

    /// The column that names the organization of a row; or the one that is asked for, where there is none.
    pub(crate) fn tenant_column<'a>(&'a self, asked: &'a str) -> &'a str {
        self.tenant_column.as_deref().unwrap_or(asked)
    }

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
    tenant_column: Option<String>,
    tenant_not_null: Option<bool>,
    tenant_type: Option<String>,
    tenant_is_loose: bool,
    invoker: bool,
    barrier: bool,
    of_extension: bool,
    definition: Option<String>,
}

/// Which relations are looked at, as `c` in the schema `n`.
pub(super) const OURS: &str = "c.relkind IN ('r', 'p', 'f', 'v', 'm')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp\\_%'";

/// Every relation, with the column that was declared for it. Where none was, it is the one that is asked for,
/// or one that was declared for others; an `id` is everybody's.
pub(super) async fn read(
    conn: &mut PgConnection,
    tenant_column: &str,
    declaration: &Declaration,
) -> Result<Vec<Relation>, sqlx::Error> {
    let (mut schemas, mut names, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for ((schema, name), column) in &declaration.tables {
        schemas.push(schema.as_str());
        names.push(name.as_str());
        columns.push(column.as_str());
    }
    let mut likely = vec![tenant_column];
    let mut others: Vec<&str> = columns.iter().copied().filter(|it| *it != "id").collect();
    others.sort_unstable();
    others.dedup();
    likely.extend(others);
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT c.oid::int8, n.nspname::text AS schema, c.relname::text AS name,
           format('%I.%I', n.nspname, c.relname) AS quoted, c.relkind::text AS kind,
           c.relowner::int8 AS owner, c.relrowsecurity AS row_security,
           c.relforcerowsecurity AS forced, c.relispartition AS is_partition,
           c.relispopulated AS is_populated, c.relhasrules AS has_rules,
           a.attname::text AS tenant_column, a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
             WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey[1] = a.attnum AND NOT k.convalidated)
             AS tenant_not_null, format_type(a.atttypid, NULL) AS tenant_type,
           EXISTS (SELECT FROM pg_catalog.pg_collation k WHERE k.oid = a.attcollation
             AND NOT k.collisdeterministic) AS tenant_is_loose,
           coalesce((SELECT bool_or(o.option_value::bool) FROM pg_options_to_table(c.reloptions) o
             WHERE c.relkind = 'v' AND o.option_name = 'security_invoker'), false) AS invoker,
           coalesce((SELECT bool_or(o.option_value::bool) FROM pg_options_to_table(c.reloptions) o
             WHERE c.relkind = 'v' AND o.option_name = 'security_barrier'), false) AS barrier,
           e.objid IS NOT NULL AS of_extension,
           CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS definition
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_inherits h ON h.inhrelid = c.oid AND h.inhseqno = 1
         LEFT JOIN pg_catalog.pg_class u ON u.oid = coalesce(pg_partition_root(c.oid), h.inhparent, c.oid)
         LEFT JOIN pg_catalog.pg_namespace v ON v.oid = u.relnamespace
         LEFT JOIN unnest($2::text[], $3::text[], $4::text[]) d(schema, name, tenant)
           ON d.schema = v.nspname AND d.name = u.relname
         LEFT JOIN LATERAL (SELECT a.attname, a.attnum, a.attnotnull, a.atttypid, a.attcollation
           FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname::text = ANY ($1 || d.tenant)
             AND (d.tenant IS NULL OR a.attname = d.tenant)
           ORDER BY array_position($1, a.attname::text) LIMIT 1) a ON true
         LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_class'::regclass
           AND e.objid = c.oid AND e.objsubid = 0 AND e.deptype = 'e'
         WHERE {OURS} ORDER BY 2, 3"
    )))
    .bind(&likely)
    .bind(&schemas)
    .bind(&names)
    .bind(&columns)
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
            tenant_column: row.tenant_column,
            tenant_not_null: row.tenant_not_null.unwrap_or(false),
            tenant_type: row.tenant_type,
            tenant_is_loose: row.tenant_is_loose,
            invoker: row.invoker,
            barrier: row.barrier,
            of_extension: row.of_extension,
            definition: row.definition,
            belongs: Belongs::Unclassified,
        })
        .collect())
}

/// The relations that have a tenant column, and its name in each.
pub(super) struct TenantColumns {
    pub(super) relations: Vec<Oid>,
    pub(super) names: Vec<String>,
}

impl TenantColumns {
    pub(super) fn of(relations: &HashMap<Oid, Relation>) -> Self {
        let named = relations.values().filter_map(|it| Some((it.oid, it.tenant_column.clone()?)));
        let (relations, names) = named.unzip();
        Self { relations, names }
    }
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
        } else if relation.has_tenant_column() {
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

pub(super) fn grouped(rows: Vec<(Oid, Oid)>) -> HashMap<Oid, Vec<Oid>> {
    let mut groups: HashMap<Oid, Vec<Oid>> = HashMap::new();
    for (from, to) in rows {
        groups.entry(from).or_default().push(to);
    }
    groups
}
