//! Keys that the server checks across organizations, whatever row security says.

use cupel_tenant::Severity;

use super::{Place, Rule, steps, words};
use crate::audit::confine::Act;
use crate::audit::expr::Class;
use crate::audit::facts::{Facts, ForeignKey, Relation, Right, UniqueKey, quoted};

static REFERS_ACROSS: Rule = Rule {
    id: "K1",
    severity: Severity::High,
    phase: 6,
    problem: "a foreign key lets one organization refer to another's row",
    allows: "an organization to learn which ids exist elsewhere, and to hold their deletion up",
};

static SPANS: Rule = Rule {
    id: "K2",
    severity: Severity::High,
    phase: 6,
    problem: "a unique or exclusion key spans organizations",
    allows: "an organization to learn which values exist elsewhere, and to take them",
};

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    for key in &facts.foreign_keys {
        let tables = (facts.relations.get(&key.from), facts.relations.get(&key.to));
        let (Some(from), Some(to)) = tables else { continue };
        if to.is_of_orgs()
            && to.has_tenant_column()
            && !carries(key, facts.tenant_column(from), facts.tenant_column(to))
        {
            places.extend(refers_across(facts, key, from, to));
        }
    }
    for key in facts.unique_keys.iter().filter(|it| (it.unique || it.exclusion) && !it.carries) {
        let table = facts.relations.get(&key.relation);
        if let Some(table) = table.filter(|it| it.is_of_orgs() && it.has_tenant_column()) {
            places.extend(spans(facts, key, table));
        }
    }
    places
}

/// Whether the tenant column refers to the tenant column.
fn carries(key: &ForeignKey, from: &str, to: &str) -> bool {
    key.columns.iter().zip(&key.to_columns).any(|(here, there)| here == from && there == to)
}

/// Whether the application can do one of the acts to some row of the table.
fn can(facts: &Facts, table: &Relation, acts: &[Act]) -> bool {
    if !table.is_of_orgs() {
        let rights: Vec<Right> = acts.iter().map(|it| it.right()).collect();
        return facts.app_may(table.oid, &rights);
    }
    let possible = |role: i64, act: Act| facts.hold(role, table, act).class > Class::Never;
    facts.roles.acting().iter().filter(|it| facts.may(**it, table.oid, &[Right::Usage])).any(
        |role| {
            acts.iter().filter(|act| facts.may(*role, table.oid, &[act.right()])).any(|act| {
                match act {
                    Act::UpdateNew | Act::UpdateOld => {
                        possible(*role, Act::UpdateOld) && possible(*role, Act::UpdateNew)
                    }
                    act => possible(*role, *act),
                }
            })
        },
    )
}

/// Storing rows, of whoever's organization.
const STORES: [Act; 2] = [Act::Insert, Act::UpdateNew];

fn refers_across(facts: &Facts, key: &ForeignKey, from: &Relation, to: &Relation) -> Option<Place> {
    let columns = |table: &Relation, names: &[String]| {
        std::iter::once(quoted(facts.tenant_column(table)))
            .chain(names.iter().map(|it| quoted(it)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let drop = format!("ALTER TABLE {} DROP CONSTRAINT {}", from.quoted, quoted(&key.name));
    let actions =
        format!("{}{}", action("DELETE", &key.on_delete), action("UPDATE", &key.on_update));
    let add = format!(
        "ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {} ({}){actions}",
        from.quoted,
        columns(from, &key.columns),
        to.quoted,
        columns(to, &key.to_columns),
    );
    let others: Vec<&String> =
        key.to_columns.iter().filter(|it| *it != facts.tenant_column(to)).collect();
    let target = facts.unique_keys.iter().any(|it| {
        it.relation == to.oid
            && it.unique
            && it.carries
            && !it.partial
            && it.columns.len() == others.len() + 1
            && others.iter().all(|name| it.columns.contains(&quoted(name)))
    });
    let unique = format!("ALTER TABLE {} ADD UNIQUE ({})", to.quoted, columns(to, &key.to_columns));
    let fix = match (from.has_tenant_column(), target) {
        (true, true) => steps([drop, add]),
        (true, false) => steps([unique, drop, add]),
        (false, _) => words(format!("give {} a tenant column; {add}", from.quoted)),
    };
    let place = REFERS_ACROSS.at(format!("{}.{}", from.object(), key.name), fix);
    if !key.writable || !can(facts, from, &STORES) {
        return Some(place.weighing(Severity::Low).noting("the application cannot write it"));
    }
    // The owner of the row referred to deletes or changes rows of whoever refers to it.
    let reaches_back = matches!(key.on_delete.as_str(), "c" | "n" | "d")
        && can(facts, to, &[Act::Delete])
        || matches!(key.on_update.as_str(), "c" | "n" | "d") && can(facts, to, &[Act::UpdateNew]);
    Some(if reaches_back {
        place
            .weighing(Severity::Critical)
            .noting("deleting or changing it reaches the rows that refer to it")
    } else {
        place
    })
}

fn action(event: &str, code: &str) -> String {
    let action = match code {
        "c" => "CASCADE",
        "n" => "SET NULL",
        "d" => "SET DEFAULT",
        "r" => "RESTRICT",
        _ => return String::new(),
    };
    format!(" ON {event} {action}")
}

fn spans(facts: &Facts, key: &UniqueKey, table: &Relation) -> Option<Place> {
    let list = std::iter::once(quoted(facts.tenant_column(table)))
        .chain(key.columns.iter().cloned())
        .collect::<Vec<_>>()
        .join(", ");
    let is_referred_to = facts.foreign_keys.iter().any(|it| it.to == table.oid);
    let plain = key.unique && !key.partial && !key.columns.is_empty() && !key.mentions;
    let fix = if plain && key.constraint && !is_referred_to {
        let kind = if key.primary { "PRIMARY KEY" } else { "UNIQUE" };
        steps([
            format!("ALTER TABLE {} DROP CONSTRAINT {}", table.quoted, quoted(&key.name)),
            format!("ALTER TABLE {} ADD {kind} ({list})", table.quoted),
        ])
    } else {
        words(format!("make {} the first column of {}", facts.tenant_column(table), key.name))
    };
    let place = SPANS.at(format!("{}.{}", table.object(), key.name), fix);
    Some(if key.mentions {
        place.weighing(Severity::Medium).noting("the tenant column is only part of an expression")
    } else if !(key.insertable || key.updatable) || !can(facts, table, &STORES) {
        place.weighing(Severity::Low).noting("the application cannot write it")
    } else {
        place
    })
}
