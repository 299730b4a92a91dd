//! Indexes that do not begin with the tenant column.

use cupel_tenant::Severity;

use super::{Place, Rule, sql, words};
use crate::audit::facts::{Facts, quoted};

static LATER: Rule = Rule {
    id: "X1",
    severity: Severity::Low,
    phase: 7,
    problem: "an index does not begin with the tenant column",
    allows: "how long a query takes to tell of rows elsewhere",
};

static NONE: Rule = Rule {
    id: "X2",
    severity: Severity::Low,
    phase: 7,
    problem: "no index begins with the tenant column",
    allows: "nothing; every query reads every organization's rows",
};

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    let mut led = std::collections::HashSet::new();
    for key in &facts.unique_keys {
        let table = facts.relations.get(&key.relation);
        let Some(table) = table.filter(|it| it.is_of_orgs() && it.has_tenant_column()) else {
            continue;
        };
        if key.leads {
            led.insert(key.relation);
        } else if key.carries || !(key.unique || key.exclusion) {
            let fix = words(format!("make {} its first column", facts.tenant_column(table)));
            places.push(LATER.at(format!("{}.{}", table.object(), key.name), fix));
        }
    }
    for table in facts.tenant_tables().filter(|it| it.has_tenant_column() && !it.is_partition) {
        if !led.contains(&table.oid) {
            let column = quoted(facts.tenant_column(table));
            let fix = sql(format!("CREATE INDEX ON {} ({column})", table.quoted));
            places.push(NONE.at(table.object(), fix));
        }
    }
    places
}
