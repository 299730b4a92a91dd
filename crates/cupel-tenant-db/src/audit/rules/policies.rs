//! What the policies let through, taken together as the server takes them.

use std::collections::HashMap;

use cupel_tenant::Severity;

use super::tables::floor;
use super::{Fix, Place, Rule, severity_of, sql, words};
use crate::audit::confine::Act;
use crate::audit::expr::Class;
use crate::audit::facts::{Facts, Policy, Relation, Right};

static OPEN: Rule = Rule {
    id: "P2",
    severity: Severity::Critical,
    phase: 4,
    problem: "a policy lets rows of other organizations through, and no restrictive policy holds them back",
    allows: "reading or writing them",
};

static FAILS_OPEN: Rule = Rule {
    id: "P3",
    severity: Severity::Critical,
    phase: 4,
    problem: "a policy lets rows through where no organization is named",
    allows: "a forgotten context to read or write rows of others",
};

static SWITCH: Rule = Rule {
    id: "P4",
    severity: Severity::High,
    phase: 4,
    problem: "a policy goes by another setting than the context",
    allows: "whoever sets it to read or write rows of others",
};

static UNPROVEN: Rule = Rule {
    id: "P5",
    severity: Severity::Medium,
    phase: 4,
    problem: "it cannot be shown from its text that a policy holds rows to their organization",
    allows: "rows of others to be reached, if it does not",
};

static READS_WRITABLE: Rule = Rule {
    id: "P6",
    severity: Severity::High,
    phase: 4,
    problem: "a policy goes by a table that the application's role can write as it likes",
    allows: "an organization to let itself in",
};

static OWN_FUNCTION: Rule = Rule {
    id: "P7",
    severity: Severity::Critical,
    phase: 3,
    problem: "a policy calls a function that the application's role owns, or can become the owner of",
    allows: "the function to be changed, and with it whose rows are let through",
};

static IMMUTABLE: Rule = Rule {
    id: "P8",
    severity: Severity::Critical,
    phase: 3,
    problem: "a policy calls a function that is declared IMMUTABLE and reads a setting",
    allows: "a prepared statement to go on with the organization that it was planned for",
};

static PER_ROW: Rule = Rule {
    id: "P9",
    severity: Severity::Low,
    phase: 4,
    problem: "a policy asks for the context once per row",
    allows: "nothing; a query takes the longer the more rows it looks at, whoever's they are",
};

static RAISES: Rule = Rule {
    id: "P10",
    severity: Severity::Low,
    phase: 4,
    problem: "a policy asks for the context in the form that raises an error in a new session, and is empty in a used one",
    allows: "nothing; a forgotten context shows as one thing or the other",
};

static NO_FLOOR: Rule = Rule {
    id: "P12",
    severity: Severity::Low,
    phase: 4,
    problem: "no restrictive policy holds the application's role to its organization",
    allows: "the next policy that permits something to open the table",
};

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    for table in facts.tenant_tables().filter(|it| it.row_security) {
        if facts.app_may(table.oid, &Right::ROWS) {
            let held = let_through(facts, table, &mut places);
            let binds = |role: &i64| facts.is_exempt(*role, table) || facts.has_floor(*role, table);
            let permits =
                facts.policies.get(&table.oid).into_iter().flatten().any(|it| it.permissive);
            if held
                && permits
                && table.has_tenant_column()
                && !facts.roles.acting().iter().all(binds)
            {
                places.push(NO_FLOOR.at(table.object(), sql(floor(facts, table))));
            }
        }
        for policy in facts.policies.get(&table.oid).into_iter().flatten() {
            calls(facts, table, policy, &mut places);
            manners(facts, table, policy, &mut places);
        }
    }
    places
}

/// Finds each policy by which the application reaches more than its organization; whether there is none.
fn let_through(facts: &Facts, table: &Relation, places: &mut Vec<Place>) -> bool {
    let mut blamed: HashMap<&str, (Class, Vec<Act>)> = HashMap::new();
    for role in facts.roles.acting() {
        if !facts.may(*role, table.oid, &[Right::Usage]) || facts.is_exempt(*role, table) {
            continue;
        }
        for (act, hold) in facts.acts(*role, table, &[]) {
            let Some(policy) = hold.by.filter(|_| hold.class > Class::Isolates) else { continue };
            let entry = blamed.entry(&policy.name).or_insert((hold.class, Vec::new()));
            entry.0 = entry.0.max(hold.class);
            if !entry.1.contains(&act) {
                entry.1.push(act);
            }
        }
    }
    let held = blamed.is_empty();
    for (name, (class, acts)) in blamed {
        let rule = match class {
            Class::Open => &OPEN,
            Class::FailOpen => &FAILS_OPEN,
            Class::Switch => &SWITCH,
            _ => &UNPROVEN,
        };
        let object = format!("{}.{name}", table.object());
        let place = rule.at(object.as_str(), close(facts, table, class));
        places.push(place.weighing(severity_of(class)).noting(in_words(&acts)));
        let policy =
            facts.policies.get(&table.oid).into_iter().flatten().find(|it| it.name == name);
        if let Some(policy) = policy.filter(|_| class == Class::Unknown) {
            reads_writable(facts, table, policy, places);
        }
    }
    held
}

