use cupel_tenant::{Control, Observed, OrgId, TenantScope};
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Executor, Row};

use super::tally::{Count, Tally};
use super::{Seen, Turn};
use crate::catalog::Relation;
use crate::error::sqlstate;
use crate::schema::literal;
use crate::{ContextMode, Error, TenantTx};

/// Counts the rows that are not the organization's own.
fn foreign(table: &Relation, own: &OrgId) -> String {
    format!(
        "SELECT count(*) FILTER (WHERE {}::text <> {}) FROM {}",
        table.org(),
        literal(own.as_str()),
        table.name.quoted()
    )
}

fn all(table: &Relation) -> String {
    format!("SELECT count(*) FROM {}", table.name.quoted())
}

/// What the rightful owner reads of its own.
pub(super) async fn owner_reads(turn: &Turn<'_>) -> Result<Control, Error> {
    let scope = TenantScope::org(turn.victim.clone());
    let tally = turn.tally(&scope, Count::Answer, |table| Some(vec![all(table)])).await?;
    Ok(tally.control("reads"))
}

pub(super) async fn every_row(turn: &Turn<'_>) -> Seen {
    let scope = TenantScope::org(turn.attacker.clone());
    let seen = turn
        .tally(&scope, Count::Answer, |table| Some(vec![foreign(table, turn.attacker)]))
        .await?;
    Ok(Some((seen.observed("read"), owner_reads(turn).await?)))
}

pub(super) async fn by_key(turn: &Turn<'_>) -> Seen {
    let statement = |table: &Relation| {
        let key = turn.stage.key(table, turn.victim, turn.stage.only(turn.victim))?;
        Some(vec![format!("SELECT count(*) FROM {} WHERE {key}", table.name.quoted())])
    };
    let seen =
        turn.tally(&TenantScope::org(turn.attacker.clone()), Count::Answer, statement).await?;
    let owner =
        turn.tally(&TenantScope::org(turn.victim.clone()), Count::Answer, statement).await?;
    Ok(Some((seen.observed("read"), owner.control("reads"))))
}

pub(super) async fn without_context(turn: &Turn<'_>) -> Seen {
    let mut look = turn.stage.single.look().await?;
    let mut tally = Tally::default();
    for table in &turn.stage.tables {
        let answer = look.connection().fetch_one(sqlx::query(AssertSqlSafe(all(table)))).await;
        match answer.and_then(|row| row.try_get::<i64, _>(0)) {
            Ok(rows) => tally.note(table, rows.unsigned_abs()),
            Err(error) => match sqlstate(&error) {
                Some(code) => tally.refuse(table, code),
                None => return Err(Error::statement("an attack")(error)),
            },
        }
    }
    look.done().await?;
    Ok(Some((tally.observed("read"), owner_reads(turn).await?)))
}

pub(super) async fn copy_out(turn: &Turn<'_>) -> Seen {
    let is_foreign = |line: &[u8]| line != turn.attacker.as_str().as_bytes();
    let seen = copied(turn, turn.attacker, is_foreign).await?;
    let is_own = |line: &[u8]| line == turn.victim.as_str().as_bytes();
    let owner = copied(turn, turn.victim, is_own).await?;
    Ok(Some((seen.observed("copied"), owner.control("copies"))))
}

/// Counts the lines of every table that `wanted` finds, each of which names its organization.
async fn copied(
    turn: &Turn<'_>,
    org: &OrgId,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    for table in &turn.stage.tables {
        let mut tx = turn.stage.db.begin(&TenantScope::org(org.clone())).await?;
        match lines(&mut tx, table).await {
            Ok(text) => {
                let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                let found = lines.filter(|line| wanted(line)).count();
                tally.note(table, u64::try_from(found).unwrap_or(u64::MAX));
            }
            Err(error) => match sqlstate(&error) {
                Some(code) => tally.refuse(table, code),
                None => return Err(Error::statement("an attack")(error)),
            },
        }
        tx.rollback().await?;
    }
    Ok(tally)
}

