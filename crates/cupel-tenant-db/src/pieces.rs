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

type PieceRow = (String, String, String, String);

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
