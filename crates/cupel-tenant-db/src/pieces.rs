//! What the indexes and foreign keys of a partitioned table are made of, on its leaves.

use sqlx::PgConnection;

use crate::schema::TableName;
use crate::shape::{Index, Reference};

/// The part of an index, or of a foreign key, that is on one leaf.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) table: TableName,
    pub(crate) name: String,
}

/// A partitioned table, or one of its partitions.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) table: TableName,
    /// What it is a partition of; the whole table is of none.
    pub(crate) of: Option<TableName>,
    /// Whether it holds rows itself.
    pub(crate) is_leaf: bool,
    /// Whether its rows are on another server.
    pub(crate) is_foreign: bool,
    /// Its index on the organization alone, such as can be part of one of the whole table.
    pub(crate) lead: Option<Lead>,
}

/// An index on the organization alone.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    pub(crate) name: String,
    /// The index that it is part of.
    pub(crate) part_of: Option<String>,
}

type PieceRow = (String, String, String, String);

#[derive(sqlx::FromRow)]
struct PartitionRow {
    schema: String,
    name: String,
    of_schema: Option<String>,
    of_name: Option<String>,
    is_leaf: bool,
    is_foreign: bool,
    lead: Option<String>,
    part_of: Option<String>,
}

/// Reads a partitioned table and its partitions, each after what it is a partition of.
pub(crate) async fn partitions(
    conn: &mut PgConnection,
    table: &str,
    org_column: &str,
) -> Result<Vec<Partition>, sqlx::Error> {
    // One that is made up of others is not valid until it has all of them.
    let rows: Vec<PartitionRow> = sqlx::query_as(
        "SELECT n.nspname::text AS schema, c.relname::text AS name, pn.nspname::text AS of_schema,
           p.relname::text AS of_name, t.isleaf AS is_leaf, c.relkind = 'f' AS is_foreign,
           l.name AS lead, l.part_of
         FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1)) t
         JOIN pg_catalog.pg_class c ON c.oid = t.relid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_class p ON p.oid = t.parentrelid AND t.level > 0
         LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
         LEFT JOIN LATERAL (
           SELECT x.relname::text AS name, w.relname::text AS part_of
           FROM pg_catalog.pg_index i
           JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND (i.indisvalid OR x.relkind = 'I')
           JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
           JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[0] AND o.opcdefault
           JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
             AND a.attname = $2 AND a.attcollation = i.indcollation[0]
           LEFT JOIN pg_catalog.pg_inherits h ON h.inhrelid = x.oid
           LEFT JOIN pg_catalog.pg_class w ON w.oid = h.inhparent
           WHERE i.indrelid = c.oid AND i.indnatts = 1 AND i.indoption[0] = 0 AND NOT i.indisunique
             AND i.indpred IS NULL
           ORDER BY w.relname IS NULL, x.relname LIMIT 1) l ON true
         ORDER BY t.level, 1, 2",
    )
    .bind(table)
    .bind(org_column)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Partition::from).collect())
}

impl From<PartitionRow> for Partition {
    fn from(row: PartitionRow) -> Self {
        let of = row.of_schema.zip(row.of_name);
        Self {
            table: TableName { schema: row.schema, table: row.name },
            of: of.map(|(schema, table)| TableName { schema, table }),
            is_leaf: row.is_leaf,
            is_foreign: row.is_foreign,
            lead: row.lead.map(|name| Lead { name, part_of: row.part_of }),
        }
    }
}

/// Reads the pieces of each index of a partitioned table.
pub(crate) async fn of_indexes(
    conn: &mut PgConnection,
    table: &str,
    indexes: &mut [Index],
) -> Result<(), sqlx::Error> {
    let rows: Vec<PieceRow> = sqlx::query_as(
        "SELECT whole.relname::text, n.nspname::text, t.relname::text, c.relname::text
         FROM pg_catalog.pg_index w
         JOIN pg_catalog.pg_class whole ON whole.oid = w.indexrelid
         CROSS JOIN LATERAL pg_catalog.pg_partition_tree(w.indexrelid) p
         JOIN pg_catalog.pg_index i ON i.indexrelid = p.relid
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
         WHERE w.indrelid = pg_catalog.to_regclass($1) AND p.isleaf ORDER BY 1, 2, 3",
    )
    .bind(table)
    .fetch_all(conn)
    .await?;
    for index in indexes {
        index.pieces = of(&index.name, &rows);
    }
    Ok(())
}

/// Reads the pieces of each foreign key of a partitioned table.
pub(crate) async fn of_references(
    conn: &mut PgConnection,
    table: &str,
    references: &mut [Reference],
) -> Result<(), sqlx::Error> {
    // Where the other side is partitioned too, a constraint has parts for that as well.
    let rows: Vec<PieceRow> = sqlx::query_as(
        "WITH RECURSIVE parts(whole, oid, conrelid, confrelid, conname) AS (
           SELECT conname, oid, conrelid, confrelid, conname FROM pg_catalog.pg_constraint
           WHERE contype = 'f' AND conparentid = 0 AND conrelid = pg_catalog.to_regclass($1)
           UNION ALL
           SELECT p.whole, k.oid, k.conrelid, k.confrelid, k.conname FROM parts p
           JOIN pg_catalog.pg_constraint k ON k.conparentid = p.oid AND k.confrelid = p.confrelid)
         SELECT p.whole::text, n.nspname::text, t.relname::text, p.conname::text FROM parts p
         JOIN pg_catalog.pg_class t ON t.oid = p.conrelid AND t.relkind <> 'p'
         JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace ORDER BY 1, 2, 3",
    )
    .bind(table)
    .fetch_all(conn)
    .await?;
    for reference in references {
        reference.pieces = of(&reference.name, &rows);
    }
    Ok(())
}

fn of(whole: &str, rows: &[PieceRow]) -> Vec<Piece> {
    let piece = |(_, schema, table, name): &PieceRow| Piece {
        table: TableName { schema: schema.clone(), table: table.clone() },
        name: name.clone(),
    };
    rows.iter().filter(|it| it.0 == whole).map(piece).collect()
}
