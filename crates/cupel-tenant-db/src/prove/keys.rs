use cupel_tenant::{Control, Observed, OrgId, TenantScope};
use sqlx::{AssertSqlSafe, Executor};

use super::stage::{ABSENT, COMMON, FRESH};
use super::tally::meaning;
use super::{Seen, Turn};
use crate::Error;
use crate::catalog::{Reference, Relation};
use crate::error::sqlstate;

/// Runs one statement for an organization and rolls it back; returns the SQLSTATE of a refusal.
async fn try_as(turn: &Turn<'_>, org: &OrgId, sql: String) -> Result<Option<String>, Error> {
    let mut tx = turn.stage.db.begin(&TenantScope::org(org.clone())).await?;
    let mut refused = None;
    // A deferred constraint is heard only when it is asked.
    for sql in [sql, "SET CONSTRAINTS ALL IMMEDIATE".to_owned()] {
        if let Err(error) = tx.execute(AssertSqlSafe(sql)).await {
            match sqlstate(&error) {
                Some(code) => refused = Some(code),
                None => return Err(Error::statement("an attack")(error)),
            }
            break;
        }
    }
    tx.rollback().await?;
    Ok(refused)
}

/// A row of the attacker's refers to one that only the victim has. It must fail exactly as a reference
/// to one that nobody has: foreign keys are checked without row security.
pub(super) async fn refer(turn: &Turn<'_>) -> Seen {
    let mut tried = 0;
    let (mut observed, mut control) = (None, None);
    for (table, reference) in references(turn) {
        let tied = tied(table, reference);
        let insert = |org, to| {
            let parent = |it: &Reference| {
                if tied.contains(&it.constraint.as_str()) { to } else { COMMON[0] }
            };
            turn.stage.insert_referring(table, org, FRESH, &parent)
        };
        let (Some(foreign), Some(absent), Some(own)) = (
            insert(turn.attacker, turn.stage.only(turn.victim)),
            insert(turn.attacker, ABSENT),
            insert(turn.victim, turn.stage.only(turn.victim)),
        ) else {
            continue;
        };
        tried += 1;
        let seen = try_as(turn, turn.attacker, foreign).await?;
        let nothing = try_as(turn, turn.attacker, absent).await?;
        let owner = try_as(turn, turn.victim, own).await?;
        // Its row with that reference was set on the stage; where the reference is the key, there is no second.
        let is_there = turn.stage.is_keyed_by_reference(table);
        if let Some(code) = owner.filter(|code| !(is_there && code == "23505")) {
            control = Some(Control::failed(format!("own row refused: {}", meaning(&code))));
        }
        match (seen, nothing) {
            (None, _) => {
                observed =
                    Some(Observed::reached(format!("{} accepted the reference", table.name)));
            }
            // foreign_key_violation, as for a row that nobody has
            (Some(seen), Some(nothing)) if seen == nothing && seen == "23503" => {}
            (Some(seen), Some(nothing)) if seen == nothing => {
                let why = format!("{}: {}", table.name, meaning(&seen));
                observed.get_or_insert(Observed::unclear(why));
            }
            (Some(_), _) => {
                observed = Some(Observed::reached(format!(
                    "{} answers differently for a row that exists elsewhere",
                    table.name
                )));
            }
        }
    }
    let refused = || Observed::refused("refused like a row that does not exist");
    Ok((tried > 0).then(|| {
        (
            observed.unwrap_or_else(refused),
            control.unwrap_or_else(|| Control::held("own row accepted")),
        )
    }))
}

/// The foreign keys that share a column with this one, or with one that does: a row refers by all of them to rows of
/// one number.
fn tied<'a>(table: &'a Relation, reference: &'a Reference) -> Vec<&'a str> {
    let shares = |one: &Reference, other: &Reference| {
        let mut here = one.columns.iter().map(|(here, _)| here);
        here.any(|it| *it != table.org_column && other.columns.iter().any(|(here, _)| here == it))
    };
    let mut tied = vec![reference];
    while let Some(next) = table.references.iter().find(|it| {
        let is_in = |other: &&Reference| other.constraint == it.constraint;
        !tied.iter().any(is_in) && tied.iter().any(|other| shares(it, other))
    }) {
        tied.push(next);
    }
    tied.into_iter().map(|it| it.constraint.as_str()).collect()
}

fn references<'a>(turn: &'a Turn<'_>) -> impl Iterator<Item = (&'a Relation, &'a Reference)> {
    let tables = &turn.stage.tables;
    tables.iter().flat_map(move |table| {
        let inner =
            |it: &&Reference| it.to != table.name && tables.iter().any(|to| to.name == it.to);
        // One that leads to the organization itself names nobody else's row.
        let beyond = |it: &&Reference| it.columns.iter().any(|(here, _)| *here != table.org_column);
        let all = table.references.iter().filter(inner).filter(beyond);
        all.map(move |reference| (table, reference))
    })
}

/// The attacker inserts a row under an id that only the victim has.
pub(super) async fn collide(turn: &Turn<'_>) -> Seen {
    let n = turn.stage.only(turn.victim);
    let (mut leak, mut odd, mut caught, mut tried) = (None, None, 0, 0);
    let keyed = |it: &&Relation| !it.primary_key.is_empty() && !it.is_one_per_org();
    for table in turn.stage.tables.iter().filter(keyed) {
        let by_reference = turn.stage.is_keyed_by_reference(table);
        let parent = if by_reference { n } else { COMMON[0] };
        let insert = |org| turn.stage.insert(table, org, n, parent);
        let (Some(attack), Some(again)) = (insert(turn.attacker), insert(turn.victim)) else {
            continue;
        };
        tried += 1;
        match try_as(turn, turn.attacker, attack).await?.as_deref() {
            None => {}
            // foreign_key_violation: asked after the key, so that was free.
            Some("23503") if by_reference => {}
            Some("23505") => leak = Some(table.name.to_string()),
            Some(code) => odd = Some(format!("{}: {}", table.name, meaning(code))),
        }
        if try_as(turn, turn.victim, again).await?.as_deref() == Some("23505") {
            caught += 1;
        }
    }
    let observed = match (leak, odd) {
        (Some(table), _) => Observed::reached(format!("{table} says that the id is taken")),
        (None, Some(why)) => Observed::unclear(why),
        (None, None) => Observed::refused("the id is free"),
    };
    let control =
        Control::expect(caught == tried, format!("owner's id is taken in {caught} tables"));
    Ok((tried > 0).then_some((observed, control)))
}
