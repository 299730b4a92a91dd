//! Objects of the attacker's own making that act on a table of all organizations.

use sqlx::AssertSqlSafe;

use super::reads::owner_reads;
use super::tally::{Count, Tally, run};
use super::{Seen, Turn};
use crate::Error;
use crate::catalog::Relation;
use crate::error::sqlstate;
use crate::schema::ident;

/// A trigger acts on the rows of everybody who writes. The right to make one is enough: the server has trigger functions
/// that anybody may name.
pub(super) async fn trigger(turn: &Turn<'_>) -> Seen {
    let right = "SELECT has_table_privilege($1, 'TRIGGER')";
    on_each(turn, right, |table| {
        Some(vec![format!(
            "CREATE TRIGGER cupel_hole BEFORE UPDATE ON {} FOR EACH ROW
               EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
            table.name.quoted()
        )])
    })
    .await
}

/// Where an object can be made.
const OPEN_SCHEMA: &str = "SELECT nspname::text FROM pg_catalog.pg_namespace
    WHERE has_schema_privilege(oid, 'CREATE') AND nspname !~ '^pg_' ORDER BY nspname LIMIT 1";

/// A foreign key of the attacker's tells which rows there are, whatever policies say.
pub(super) async fn reference(turn: &Turn<'_>) -> Seen {
    let mut tx = turn.as_attacker().await?;
    let schema: Option<String> = sqlx::query_scalar(OPEN_SCHEMA)
        .fetch_optional(&mut tx)
        .await
        .map_err(Error::statement("an attack"))?;
    tx.rollback().await?;
    let right = "SELECT has_any_column_privilege($1, 'REFERENCES')";
    // Where none is open to it, the first table is refused a place.
    let hole = format!("{}.cupel_hole", ident(schema.as_deref().unwrap_or("public")));
    on_each(turn, right, |table| {
        let name = table.name.quoted();
        let key: Vec<_> = table.primary_key.iter().map(|it| ident(it)).collect();
        let key = Some(key.join(", ")).filter(|it| !it.is_empty())?;
        Some(vec![
            format!("CREATE TABLE {hole} AS SELECT {key} FROM {name} LIMIT 0"),
            format!("ALTER TABLE {hole} ADD FOREIGN KEY ({key}) REFERENCES {name} ({key})"),
        ])
    })
    .await
}

/// Makes an object on each table, and rolls it back. The server takes the table's lock before it looks whether the right is
/// there, so the right is asked for first: nobody who writes there waits for an attack that is refused.
async fn on_each(
    turn: &Turn<'_>,
    right: &'static str,
    objects: impl Fn(&Relation) -> Option<Vec<String>>,
) -> Seen {
    let mut tally = Tally::default();
    for table in &turn.stage.tables {
        let Some(objects) = objects(table) else { continue };
        let mut statements = vec!["SET LOCAL lock_timeout = '1s'".to_owned()];
        statements.extend(objects);
        statements.push("SELECT 1::bigint".to_owned());
        let mut tx = turn.as_attacker().await?;
        let asked = sqlx::query_scalar(AssertSqlSafe(right)).bind(table.name.quoted());
        let tried = match asked.fetch_one(&mut tx).await {
            Ok(true) => run(&mut tx, Count::Answer, statements).await,
            // insufficient_privilege, as it would say.
            Ok(false) => {
                tally.refuse(table, "42501".to_owned());
                tx.rollback().await?;
                continue;
            }
            Err(error) => Err(error),
        };
        match tried {
            Ok(rows) => tally.note(table, rows),
            Err(error) => match sqlstate(&error) {
                Some(code) => tally.refuse(table, code),
                None => return Err(Error::statement("an attack")(error)),
            },
        }
        tx.rollback().await?;
    }
    if tally.is_empty() {
        return Ok(None);
    }
    Ok(Some((tally.observed("opened"), owner_reads(turn).await?)))
}
