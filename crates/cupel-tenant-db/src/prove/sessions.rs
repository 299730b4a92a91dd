use cupel_tenant::{Control, Observed, TenantScope};
use sqlx::{AssertSqlSafe, Executor, Row};

use super::tally::{NO_TENANT, meaning};
use super::{Seen, Turn};
use crate::catalog::Relation;
use crate::error::sqlstate;
use crate::{Error, TenantTx};

/// The table whose rows are looked for: the first one that is declared.
fn table<'a>(turn: &'a Turn<'_>) -> Option<&'a Relation> {
    turn.stage.tables.iter().find(|it| it.is_declared_of_orgs())
}

/// Counts the rows of every table, and asks on which connection.
fn count(turn: &Turn<'_>) -> String {
    let counts: Vec<String> = turn
        .stage
        .tables
        .iter()
        .map(|table| format!("(SELECT count(*) FROM {})", table.name.quoted()))
        .collect();
    format!("SELECT {}, pg_backend_pid()::bigint", counts.join(" + "))
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
    if turn.stage.tables.is_empty() {
        return Ok(None);
    }
    let mut tx = begin(turn, turn.victim).await?;
    let (own, backend) = ask(&mut tx, count(turn)).await?;
    tx.commit().await?;
    residue(turn, own, backend).await
}

pub(super) async fn after_drop(turn: &Turn<'_>) -> Seen {
    if turn.stage.tables.is_empty() {
        return Ok(None);
    }
    let mut tx = begin(turn, turn.victim).await?;
    let (own, backend) = ask(&mut tx, count(turn)).await?;
    drop(tx);
    residue(turn, own, backend).await
}

/// Reads on the pool of one connection as somebody who forgot to say for whom.
async fn residue(turn: &Turn<'_>, own: u64, backend: i64) -> Seen {
    let mut look = turn.stage.single.look().await?;
    let on = if i64::from(look.backend()) == backend {
        "the same connection"
    } else {
        "a new connection"
    };
    let observed = match look.connection().fetch_one(AssertSqlSafe(count(turn))).await {
        Ok(row) => match row.try_get::<i64, _>(0).map_err(Error::statement("an attack"))? {
            0 => Observed::refused(format!("0 rows on {on}")),
            rows => Observed::reached(format!("{rows} rows on {on}")),
        },
        Err(error) if sqlstate(&error).as_deref() == Some(NO_TENANT) => {
            Observed::refused(format!("refused on {on}: {}", meaning(NO_TENANT)))
        }
        Err(error) => return Err(Error::statement("an attack")(error)),
    };
    look.done().await?;
    Ok(Some((observed, Control::expect(own > 0, format!("owner read {own} before")))))
}

pub(super) async fn cursor(turn: &Turn<'_>) -> Seen {
    let left = LeftBehind {
        leave: "DECLARE {name} SCROLL CURSOR WITH HOLD FOR SELECT {org} FROM {table}",
        own: "FETCH ALL FROM {name}",
        take: "FETCH BACKWARD ALL FROM {name}",
        // invalid_cursor_name
        gone: "34000",
    };
    left.attack(turn).await
}

pub(super) async fn prepared(turn: &Turn<'_>) -> Seen {
    let left = LeftBehind {
        leave: "PREPARE {name} AS SELECT {org} FROM {table}",
        own: "EXECUTE {name}",
        take: "EXECUTE {name}",
        // invalid_sql_statement_name
        gone: "26000",
    };
    left.attack(turn).await
}

/// Something that outlives a transaction: how the victim leaves and uses it, how the attacker takes it.
struct LeftBehind {
    leave: &'static str,
    own: &'static str,
    take: &'static str,
    /// The SQLSTATE that says it is not there.
    gone: &'static str,
}

impl LeftBehind {
    /// The victim leaves it in its session and gives the connection back. The next to borrow it must
    /// not find it.
    async fn attack(&self, turn: &Turn<'_>) -> Seen {
        let Some(table) = table(turn) else { return Ok(None) };
        let sql = |text: &str| {
            let name = format!("cupel_left_{}", turn.stage.only(turn.victim));
            let text = text.replace("{name}", &name).replace("{org}", &table.org());
            AssertSqlSafe(text.replace("{table}", &table.name.quoted()))
        };
        let failed = || Error::statement("an attack");
        let mut tx = begin(turn, turn.victim).await?;
        tx.execute(sql(self.leave)).await.map_err(failed())?;
        let own = tx.fetch_all(sql(self.own)).await.map_err(failed())?.len();
        tx.commit().await?;
        let mut tx = begin(turn, turn.attacker).await?;
        let observed = match tx.fetch_all(sql(self.take)).await {
            // Even one that finds no row of the victim's found the victim's session.
            Ok(rows) => Observed::reached(format!("found it, with {} rows", rows.len())),
            Err(error) => match sqlstate(&error) {
                Some(code) if code == self.gone => {
                    Observed::refused(format!("refused: {}", meaning(&code)))
                }
                Some(code) => Observed::unclear(meaning(&code)),
                None => return Err(failed()(error)),
            },
        };
        tx.rollback().await?;
        Ok(Some((observed, Control::expect(own > 0, format!("owner reads {own} from it")))))
    }
}