async fn lines(tx: &mut TenantTx, table: &Relation) -> Result<Vec<u8>, sqlx::Error> {
    let sql = format!("COPY {} ({}) TO STDOUT", table.name.quoted(), table.org());
    let mut stream = tx.connection().copy_out_raw(&sql).await?;
    let mut text = Vec::new();
    while let Some(bytes) = stream.try_next().await? {
        text.extend_from_slice(&bytes);
    }
    Ok(text)
}

pub(super) async fn row_security_off(turn: &Turn<'_>) -> Seen {
    let scope = TenantScope::org(turn.attacker.clone());
    let seen = turn
        .tally(&scope, Count::Answer, |table| {
            let off = "SET LOCAL row_security = off".to_owned();
            Some(vec![off, foreign(table, turn.attacker)])
        })
        .await?;
    Ok(Some((seen.observed("read"), owner_reads(turn).await?)))
}

/// One expression is enough where `set_config` can be called: the first sub-select changes the context,
/// the second is planned to run after it.
pub(super) async fn switch(turn: &Turn<'_>) -> Seen {
    let statement = |table: &Relation, first: &str| {
        vec![format!(
            "SELECT count(*) FROM (SELECT {first} OFFSET 0) s(v),
               LATERAL (SELECT * FROM {} WHERE s.v IS NOT NULL OFFSET 0) i
             WHERE i.{}::text = {}",
            table.name.quoted(),
            table.org(),
            literal(turn.victim.as_str())
        )]
    };
    let set = match turn.stage.db.context_mode() {
        ContextMode::Plain => ("app.current_org_id", turn.victim.to_string()),
        ContextMode::Sealed => ("app.current_seal", turn.victim.to_string()),
        ContextMode::Register => ("backtrace_functions", registered(turn.victim)),
    };
    let set = format!("set_config('{}', {}, true)", set.0, literal(&set.1));
    let seen = turn
        .tally(&TenantScope::org(turn.attacker.clone()), Count::Answer, |table| {
            Some(statement(table, &set))
        })
        .await?;
    let get = "cupel.current_org_id()::text";
    let owner = turn
        .tally(&TenantScope::org(turn.victim.clone()), Count::Answer, |table| {
            Some(statement(table, get))
        })
        .await?;
    let control = match owner.control("reads") {
        Control::Held(text) => Control::held(text.replace("owner", "owner's SELECT")),
        failed @ Control::Failed(_) => failed,
    };
    let observed = match seen.observed("read") {
        Observed::Refused(text) => Observed::refused(format!("set_config {text}")),
        other => other,
    };
    Ok(Some((observed, control)))
}

/// An organization as a register holds it.
fn registered(org: &OrgId) -> String {
    format!("cupel_{}", org.as_str().replace('-', "_"))
}

/// Where the context is sealed, naming another organization in a statement of its own changes nothing.
/// A plain context trusts the application's statements, so there it is not an attack.
pub(super) async fn stack(turn: &Turn<'_>) -> Seen {
    if turn.stage.db.context_mode() == ContextMode::Plain {
        return Ok(None);
    }
    let statements = |table: &Relation, org: &OrgId| {
        vec![
            format!("SET LOCAL app.current_org_id = {}", literal(org.as_str())),
            format!("DO $$ BEGIN SET app.current_org_id = {}; END $$", literal(org.as_str())),
            format!(
                "SELECT count(*) FROM {} WHERE {}::text = {}",
                table.name.quoted(),
                table.org(),
                literal(org.as_str())
            ),
        ]
    };
    let by = async |org: &OrgId| {
        let scope = TenantScope::org(org.clone());
        turn.tally(&scope, Count::Answer, |table| Some(statements(table, turn.victim))).await
    };
    let seen = by(turn.attacker).await?.observed("read");
    Ok(Some((seen, by(turn.victim).await?.control("reads"))))
}
