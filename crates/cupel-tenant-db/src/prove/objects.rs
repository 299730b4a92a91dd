//! Objects of the attacker's own making that act on a table of all organizations.

use cupel_tenant::TenantScope;

use super::reads::owner_reads;
use super::tally::Count;
use super::{Seen, Turn};
use crate::catalog::Relation;
use crate::schema::{ident, literal};

/// A trigger acts on the rows of everybody who writes. The right to make one is enough: the server has trigger functions
/// that anybody may name.
pub(super) async fn trigger(turn: &Turn<'_>) -> Seen {
    on_each(turn, "TRIGGER", |table| {
        vec![format!(
            "CREATE TRIGGER cupel_hole BEFORE UPDATE ON {} FOR EACH ROW
               EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
            table.name.quoted()
        )]
    })
    .await
}

/// A foreign key of the attacker's tells which rows there are, whatever policies say.
pub(super) async fn reference(turn: &Turn<'_>) -> Seen {
    on_each(turn, "REFERENCES", |table| {
        let (name, hole) =
            (table.name.quoted(), format!("{}.cupel_hole", ident(&table.name.schema)));
        let key: Vec<_> = table.primary_key.iter().map(|it| ident(it)).collect();
        let key = key.join(", ");
        vec![
            format!("CREATE TABLE {hole} AS SELECT {key} FROM {name} LIMIT 0"),
            format!("ALTER TABLE {hole} ADD FOREIGN KEY ({key}) REFERENCES {name} ({key})"),
        ]
    })
    .await
}

/// Makes an object on each table. The server takes the table's lock before it looks whether the right is there, so the right
/// is asked for first: nobody who writes there waits for an attack that is refused.
async fn on_each(turn: &Turn<'_>, right: &str, objects: impl Fn(&Relation) -> Vec<String>) -> Seen {
    let attacker = TenantScope::org(turn.attacker.clone());
    let seen = turn
        .tally(&attacker, Count::Answer, |table| {
            if table.primary_key.is_empty() {
                return None;
            }
            let mut statements = vec![
                "SET LOCAL lock_timeout = '1s'".to_owned(),
                format!(
                    "DO $cupel$ BEGIN IF NOT pg_catalog.has_table_privilege({}, '{right}') THEN
                       RAISE insufficient_privilege; END IF; END $cupel$",
                    literal(&table.name.quoted())
                ),
            ];
            statements.extend(objects(table));
            statements.push("SELECT 1::bigint".to_owned());
            Some(statements)
        })
        .await?;
    Ok(Some((seen.observed("opened"), owner_reads(turn).await?)))
}
