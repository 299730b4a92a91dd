use cupel_tenant::{OrgId, TenantScope, WorkspaceId};

use super::stage::{COMMON, FRESH};
use super::tally::Count;
use super::value::value;
use super::{Seen, Turn};
use crate::catalog::Relation;
use crate::{ColumnType, Error, TableKind};

/// The workspace of row `n`, as the stage writes it.
fn workspace(turn: &Turn<'_>, n: u16) -> Option<WorkspaceId> {
    let table = turn.stage.tables.iter().find(|it| it.has_workspaces())?;
    let column = table.columns.iter().find(|it| it.name == "workspace_id")?;
    // The value is written E'text'::type.
    value(column, n)?.split('\'').nth(1)?.parse().ok()
}

/// The scope of an organization narrowed to the workspace of its row `n`.
fn narrowed(turn: &Turn<'_>, org: &OrgId, n: u16) -> Result<Option<TenantScope>, Error> {
    let scope = TenantScope::org(org.clone());
    Ok(workspace(turn, n).and_then(|workspace| scope.narrow_to(workspace).ok()))
}

fn of_workspace(workspace: &WorkspaceId, own: bool) -> String {
    let is = if own { "=" } else { "<>" };
    format!("workspace_id::text {is} '{workspace}'")
}

/// As the workspace of its first row the attacker looks for any other's, its own organization's
/// included; the control is the victim in the workspace that has the row.
pub(super) async fn read(turn: &Turn<'_>) -> Seen {
    both(turn, Count::Answer, |table, condition| {
        Some(format!("SELECT count(*) FROM {} WHERE {condition}", table.name.quoted()))
    })
    .await
    .map(|seen| seen.map(|(seen, owner)| (seen.observed("read"), owner.control("reads"))))
}

pub(super) async fn write(turn: &Turn<'_>) -> Seen {
    both(turn, Count::Affected, |table, condition| {
        let name = table.name.quoted();
        let pair = of_the_pair(turn);
        Some(format!("UPDATE {name} SET workspace_id = workspace_id WHERE {condition} AND {pair}"))
    })
    .await
    .map(|seen| seen.map(|(seen, owner)| (seen.observed("updated"), owner.control("updates"))))
}

/// Where a guard is missing, the rows of organizations in use are not touched all the same. An id is of an
/// alphabet that needs no quoting.
fn of_the_pair(turn: &Turn<'_>) -> String {
    format!("org_id::text IN ('{}', '{}')", turn.attacker, turn.victim)
}

type Tallies = (super::tally::Tally, super::tally::Tally);

async fn both(
    turn: &Turn<'_>,
    count: Count,
    statement: impl Fn(&Relation, &str) -> Option<String>,
) -> Result<Option<Tallies>, Error> {
    let (Some(attacker), Some(victim)) =
        (narrowed(turn, turn.attacker, COMMON[0])?, narrowed(turn, turn.victim, COMMON[1])?)
    else {
        return Ok(None);
    };
    let per_table = |scope: &TenantScope, own: bool| {
        let workspace = scope.workspace_id().cloned();
        let statement = &statement;
        move |table: &Relation| {
            let workspace = workspace.as_ref().filter(|_| table.has_workspaces())?;
            Some(vec![statement(table, &of_workspace(workspace, own))?])
        }
    };
    let seen = turn.tally(&attacker, count, per_table(&attacker, false)).await?;
    let owner = turn.tally(&victim, count, per_table(&victim, true)).await?;
    Ok(Some((seen, owner)))
}

/// Any workspace will do, also one that has no rows.
pub(super) async fn change_shared(turn: &Turn<'_>) -> Seen {
    let shared = |table: &Relation| table.kind == Some(TableKind::Shared);
    if !turn.stage.tables.iter().any(shared) {
        return Ok(None);
    }
    let workspace: WorkspaceId = match turn.stage.db.column_type() {
        ColumnType::Text => "cupel-canary-1".parse().ok(),
        ColumnType::Uuid => turn.attacker.as_uuid().map(Into::into),
    }
    .ok_or(Error::SlugOnUuid { what: "workspaces" })?;
    let whole = |org: &OrgId| TenantScope::org(org.clone());
    let Ok(narrow) = whole(turn.attacker).narrow_to(workspace) else { return Ok(None) };
    let update = |table: &Relation| {
        let name = table.name.quoted();
        shared(table)
            .then(|| vec![format!("UPDATE {name} SET org_id = org_id WHERE {}", of_the_pair(turn))])
    };
    let insert = |table: &Relation| {
        let sql = turn.stage.insert(table, turn.attacker, FRESH, COMMON[0]);
        sql.filter(|_| shared(table)).map(|sql| vec![sql])
    };
    let updated = turn.tally(&narrow, Count::Affected, update).await?.observed("updated");
    let inserted = turn.tally(&narrow, Count::Affected, insert).await?.observed("inserted");
    let owner = turn.tally(&whole(turn.victim), Count::Affected, update).await?;
    let observed = match updated {
        cupel_tenant::Observed::Reached(_) => updated,
        _ => inserted,
    };
    Ok(Some((observed, owner.control("updates"))))
}
