//! Functions that tables and views call by themselves.

use cupel_tenant::Severity;

use super::{Place, Rule, words};
use crate::audit::facts::{Facts, Kind, Relation};

static OWN_CODE: Rule = Rule {
    id: "F9",
    severity: Severity::Critical,
    phase: 3,
    problem: "a default, generated column, index, check or view of a tenant table calls a function that the application's role owns, or can become the owner of",
    allows: "its code to run in other organizations' statements, and to keep what it sees",
};

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    for used in &facts.uses {
        let on = facts.relations.get(&used.relation).filter(|it| concerns_orgs(facts, it));
        let function = facts.functions.get(&used.function);
        let (Some(on), Some(function)) = (on, function) else { continue };
        if let Some(function) = facts.own_code_of(function) {
            let fix = words(format!(
                "ALTER FUNCTION {} OWNER TO a role that the application cannot become",
                function.signature
            ));
            // Without a place to create in, its owner can change its attributes but not its body.
            let severity = if facts.makes.objects { Severity::Critical } else { Severity::Medium };
            let note = format!("{}, {}", used.by, function.object);
            places.push(OWN_CODE.at(on.object(), fix).weighing(severity).noting(note));
        }
    }
    places
}

fn concerns_orgs(facts: &Facts, relation: &Relation) -> bool {
    match relation.kind {
        Kind::View | Kind::MaterializedView => {
            !facts.behind(relation, facts.roles.app()).is_empty()
        }
        Kind::Table | Kind::Foreign => relation.is_of_orgs(),
    }
}
