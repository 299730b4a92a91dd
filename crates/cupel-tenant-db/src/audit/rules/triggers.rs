//! Triggers: code that runs when rows are written, by whoever writes them.

use cupel_tenant::Severity;

use super::{Place, Rule, words};
use crate::audit::expr::Class;
use crate::audit::facts::{Facts, Right};
use crate::schema::SCHEMAS;

static OWN_CODE: Rule = Rule {
    id: "S4",
    severity: Severity::Critical,
    phase: 3,
    problem: "a trigger runs a function that the application's role owns, or can become the owner of",
    allows: "its code to run in the statements of other organizations or of administration, and to keep what it sees",
};

static BORROWED: Rule = Rule {
    id: "S9",
    severity: Severity::Medium,
    phase: 3,
    problem: "a trigger touches a tenant table with the rights of its function's owner",
    allows: "rows of others to be written, if its code does not hold to the organization",
};

static NOTIFIES: Rule = Rule {
    id: "S10",
    severity: Severity::Medium,
    phase: 3,
    problem: "a trigger on a tenant table sends notifications of the row",
    allows: "every session that listens to read them, whoever's row it is: a channel has no rights",
};

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    for trigger in &facts.triggers {
        let on = facts.relations.get(&trigger.relation);
        let (Some(on), Some(function)) = (on, facts.functions.get(&trigger.function)) else {
            continue;
        };
        // What is written there is written by administration.
        let ours = facts.installed.is_some() && SCHEMAS.contains(&on.schema.as_str());
        let object = || format!("{}.{}", on.object(), trigger.name);
        if (on.is_of_orgs() || ours)
            && let Some(function) = facts.own_code_of(function)
        {
            let fix = words(format!(
                "ALTER FUNCTION {} OWNER TO a role that the application cannot become",
                function.signature
            ));
            let place = OWN_CODE.at(object(), fix).noting(function.object.as_str());
            let severity = if facts.makes.objects { Severity::Critical } else { Severity::Medium };
            places.push(place.weighing(severity));
        }
        if let Some(of_row) = function.notifies.filter(|_| on.is_of_orgs()) {
            let fix = words("notify without what is in the row, and have whoever listens read it");
            let place = NOTIFIES.at(object(), fix).noting(function.object.as_str());
            places.push(if of_row { place } else { place.weighing(Severity::Info) });
        }
        let fires = facts.app_may(on.oid, &[Right::Insert, Right::Update, Right::Delete]);
        if fires && facts.reaches(function).is_some_and(|it| it > Class::Isolates) {
            let fix = words(format!(
                "ALTER FUNCTION {} SECURITY INVOKER, or look at what it does",
                function.signature
            ));
            places.push(BORROWED.at(object(), fix).noting(function.object.as_str()));
        }
    }
    places
}