fn in_words(acts: &[Act]) -> String {
    let word = |act: &Act| match act {
        Act::Read => "SELECT",
        Act::Insert => "INSERT",
        Act::UpdateOld => "UPDATE of their rows",
        Act::UpdateNew => "UPDATE into theirs",
        Act::Delete => "DELETE",
    };
    acts.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// A floor closes what permissive policies open, unless it might close what is meant to be open.
fn close(facts: &Facts, table: &Relation, class: Class) -> Fix {
    if table.has_tenant_column() && class != Class::Unknown {
        sql(floor(facts, table))
    } else {
        words(format!("add a restrictive policy on {} that names the tenant column", table.quoted))
    }
}

fn reads_writable(facts: &Facts, table: &Relation, policy: &Policy, places: &mut Vec<Place>) {
    for read in policy.reads.iter().filter_map(|it| facts.relations.get(it)) {
        let open = !read.row_security
            || facts.roles.acting().iter().any(|role| facts.worst(*role, read) > Class::Isolates);
        let writes = [Right::Insert, Right::Update];
        if open && facts.app_may(read.oid, &writes) {
            let fix = words(format!(
                "REVOKE INSERT, UPDATE ON {} FROM {}, or put policies on it",
                read.quoted,
                facts.roles.revokees()
            ));
            let object = format!("{}.{}", table.object(), policy.name);
            places.push(READS_WRITABLE.at(object, fix).noting(read.object()));
        }
    }
}

fn calls(facts: &Facts, table: &Relation, policy: &Policy, places: &mut Vec<Place>) {
    let functions = policy.functions.iter().filter_map(|it| facts.functions.get(it));
    for function in functions {
        let object = format!("{}.{}", table.object(), policy.name);
        let bad = |rule: &Rule| {
            if facts.rests_on(table, function.oid) { rule.severity } else { Severity::Low }
        };
        if let Some(own) = facts.own_code_of(function) {
            let fix = words(format!(
                "ALTER FUNCTION {} OWNER TO a role that the application cannot become",
                own.signature
            ));
            // Without a place to create in, its owner can change its attributes but not its body.
            let most = if facts.makes.objects { Severity::Critical } else { Severity::Medium };
            let severity = bad(&OWN_FUNCTION).min(most);
            let place = OWN_FUNCTION.at(object.as_str(), fix).weighing(severity);
            places.push(place.noting(own.object.as_str()));
        }
        if facts.as_made(function.oid) {
            continue;
        }
        let reads_setting = function.body.contains("current_setting") || function.reads_context;
        if function.volatility == "i" && reads_setting {
            let fix = sql(format!("ALTER FUNCTION {} STABLE", function.signature));
            let place = IMMUTABLE.at(object.as_str(), fix).weighing(bad(&IMMUTABLE));
            places.push(place.noting(function.object.as_str()));
        }
        let name = function.signature.split('(').next().unwrap_or_default();
        if function.volatility == "v" && texts(policy).any(|it| calls_per_row(it, name)) {
            let fix = sql(format!("ALTER FUNCTION {} STABLE", function.signature));
            places.push(PER_ROW.at(object, fix).noting(format!("{} is VOLATILE", function.object)));
        }
    }
}

fn manners(facts: &Facts, table: &Relation, policy: &Policy, places: &mut Vec<Place>) {
    let object = || format!("{}.{}", table.object(), policy.name);
    let context = facts.surroundings.contexts.first().map_or("", String::as_str);
    if texts(policy).any(|it| it.contains(&format!("current_setting('{context}'::text)"))) {
        let fix = words(format!("write nullif(current_setting('{context}', true), '')"));
        places.push(RAISES.at(object(), fix));
    }
    let asks = facts.surroundings.functions.keys().map(String::as_str).chain(["current_setting"]);
    if asks.into_iter().any(|name| texts(policy).any(|it| calls_per_row(it, name))) {
        let fix = words("put the call into a sub-select of its own: (SELECT …)");
        places.push(PER_ROW.at(object(), fix));
    }
}

fn texts(policy: &Policy) -> impl Iterator<Item = &str> {
    [policy.using.as_deref(), policy.check.as_deref()].into_iter().flatten()
}

/// Whether a function is called outside a sub-select, which would be run once, whatever its volatility.
fn calls_per_row(text: &str, name: &str) -> bool {
    let call = format!("{name}(");
    text.match_indices(&call).any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        match before.rfind("SELECT ") {
            // Between the sub-select's beginning and the call nothing may be closed.
            Some(select) => {
                let between = before.get(select..).unwrap_or_default();
                between.matches(')').count() > between.matches('(').count()
            }
            None => true,
        }
    })
}
