//! The functions, procedures and triggers that a migration of ours made, and what became of them.

use cupel_tenant::Severity;

use super::{Fix, Place, Rule, sql, steps, words};
use crate::audit::facts::{
    Compared, ComparedTrigger, Facts, Installed, Part, There, ThereTrigger, quoted,
};
use crate::schema::{Made, MadeTrigger};

static CHANGED: Rule = Rule {
    id: "D3",
    severity: Severity::Critical,
    phase: 3,
    problem: "a function, procedure or trigger of the migration is not as the migration makes it",
    allows: "whatever it does instead: functions of the context decide whose rows are seen, triggers keep who is suspended out and the access log whole",
};

static OTHER: Rule = Rule {
    id: "D4",
    severity: Severity::Medium,
    phase: 3,
    problem: "the schema was made by another version, or for other roles or settings than it says",
    allows: "nothing by itself; what this version relies on may be missing",
};

static KEPT: Rule = Rule {
    id: "D1",
    severity: Severity::Medium,
    phase: 2,
    problem: "the application's role may call what the migration keeps for administration",
    allows: "entries of its own in the log of administration's access, in anybody's name",
};

/// What makes the schema as it should be.
fn again(schema: &str) -> Fix {
    words(match schema {
        "cupel_shadow" => "run the shadow phase of the adoption again",
        _ => "run the migration again",
    })
}

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let Some(installed) = &facts.installed else { return Vec::new() };
    let mut places = Vec::new();
    for compared in installed.compared.iter().filter(|it| !it.is_as_made()) {
        let routine = &compared.made.routine;
        let severity = if compared.decides {
            Severity::Critical
        } else {
            severity_in(&routine.schema, installed)
        };
        let place = match &compared.there {
            Some(there) => {
                let place = CHANGED.at(&there.signature, fix(facts, compared, there));
                let parts: Vec<&str> = compared.differs.iter().map(|it| it.as_str()).collect();
                place.noting(parts.join(", "))
            }
            None => {
                CHANGED.at(routine.full_name(), again(&routine.schema)).noting("it is not there")
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
    places.extend(installed.triggers.iter().filter_map(|it| turned(it, installed)));
    for schema in &installed.of_another {
        places.push(OTHER.at(format!("schema {schema}"), again(schema)));
    }
    places
}

/// How much it matters what differs there, unless it decides whose rows are seen: another version may have
/// made it otherwise.
fn severity_in(schema: &str, installed: &Installed) -> Severity {
    if installed.of_another.contains(&schema) { Severity::Medium } else { Severity::High }
}

/// A trigger that does not do what it was made for, or that nobody of ours made.
fn turned(compared: &ComparedTrigger, installed: &Installed) -> Option<Place> {
    let (object, fix, note) = match (&compared.made, &compared.there) {
        (Some(made), None) => (named(made), made_again(made, None, installed), "it is not there"),
        (Some(made), Some(there)) if !there.does_the_same(made) => {
            (named(made), made_again(made, Some(there), installed), "definition")
        }
        (Some(made), Some(there)) if !there.fires(made) => {
            (named(made), sql(made.enable()), "when it fires")
        }
        (None, Some(there)) => {
            let object = format!("{}.{}", there.table, there.name);
            (object, sql(remove(there)), "the migration makes none such")
        }
        _ => return None,
    };
    let of = compared.made.as_ref().map(|it| &it.table);
    let of = of.or(compared.there.as_ref().map(|it| &it.table))?;
    let (schema, _) = of.split_once('.')?;
    let place = CHANGED.at(object, fix).noting(note);
    Some(place.weighing(severity_in(schema, installed)))
}

fn named(trigger: &MadeTrigger) -> String {
    format!("{}.{}", trigger.table, trigger.name)
}

fn remove(there: &ThereTrigger) -> String {
    format!("DROP {} {} ON {}", there.kind, quoted(&there.name), there.table)
}

/// Puts a trigger back, if its function is there.
fn made_again(made: &MadeTrigger, there: Option<&ThereTrigger>, installed: &Installed) -> Fix {
    let runs = |it: &&Compared| it.made.routine.full_name() == made.function;
    if installed.compared.iter().find(runs).is_some_and(|it| it.there.is_none()) {
        return again("cupel");
    }
    let enable = made.always.then(|| made.enable());
    let removed = there.map(remove);
    steps(removed.into_iter().chain([made.definition.clone()]).chain(enable))
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
                    || facts.schemas.get(&routine.schema).map(|it| quoted(facts.roles.name(*it)));
                let Some(owner) = owner.clone().or_else(of_schema) else { continue };
                statements.push(format!("{alter} OWNER TO {owner}"));
                continue;
            }
            Part::Body | Part::Language | Part::Result | Part::Support => {
                return again(&routine.schema);
            }
        });
    }
    if !attributes.is_empty() {
        statements.insert(0, format!("{alter} {}", attributes.join(" ")));
    }
    steps(statements)
}
