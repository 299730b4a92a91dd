//! What a migration of ours made, and what became of it.

use std::collections::HashMap;

use cupel_tenant::Severity;

use super::{Asked, Place, Rule, steps, words};
use crate::audit::Question;
use crate::audit::facts::{Facts, Oid, Relation, Ungranted, quoted};

static CHANGED: Rule = Rule {
    id: "P1",
    severity: Severity::Critical,
    phase: 4,
    problem: "the policies that the migration made were changed or dropped",
    allows: "rows to be reached that the declaration keeps apart",
};

static DRIFTED: Rule = Rule {
    id: "D2",
    severity: Severity::Medium,
    phase: 2,
    problem: "the declaration and the database say different things of a table",
    allows: "nothing by itself; what somebody believes to be isolated may not be",
};

static UNGRANTED: Rule = Rule {
    id: "D5",
    severity: Severity::Low,
    phase: 2,
    problem: "a role does not have a right that the migration grants it",
    allows: "nothing to an organization; the service or its administration is refused what it needs",
};

/// What the migration grants and somebody took: one place for each object.
pub(super) fn ungranted(facts: &Facts) -> Vec<Place> {
    let same = |a: &Ungranted, b: &Ungranted| (&a.kind, &a.object) == (&b.kind, &b.object);
    let places = facts.ungranted.chunk_by(same).filter_map(|of_one| {
        let Ungranted { kind, object, target, .. } = of_one.first()?;
        let place = match kind.as_str() {
            "SCHEMA" | "PARAMETER" => format!("{} {object}", kind.to_lowercase()),
            _ => object.clone(),
        };
        let grants = of_one
            .iter()
            .map(|it| format!("GRANT {} ON {kind} {target} TO {}", it.privilege, quoted(&it.role)));
        let missing: Vec<String> =
            of_one.iter().map(|it| format!("{} of {}", it.privilege, it.role)).collect();
        Some(UNGRANTED.at(place, steps(grants)).noting(missing.join(", ")))
    });
    places.collect()
}

/// Where the declaration, what the last migration made of it and the tables themselves part.
pub(super) fn drifted(facts: &Facts, question: &Question) -> Vec<Place> {
    let mut places = Vec::new();
    let mut at = |(schema, name): &(String, String), note: String, fix: &str| {
        places.push(DRIFTED.at(format!("{schema}.{name}"), words(fix)).noting(note));
    };
    let migrated = &facts.declaration.migrated;
    for table in &question.declared {
        let name = (table.name.schema.clone(), table.name.table.clone());
        let Some((kind, org, workspace)) = migrated.get(&name) else {
            if facts.declaration.is_ours {
                at(&name, "it is declared, and was not migrated".to_owned(), "run the migration");
            }
            continue;
        };
        if kind != table.kind.as_str()
            || table.is_of_orgs() && *org != table.org_column
            || table.kind.has_workspaces() && *workspace != table.workspace_column
        {
            let note = format!("it was migrated as {kind} by {org}");
            at(&name, note, "run the migration, or correct the declaration");
        }
    }
    let declares = |name: &(String, String)| {
        let mut tables = question.declared.iter();
        tables.any(|it| (&it.name.schema, &it.name.table) == (&name.0, &name.1))
    };
    if !question.declared.is_empty() {
        for name in migrated.keys().filter(|name| !declares(name)) {
            let note = "it was migrated, and is not declared any more".to_owned();
            at(name, note, "declare it, or run the migration, which forgets it");
        }
    }
    let relations: HashMap<(&str, &str), &Relation> =
        facts.relations().map(|it| ((it.schema.as_str(), it.name.as_str()), it)).collect();
    for (name, column) in &facts.declaration.tables {
        match relations.get(&(name.0.as_str(), name.1.as_str())) {
            None => at(name, "there is no such table".to_owned(), "take it out of the declaration"),
            Some(table) if table.tenant_column.as_deref() != Some(column) => {
                let note = format!("it has no column {column}");
                at(name, note, "add the column, or correct the declaration");
            }
            Some(_) => {}
        }
    }
    places
}

/// The policies that each declared table should have, one line for each; by table.
pub(in crate::audit) type Lines = HashMap<Oid, Vec<String>>;

/// The tables whose policies are not those that were made.
pub(in crate::audit) fn changed(facts: &Facts, made: &Lines, now: &Lines) -> Vec<Place> {
    let places = made.iter().filter_map(|(oid, made)| {
        let table = facts.relations.get(oid)?;
        let now = now.get(oid).map_or(&[][..], Vec::as_slice);
        let mut lost = made.iter().filter(|line| !now.contains(line)).peekable();
        let gained = now.iter().any(|line| !made.contains(line));
        if lost.peek().is_none() && !gained {
            return None;
        }
        // Without its access policy the table is closed, and nobody reaches anything.
        let closed = lost.all(|line| line.starts_with("cupel_access")) && !gained;
        let place = CHANGED.at(table.object(), words("run the migration"));
        Some(if closed { place.weighing(Severity::Medium) } else { place })
    });
    places.collect()
}

pub(super) const ASKED: &[Asked] = &[Asked {
    rule: Rule {
        id: "D1",
        severity: Severity::High,
        phase: 2,
        problem: "the application's role has a right on what the migration keeps for administration",
        allows: "learning which organizations there are, making seals of its own, or hiding what an adoption counts",
    },
    query: "SELECT n.nspname || '.' || c.relname, format('REVOKE ALL ON %s %I.%I FROM %s',
            CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname, q.revokees),
          CASE WHEN c.relname = 'seal_keys' THEN 'critical' WHEN n.nspname = 'cupel_shadow' THEN 'medium' END
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, q
        WHERE n.nspname IN ('cupel', 'cupel_shadow') AND c.relkind IN ('r', 'v', 'S')
          AND EXISTS (SELECT FROM r WHERE CASE c.relkind
            WHEN 'S' THEN has_sequence_privilege(r.role, c.oid, 'USAGE, UPDATE')
            ELSE has_any_column_privilege(r.role, c.oid, 'INSERT, UPDATE')
              OR has_table_privilege(r.role, c.oid, 'DELETE')
              OR c.relname IN ('organizations', 'access_log', 'seal_keys')
                AND has_any_column_privilege(r.role, c.oid, 'SELECT') END)",
}];
