use cupel_tenant::TenantScope;
use sqlx::{AssertSqlSafe, Executor};

use super::stage::{COMMON, FRESH};
use super::tally::{Count, Tally, meaning};
use super::{Seen, Turn};
use crate::Error;
use crate::catalog::Relation;
use crate::error::sqlstate;
use crate::schema::literal;

fn org(id: &cupel_tenant::OrgId, table: &Relation) -> String {
    let column = table.column(&table.org_column);
    format!("{}::{}", literal(id.as_str()), column.map_or("text", |it| &it.type_name))
}

pub(super) async fn update(turn: &Turn<'_>) -> Seen {
    let statement = |table: &Relation| {
        let (name, column, victim) = (table.name.quoted(), table.org(), org(turn.victim, table));
        Some(vec![format!("UPDATE {name} SET {column} = {column} WHERE {column} = {victim}")])
    };
    let (attacker, victim) = scopes(turn);
    let seen = turn.tally(&attacker, Count::Affected, statement).await?;
    let owner = turn.tally(&victim, Count::Affected, statement).await?;
    Ok(Some((seen.observed("updated"), owner.control("updates"))))
}

pub(super) async fn delete(turn: &Turn<'_>) -> Seen {
    let statement = |table: &Relation| {
        let (name, column) = (table.name.quoted(), table.org());
        format!("DELETE FROM {name} WHERE {column} = {}", org(turn.victim, table))
    };
    let (attacker, _) = scopes(turn);
    let seen = turn.tally(&attacker, Count::Affected, |table| Some(vec![statement(table)])).await?;
    Ok(Some((seen.observed("deleted"), owner_deletes(turn).await?)))
}

/// The owner deletes all of its rows, children first, and rolls back.
async fn owner_deletes(turn: &Turn<'_>) -> Result<cupel_tenant::Control, Error> {
    let mut tally = Tally::default();
    let mut tx = turn.as_victim().await?;
    for table in turn.stage.tables.iter().rev() {
        let sql = format!(
            "DELETE FROM {} WHERE {} = {}",
            table.name.quoted(),
            table.org(),
            org(turn.victim, table)
        );
        match tx.execute(AssertSqlSafe(sql)).await {
            Ok(done) => tally.note(table, done.rows_affected()),
            Err(error) => {
                let code = sqlstate(&error).unwrap_or_default();
                let why = format!("owner is refused: {}", meaning(&code));
                return Ok(cupel_tenant::Control::failed(why));
            }
        }
    }
    tx.rollback().await?;
    Ok(tally.control("deletes"))
}

pub(super) async fn insert(turn: &Turn<'_>) -> Seen {
    let statement = |table: &Relation| {
        let row = turn.stage.insert(table, turn.victim, FRESH, COMMON[0]);
        Some(vec![row.filter(|_| !table.is_one_per_org())?])
    };
    let (attacker, victim) = scopes(turn);
    let seen = turn.tally(&attacker, Count::Affected, statement).await?;
    let owner = turn.tally(&victim, Count::Affected, statement).await?;
    Ok(Some((seen.observed("inserted"), owner.control("inserts"))))
}

/// The owner's half is to write the row's organization as it is.
pub(super) async fn relocate(turn: &Turn<'_>) -> Seen {
    let statement = |table: &Relation, from, to| {
        let key = turn.stage.key(table, from, turn.stage.only(from))?;
        let (name, column, to) = (table.name.quoted(), table.org(), org(to, table));
        Some(vec![format!("UPDATE {name} SET {column} = {to} WHERE {key}")])
    };
    let (attacker, victim) = scopes(turn);
    let seen = turn
        .tally(&attacker, Count::Affected, |table| statement(table, turn.attacker, turn.victim))
        .await?;
    let owner = turn
        .tally(&victim, Count::Affected, |table| statement(table, turn.victim, turn.victim))
        .await?;
    Ok(Some((seen.observed("moved"), owner.control("keeps"))))
}

/// Nobody may truncate, so the control is what the owner may do instead: delete all that is its own.
pub(super) async fn truncate(turn: &Turn<'_>) -> Seen {
    let (attacker, _) = scopes(turn);
    let seen = turn
        .tally(&attacker, Count::Answer, |table| {
            let name = table.name.quoted();
            // What is gone after it, seen by whoever got so far.
            Some(vec![format!("TRUNCATE {name} CASCADE"), "SELECT 1::bigint".to_owned()])
        })
        .await?;
    Ok(Some((seen.observed("emptied"), owner_deletes(turn).await?)))
}

fn scopes(turn: &Turn<'_>) -> (TenantScope, TenantScope) {
    (TenantScope::org(turn.attacker.clone()), TenantScope::org(turn.victim.clone()))
}
