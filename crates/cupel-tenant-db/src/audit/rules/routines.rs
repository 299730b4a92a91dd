//! The functions and procedures that a migration of ours made, and what became of them.

use cupel_tenant::Severity;

use super::{Fix, Place, Rule, sql, steps, words};
use crate::audit::facts::{Compared, Facts, Part, There, quoted};
use crate::schema::Made;

static CHANGED: Rule = Rule {
    id: "D3",
    severity: Severity::Critical,
    phase: 3,
    problem: "a function or procedure of the migration is not as the migration makes it",
    allows: "whatever it does instead: those of the context decide whose rows are seen",
};

static OTHER: Rule = Rule {
    id: "D4",
    severity: Severity::Medium,
    phase: 3,
    problem: "the schema cupel was made by another version, or for other roles or settings than it says",
    allows: "nothing by itself; what this version relies on may be missing",
};

static KEPT: Rule = Rule {
    id: "D1",
    severity: Severity::Medium,
    phase: 2,
    problem: "the application's role may call what the migration keeps for administration",
    allows: "entries of its own in the log of administration's access, in anybody's name",
};

const AGAIN: &str = "run the migration again";

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let Some(installed) = &facts.installed else { return Vec::new() };
    let mut places = Vec::new();
    for compared in installed.compared.iter().filter(|it| !it.is_as_made()) {
        let severity = match (compared.decides, installed.of_another) {
            (true, _) => Severity::Critical,
            (false, false) => Severity::High,
            (false, true) => Severity::Medium,
        };
        let place = match &compared.there {
            Some(there) => {
                let place = CHANGED.at(&there.signature, fix(facts, compared, there));
                let parts: Vec<&str> = compared.differs.iter().map(|it| it.as_str()).collect();
                place.noting(parts.join(", "))
            }
            None => {
                let name = format!("cupel.{}", compared.made.routine.name);
                CHANGED.at(name, words(AGAIN)).noting("it is not there")
            }
        };
        places.push(place.weighing(severity));
    }
    for (compared, there) in
        installed.compared.iter().filter_map(|it| Some((it, it.there.as_ref()?)))
    {
        let callable = facts.functions.get(&there.oid).is_some_and(|it| it.callable);
        if callable && !compared.granted {
            let revokees = facts.roles.revokees();
            let revoke = format!("REVOKE EXECUTE ON ROUTINE {} FROM {revokees}", there.signature);
            places.push(KEPT.at(&there.signature, sql(revoke)));
        }
    }
    if installed.of_another {
        places.push(OTHER.at("schema cupel", words(AGAIN)));
    }
    places
}

/// Attributes can be put back by a statement; what it does is put back by the migration.
fn fix(facts: &Facts, compared: &Compared, there: &There) -> Fix {
    let Made { routine, owner } = &compared.made;
    let mut attributes = Vec::new();
    let mut statements = Vec::new();
    let alter = format!("ALTER ROUTINE {}", there.signature);
    for part in &compared.differs {
        attributes.push(match part {
            Part::Definer if routine.definer => "SECURITY DEFINER",
            Part::Definer => "SECURITY INVOKER",
            Part::Leakproof if routine.leakproof => "LEAKPROOF",
            Part::Leakproof => "NOT LEAKPROOF",
            Part::Parallel => match routine.parallel.as_str() {
                "s" => "PARALLEL SAFE",
                "r" => "PARALLEL RESTRICTED",
                _ => "PARALLEL UNSAFE",
            },
            Part::Strict if routine.strict => "STRICT",
            Part::Strict => "CALLED ON NULL INPUT",
            Part::Volatility => match routine.volatility.as_str() {
                "i" => "IMMUTABLE",
                "s" => "STABLE",
                _ => "VOLATILE",
            },
            Part::Settings => {
                statements.push(format!("{alter} RESET ALL"));
                let settings = routine.settings.iter().filter_map(|it| it.split_once('='));
                statements.extend(settings.map(|(name, to)| format!("{alter} SET {name} = {to}")));
                continue;
            }
            Part::Owner => {
                let of_schema =
                    || facts.schemas.get("cupel").map(|it| quoted(facts.roles.name(*it)));
                let Some(owner) = owner.clone().or_else(of_schema) else { continue };
                statements.push(format!("{alter} OWNER TO {owner}"));
                continue;
            }
            Part::Body | Part::Language | Part::Result | Part::Support => {
                return words(AGAIN);
            }
        });
    }
    if !attributes.is_empty() {
        statements.insert(0, format!("{alter} {}", attributes.join(" ")));
    }
    steps(statements)
}
