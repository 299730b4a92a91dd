use cupel_tenant::{Observed, OrgId, TenantScope, WorkspaceId};

use super::stage::{self, COMMON, FRESH, FRESH_IN_WORKSPACE};
use super::tally::Count;
use super::{Seen, Turn};
use crate::catalog::Relation;
use crate::{ColumnType, Error, TableKind};

/// The workspace of row `n`, as the stage writes it.
fn workspace(turn: &Turn<'_>, n: u16) -> Option<WorkspaceId> {
    stage::workspace(turn.stage.tables.iter().find(|it| it.has_workspaces())?, n)
}

/// The scope of an organization narrowed to the workspace of its row `n`.
pub(super) fn narrowed(turn: &Turn<'_>, org: &OrgId, n: u16) -> Result<Option<TenantScope>, Error> {
    let scope = TenantScope::org(org.clone());
    Ok(workspace(turn, n).and_then(|workspace| scope.narrow_to(workspace).ok()))
}

pub(super) fn of_workspace(table: &Relation, workspace: &WorkspaceId, own: bool) -> String {
    let column = table.workspace();
    if own {
        return format!("{column}::text = '{workspace}'");
    }
    // What an organization shares is no other workspace's.
    let shared = shared_rows(table).unwrap_or_else(|| "false".to_owned());
    format!("{column}::text <> '{workspace}' AND NOT ({shared})")
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
        let (name, column, pair) =
            (table.name.quoted(), table.workspace(), of_the_pair(turn, table));
        Some(format!("UPDATE {name} SET {column} = {column} WHERE {condition} AND {pair}"))
    })
    .await
    .map(|seen| seen.map(|(seen, owner)| (seen.observed("updated"), owner.control("updates"))))
}

pub(super) async fn delete(turn: &Turn<'_>) -> Seen {
    both(turn, Count::Affected, |table, condition| {
        let (name, pair) = (table.name.quoted(), of_the_pair(turn, table));
        Some(format!("DELETE FROM {name} WHERE {condition} AND {pair}"))
    })
    .await
    .map(|seen| seen.map(|(seen, owner)| (seen.observed("deleted"), owner.control("deletes"))))
}

/// As the workspace of its first row the attacker hands that row to another; the control is the victim, who
/// does so as the whole organization. Of a table whose workspaces are separate nobody's scope does.
pub(super) async fn relocate(turn: &Turn<'_>) -> Seen {
    let is_movable = |table: &Relation| table.kind == Some(TableKind::Workspace);
    if !turn.stage.tables.iter().any(is_movable) {
        return Ok(None);
    }
    let Some(attacker) = narrowed(turn, turn.attacker, COMMON[0])? else { return Ok(None) };
    let to = workspace(turn, FRESH);
    let moved = |table: &Relation| {
        let to = to.as_ref().filter(|_| is_movable(table))?;
        let kind = &table.column(&table.workspace_column)?.type_name;
        let column = table.workspace();
        let from = workspace(turn, COMMON[0])?;
        Some(vec![format!(
            "UPDATE {} SET {column} = '{to}'::{kind} WHERE {column}::text = '{from}' AND {}",
            table.name.quoted(),
            of_the_pair(turn, table),
        )])
    };
    let seen = turn.tally(&attacker, Count::Affected, moved).await?;
    let owner = TenantScope::org(turn.victim.clone());
    let owner = turn.tally(&owner, Count::Affected, moved).await?;
    Ok(Some((seen.observed("moved"), owner.control("moves"))))
}

/// The row is of the attacker's own organization, and of a workspace that it is not in; the control is the
/// victim in that workspace.
pub(super) async fn insert(turn: &Turn<'_>) -> Seen {
    let (Some(attacker), Some(victim)) = (
        narrowed(turn, turn.attacker, COMMON[0])?,
        narrowed(turn, turn.victim, FRESH_IN_WORKSPACE)?,
    ) else {
        return Ok(None);
    };
    let row = |org: &OrgId| {
        let org = org.clone();
        move |table: &Relation| {
            let sql = turn.stage.insert(table, &org, FRESH_IN_WORKSPACE, COMMON[0]);
            Some(vec![sql.filter(|_| table.has_workspaces())?])
        }
    };
    let seen = turn.tally(&attacker, Count::Affected, row(turn.attacker)).await?;
    let owner = turn.tally(&victim, Count::Affected, row(turn.victim)).await?;
    Ok(Some((seen.observed("inserted"), owner.control("inserts"))))
}

/// Where a guard is missing, the rows of organizations in use are not touched all the same. An id is of an
/// alphabet that needs no quoting.
fn of_the_pair(turn: &Turn<'_>, table: &Relation) -> String {
    format!("{}::text IN ('{}', '{}')", table.org(), turn.attacker, turn.victim)
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
            Some(vec![statement(table, &of_workspace(table, workspace, own))?])
        }
    };
    let seen = turn.tally(&attacker, count, per_table(&attacker, false)).await?;
    let owner = turn.tally(&victim, count, per_table(&victim, true)).await?;
    Ok(Some((seen, owner)))
}

/// The rows of a table that are shared by the whole organization.
fn shared_rows(table: &Relation) -> Option<String> {
    match table.kind {
        Some(TableKind::Shared) => Some("true".to_owned()),
        Some(TableKind::Workspace) => Some(format!("{} IS NULL", table.workspace())),
        Some(TableKind::Separate) => {
            Some(format!("{} = cupel.shared_workspace()", table.workspace()))
        }
        _ => None,
    }
}

/// Any workspace will do, also one that has no rows.
pub(super) async fn change_shared(turn: &Turn<'_>) -> Seen {
    if !turn.stage.tables.iter().any(|it| shared_rows(it).is_some()) {
        return Ok(None);
    }
    let workspace: WorkspaceId = match turn.stage.db.column_type() {
        ColumnType::Text => "cupel-canary-1".parse().ok(),
        ColumnType::Uuid => turn.attacker.as_uuid().map(Into::into),
    }
    .ok_or(Error::SlugOnUuid { what: "workspaces" })?;
    let whole = |org: &OrgId| TenantScope::org(org.clone());
    let Ok(narrow) = whole(turn.attacker).narrow_to(workspace) else { return Ok(None) };
    let on_shared = |act: &'static str| {
        move |table: &Relation| {
            let name = table.name.quoted();
            let rows = format!("{} AND {}", shared_rows(table)?, of_the_pair(turn, table));
            let sql = act.replace("{name}", &name).replace("{org}", &table.org());
            Some(vec![sql.replace("{rows}", &rows)])
        }
    };
    let update = on_shared("UPDATE {name} SET {org} = {org} WHERE {rows}");
    let delete = on_shared("DELETE FROM {name} WHERE {rows}");
    let insert = |table: &Relation| {
        let sql = turn.stage.insert(table, turn.attacker, FRESH, COMMON[0]);
        let wanted = table.kind == Some(TableKind::Shared) && !table.is_one_per_org();
        sql.filter(|_| wanted).map(|sql| vec![sql])
    };
    let mut observed = turn.tally(&narrow, Count::Affected, update).await?.observed("updated");
    for (seen, act) in [
        (turn.tally(&narrow, Count::Affected, insert).await?, "inserted"),
        (turn.tally(&narrow, Count::Affected, delete).await?, "deleted"),
    ] {
        if !matches!(observed, Observed::Reached(_)) {
            observed = seen.observed(act);
        }
    }
    let owner = turn.tally(&whole(turn.victim), Count::Affected, update).await?;
    Ok(Some((observed, owner.control("updates"))))
}
