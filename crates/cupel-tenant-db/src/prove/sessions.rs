use cupel_tenant::{Control, Observed, TenantScope};
use sqlx::{AssertSqlSafe, Executor, Row};

use super::tally::meaning;
use super::{Seen, Turn};
use crate::catalog::Relation;
use crate::error::sqlstate;
use crate::{Error, TenantTx};

/// The table whose rows are looked for: the first one that is declared.
fn table<'a>(turn: &'a Turn<'_>) -> Option<&'a Relation> {
    turn.stage.tables.iter().find(|it| it.is_declared_of_orgs())
}

fn count(table: &Relation) -> String {
    format!("SELECT count(*), pg_backend_pid()::bigint FROM {}", table.name.quoted())
}

async fn ask<'c>(
    db: impl Executor<'c, Database = sqlx::Postgres>,
    sql: String,
) -> Result<(u64, i64), Error> {
    let row = db.fetch_one(AssertSqlSafe(sql)).await.map_err(Error::statement("an attack"))?;
    // By the simple protocol values are text, which the numbers are read from all the same.
    let number = |at| row.try_get::<i64, _>(at).map_err(Error::statement("an attack"));
    Ok((number(0)?.unsigned_abs(), number(1)?))
}

async fn begin(turn: &Turn<'_>, org: &cupel_tenant::OrgId) -> Result<TenantTx, Error> {
    turn.stage.single.begin(&TenantScope::org(org.clone())).await
}

pub(super) async fn after_commit(turn: &Turn<'_>) -> Seen {
    let Some(table) = table(turn) else { return Ok(None) };
    let mut tx = begin(turn, turn.victim).await?;
    let (own, backend) = ask(&mut tx, count(table)).await?;
    tx.commit().await?;
    residue(turn, table, own, backend).await
}

pub(super) async fn after_drop(turn: &Turn<'_>) -> Seen {
    let Some(table) = table(turn) else { return Ok(None) };
    let mut tx = begin(turn, turn.victim).await?;
    let (own, backend) = ask(&mut tx, count(table)).await?;
    drop(tx);
    residue(turn, table, own, backend).await
}

/// Reads on the pool of one connection as somebody who forgot to say for whom.
async fn residue(turn: &Turn<'_>, table: &Relation, own: u64, backend: i64) -> Seen {
    let mut conn = turn.stage.single.pool().acquire().await.map_err(Error::connect("app"))?;
    let (rows, same) = ask(&mut *conn, count(table)).await?;
    let on = if same == backend { "the same connection" } else { "a new connection" };
    let observed = match rows {
        0 => Observed::refused(format!("0 rows on {on}")),
        rows => Observed::reached(format!("{rows} rows on {on}")),
    };
    Ok(Some((observed, Control::expect(own > 0, format!("owner read {own} before")))))
}

pub(super) async fn cursor(turn: &Turn<'_>) -> Seen {
    left_behind(
        turn,
        |table| format!("DECLARE cupel_left CURSOR WITH HOLD FOR SELECT org_id FROM {table}"),
        "FETCH ALL FROM cupel_left",
    )
    .await
}

pub(super) async fn prepared(turn: &Turn<'_>) -> Seen {
    left_behind(
        turn,
        |table| format!("PREPARE cupel_left AS SELECT org_id FROM {table}"),
        "EXECUTE cupel_left",
    )
    .await
}

/// The victim leaves something in its session, uses it, and gives the connection back. The next to
/// borrow it must not find it.
async fn left_behind(turn: &Turn<'_>, leave: impl Fn(&str) -> String, take: &'static str) -> Seen {
    let Some(table) = table(turn) else { return Ok(None) };
    let mut tx = begin(turn, turn.victim).await?;
    let action = "an attack";
    let left = leave(&table.name.quoted());
    tx.execute(AssertSqlSafe(left)).await.map_err(Error::statement(action))?;
    let own = tx.fetch_all(take).await.map_err(Error::statement(action))?.len();
    tx.commit().await?;
    let mut tx = begin(turn, turn.attacker).await?;
    let observed = match tx.fetch_all(take).await {
        // Even one that finds no row of the victim's found the victim's session.
        Ok(rows) => Observed::reached(format!("found it, with {} rows", rows.len())),
        Err(error) => match sqlstate(&error) {
            Some(code) => Observed::refused(format!("refused: {}", meaning(&code))),
            None => return Err(Error::statement(action)(error)),
        },
    };
    tx.rollback().await?;
    Ok(Some((observed, Control::expect(own > 0, format!("owner reads {own} from it")))))
}
