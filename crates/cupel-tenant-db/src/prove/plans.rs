//! One statement of two scopes on one connection. The second finds the plan that the server made for the first, and nothing
//! in that may be true of the first alone.

use cupel_tenant::{Control, Observed, TenantScope};
use sqlx::{AssertSqlSafe, Row};

use super::workspaces::{narrowed, of_workspace};
use super::{Seen, Turn};
use crate::Error;
use crate::catalog::Relation;
use crate::prove::stage::COMMON;

pub(super) async fn of_an_organization(turn: &Turn<'_>) -> Seen {
    let owner = TenantScope::org(turn.victim.clone());
    let attacker = TenantScope::org(turn.attacker.clone());
    planned(turn, &owner, &attacker, |table| {
        Some(format!("{}::text = '{}'", table.org(), turn.victim))
    })
    .await
}

/// Both workspaces are the victim's.
pub(super) async fn of_a_workspace(turn: &Turn<'_>) -> Seen {
    let (Some(owner), Some(attacker)) =
        (narrowed(turn, turn.victim, COMMON[0])?, narrowed(turn, turn.victim, COMMON[1])?)
    else {
        return Ok(None);
    };
    let Some(workspace) = owner.workspace_id().cloned() else { return Ok(None) };
    planned(turn, &owner, &attacker, |table| {
        table.has_workspaces().then(|| of_workspace(table, &workspace, true))
    })
    .await
}

/// Counts, as the owner and then as the attacker, what is the owner's.
async fn planned(
    turn: &Turn<'_>,
    owner: &TenantScope,
    attacker: &TenantScope,
    is_owners: impl Fn(&Relation) -> Option<String>,
) -> Seen {
    let counts: Vec<String> = (turn.stage.tables.iter())
        .filter_map(|table| {
            let rows = is_owners(table)?;
            Some(format!("(SELECT count(*) FROM {} WHERE {rows})", table.name.quoted()))
        })
        .collect();
    // Behind a pooler no plan is kept.
    if counts.is_empty() || turn.stage.db.is_behind_pooler() {
        return Ok(None);
    }
    let sql = format!("SELECT {}, pg_backend_pid()::bigint", counts.join(" + "));
    let (mut seen, mut backends) = ([0_i64; 2], [0_i64; 2]);
    for ((scope, seen), backend) in [owner, attacker].into_iter().zip(&mut seen).zip(&mut backends)
    {
        let mut tx = turn.stage.single.begin(scope).await?;
        // As a query, which is prepared and whose plan is kept: one without parameters has the same for everybody.
        let row = sqlx::query(AssertSqlSafe(sql.clone())).fetch_one(&mut tx).await;
        let row = row.map_err(Error::statement("an attack"))?;
        *seen = row.try_get(0).map_err(Error::statement("an attack"))?;
        *backend = row.try_get(1).map_err(Error::statement("an attack"))?;
        tx.commit().await?;
    }
    let control = Control::expect(seen[0] > 0, format!("owner read {} before", seen[0]));
    let observed = match seen[1] {
        0 if backends[0] != backends[1] => Observed::unclear("it was served by a new connection"),
        0 => Observed::refused("0 rows by the same plan"),
        rows => Observed::reached(format!("{rows} rows by the same plan")),
    };
    Ok(Some((observed, control)))
}
