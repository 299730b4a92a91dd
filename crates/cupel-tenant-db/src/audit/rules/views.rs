//! Views, materialized views and rewrite rules: what they read with another's rights.

use std::collections::HashSet;

use cupel_tenant::Severity;

use super::{Place, Rule, severity_of, sql, words};
use crate::audit::confine::Act;
use crate::audit::expr::{Class, Reader, Surroundings};
use crate::audit::facts::{Facts, Kind, Oid, Relation, Right};

static VIEW: Rule = Rule {
    id: "V1",
    severity: Severity::Critical,
    phase: 3,
    problem: "a view reads a tenant table with its owner's rights",
    allows: "what the owner may reach to be reached through it",
};

static MATERIALIZED: Rule = Rule {
    id: "V2",
    severity: Severity::Critical,
    phase: 2,
    problem: "a materialized view holds rows of organizations",
    allows: "reading them: row security does not reach materialized views",
};

static REWRITE: Rule = Rule {
    id: "V3",
    severity: Severity::Critical,
    phase: 3,
    problem: "a rewrite rule touches a tenant table with its owner's rights",
    allows: "rows of others to be written by a statement on the rule's table",
};

/// A tenant table that is reached, and with whose rights.
type Reached = (Oid, Oid);

impl Facts {
    /// The tenant tables that the view reads when `user` asks, each with the role whose rights count.
    pub(in crate::audit) fn behind(&self, view: &Relation, user: Oid) -> HashSet<Reached> {
        let mut found = HashSet::new();
        let mut seen = HashSet::new();
        let mut waiting = vec![(view.oid, user)];
        while let Some((oid, user)) = waiting.pop() {
            if !seen.insert((oid, user)) {
                continue;
            }
            let Some(view) = self.relations.get(&oid) else { continue };
            // A view with security_invoker goes by the current user wherever it is nested; a materialized
            // view is filled by its owner.
            let with = if view.kind == Kind::View && view.invoker { user } else { view.owner };
            let inner_user = if view.kind == Kind::MaterializedView { view.owner } else { user };
            for read in self.reads.get(&oid).into_iter().flatten() {
                let Some(relation) = self.relations.get(read) else { continue };
                match relation.kind {
                    Kind::View | Kind::MaterializedView
                        if self.may(with, *read, &[Right::Select]) =>
                    {
                        waiting.push((*read, inner_user));
                    }
                    _ if relation.is_of_orgs() => {
                        found.insert((*read, with));
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    for view in facts.relations().filter(|it| it.schema != "cupel") {
        match view.kind {
            Kind::View => places.extend(through(facts, view)),
            Kind::MaterializedView => places.extend(snapshot(facts, view)),
            Kind::Table | Kind::Foreign => {}
        }
    }
    places.extend(facts.rewrites.iter().filter_map(|it| rewrite(facts, it)));
    places
}

fn through(facts: &Facts, view: &Relation) -> Option<Place> {
    let acting = facts.roles.acting();
    let acts = [Act::Read, Act::Insert, Act::UpdateOld, Act::UpdateNew, Act::Delete];
    let mut worst: Option<(Class, String)> = None;
    for user in acting {
        if !facts.may(*user, view.oid, &[Right::Usage]) {
            continue;
        }
        for (table, with) in facts.behind(view, *user) {
            let Some(table) = facts.relations.get(&table).filter(|_| !acting.contains(&with))
            else {
                continue;
            };
            for act in acts {
                let may = facts.may(*user, view.oid, &[act.right()])
                    && facts.may(with, table.oid, &[act.right()]);
                if !may {
                    continue;
                }
                let class = facts.hold(with, table, act).class;
                if worst.as_ref().is_none_or(|it| it.0 < class) {
                    worst = Some((class, table.object()));
                }
            }
        }
    }
    let (class, table) = worst?;
    let reads_itself = facts.reads.get(&view.oid).into_iter().flatten();
    let only_views =
        !reads_itself.filter_map(|it| facts.relations.get(it)).any(Relation::is_of_orgs);
    let fix = if only_views && view.invoker {
        words("set security_invoker on the views that it reads")
    } else {
        sql(format!("ALTER VIEW {} SET (security_invoker = true)", view.quoted))
    };
    let place = VIEW.at(view.object(), fix).noting(table);
    let own = own_filter(facts, view);
    let writable = facts.app_may(view.oid, &[Right::Insert, Right::Update, Right::Delete]);
    Some(match own {
        // Whatever else is asked of it comes after its own condition only if it is a barrier: a function
        // that is cheap enough comes first, and sees every row.
        Some(Class::Never | Class::Isolates) if class > Class::Isolates && !writable => {
            let makes = facts.makes.objects || facts.makes.temporary;
            place.weighing(match (view.barrier, makes) {
                (true, _) => Severity::Low,
                (false, true) => Severity::Critical,
                (false, false) => Severity::Medium,
            })
        }
        _ => place.weighing(severity_of(class)),
    })
}

/// What the view's own WHERE lets through, if all it does is to filter one table.
fn own_filter(facts: &Facts, view: &Relation) -> Option<Class> {
    let text = view.definition.as_deref()?;
    let (head, rest) = text.split_once(" FROM ").or_else(|| text.split_once("\n   FROM "))?;
    let (table, condition) = rest.split_once("WHERE ")?;
    let table = table.trim();
    let is_plain = !head.contains('(')
        && table.chars().all(|it| it.is_alphanumeric() || "_.\"$ ".contains(it))
        && !["JOIN", "LATERAL", "ONLY"].iter().any(|it| table.contains(it));
    let mut reads = facts.reads.get(&view.oid)?.iter().filter_map(|it| facts.relations.get(it));
    let tenant_column = facts.tenant_column(reads.find(|it| it.is_of_orgs())?).to_owned();
    let known = Surroundings { tenant_column, ..facts.surroundings.clone() };
    is_plain.then(|| Reader(&known).judge(condition.trim()))
}

fn snapshot(facts: &Facts, view: &Relation) -> Option<Place> {
    if !facts.app_may(view.oid, &[Right::Select]) {
        return None;
    }
    let behind = facts.behind(view, view.owner);
    let worst = behind
        .iter()
        .filter_map(|(table, with)| {
            let table = facts.relations.get(table)?;
            facts
                .may(*with, table.oid, &[Right::Select])
                .then(|| facts.hold(*with, table, Act::Read).class)
        })
        .max()?;
    let fix = format!("REVOKE ALL ON {} FROM {}", view.quoted, facts.roles.revokees());
    let place = MATERIALIZED.at(view.object(), sql(fix));
    Some(match worst {
        // What it holds depends on the context in which it was filled.
        Class::Never | Class::Isolates | Class::Unknown | Class::Switch => {
            place.weighing(Severity::Medium)
        }
        Class::FailOpen | Class::Open if !view.is_populated => {
            place.weighing(Severity::High).noting("it is not filled yet")
        }
        Class::FailOpen | Class::Open => place,
    })
}

fn rewrite(facts: &Facts, rule: &crate::audit::facts::Rewrite) -> Option<Place> {
    let on = facts.relations.get(&rule.relation).filter(|it| it.schema != "cupel")?;
    let right = match rule.event.as_str() {
        "2" => Right::Update,
        "3" => Right::Insert,
        _ => Right::Delete,
    };
    if !facts.app_may(on.oid, &[right]) || on.kind == Kind::View && on.invoker {
        return None;
    }
    let worst = rule
        .touches
        .iter()
        .filter(|it| **it != rule.relation)
        .filter_map(|it| facts.relations.get(it))
        .flat_map(|it| match it.kind {
            Kind::View => {
                facts.behind(it, facts.roles.app()).into_iter().map(|(table, _)| table).collect()
            }
            _ => vec![it.oid],
        })
        .filter_map(|it| facts.relations.get(&it))
        .filter(|it| it.is_of_orgs())
        .map(|it| facts.worst(on.owner, it))
        .max()?;
    let fix = words(format!(
        "DROP RULE {} ON {}, or have an owner that row security binds",
        super::super::facts::quoted(&rule.name),
        on.quoted
    ));
    let place = REWRITE.at(format!("{}.{}", on.object(), rule.name), fix);
    Some(place.weighing(severity_of(worst)))
}
