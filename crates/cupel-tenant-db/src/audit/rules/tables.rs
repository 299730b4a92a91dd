//! Whether row security is on for every table whose rows are an organization's.

use cupel_tenant::Severity;

use super::{Fix, Place, Rule, sql, steps, words};
use crate::audit::facts::{Belongs, Facts, Kind, Relation, Right};

static OFF: Rule = Rule {
    id: "T1",
    severity: Severity::Critical,
    phase: 5,
    problem: "row security is off",
    allows: "every organization to read and write every row",
};

static NOT_FORCED: Rule = Rule {
    id: "T2",
    severity: Severity::Medium,
    phase: 5,
    problem: "row security does not bind the owner",
    allows: "views, functions and code that run as the owner to see every organization",
};

static CLOSED: Rule = Rule {
    id: "T3",
    severity: Severity::Low,
    phase: 4,
    problem: "no policy permits anything",
    allows: "nothing: whoever row security binds can read none of the table",
};

static NULLABLE: Rule = Rule {
    id: "T4",
    severity: Severity::Medium,
    phase: 5,
    problem: "the tenant column can be NULL",
    allows: "rows that vanish from everybody, and foreign keys that are not checked",
};

static LOOSE: Rule = Rule {
    id: "T11",
    severity: Severity::High,
    phase: 5,
    problem: "the collation of the tenant column takes for equal what is not the same",
    allows: "an organization to reach the rows of another whose name differs only in what the collation leaves out, such as case",
};

static CHILD: Rule = Rule {
    id: "T5",
    severity: Severity::Critical,
    phase: 2,
    problem: "a partition or child can be reached directly and has no row security of its own",
    allows: "every organization's rows to be read and written through it",
};

static UNDECLARED: Rule = Rule {
    id: "T6",
    severity: Severity::Critical,
    phase: 5,
    problem: "the table can be reached, and nobody declared whose its rows are",
    allows: "whatever it holds to be shared by every organization",
};

static BY_REFERENCE: Rule = Rule {
    id: "T7",
    severity: Severity::Critical,
    phase: 5,
    problem: "the rows belong to rows of organizations, and the table has no tenant column and no row security",
    allows: "every organization to read and write every row",
};

static SHARED_WRITABLE: Rule = Rule {
    id: "T8",
    severity: Severity::Low,
    phase: 2,
    problem: "a table that is the same for everybody can be written by the application's role",
    allows: "one organization to change what all of them read",
};

static PARENT: Rule = Rule {
    id: "T9",
    severity: Severity::Critical,
    phase: 2,
    problem: "a table can be reached from which a tenant table inherits, and it has no row security",
    allows: "the child's rows to be read and written through its parent",
};

static FOREIGN: Rule = Rule {
    id: "T10",
    severity: Severity::High,
    phase: 2,
    problem: "a foreign table of organizations can be reached, and row security cannot be put on it",
    allows: "every row that the other server gives out",
};

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    for table in facts.relations().filter(|it| it.schema != "cupel") {
        match table.kind {
            Kind::Table if table.is_of_orgs() => of_orgs(facts, table, &mut places),
            Kind::Table | Kind::Foreign => of_nobody(facts, table, &mut places),
            Kind::View | Kind::MaterializedView => {}
        }
    }
    places
}

/// The name in the declaration, if there is one: partitions are declared with their parents.
fn is_undeclared(facts: &Facts, table: &Relation) -> bool {
    let name = (table.schema.clone(), table.name.clone());
    facts.declaration.is_whole
        && table.belongs == Belongs::ByColumn
        && !facts.declaration.tables.contains_key(&name)
        && !facts.parents.contains_key(&table.oid)
}

fn of_orgs(facts: &Facts, table: &Relation, places: &mut Vec<Place>) {
    let reachable = facts.app_may(table.oid, &Right::ROWS);
    let object = table.object();
    let mut parents = facts.parents.get(&table.oid).into_iter().flatten();
    let is_child = parents.any(|it| facts.relations.get(it).is_some_and(Relation::is_of_orgs));
    if is_undeclared(facts, table) {
        if reachable {
            let severity = if table.row_security { Severity::Medium } else { Severity::Critical };
            let fix = words(format!(
                "declare {} in the migration, or REVOKE ALL ON {} FROM {}",
                table.name,
                table.quoted,
                facts.roles.revokees()
            ));
            places.push(UNDECLARED.at(object.as_str(), fix).weighing(severity));
        }
    } else if !table.row_security {
        let severity = if reachable { Severity::Critical } else { Severity::Low };
        if !is_child {
            let rule = if table.has_tenant_column() { &OFF } else { &BY_REFERENCE };
            let fix = turn_on(facts, table);
            places.push(rule.at(object.as_str(), fix).weighing(severity));
        } else if reachable {
            places.push(CHILD.at(object.as_str(), revoke_all(facts, table)));
        }
    }
    if table.row_security && !table.forced && (reachable || !is_child) {
        let fix = sql(format!("ALTER TABLE {} FORCE ROW LEVEL SECURITY", table.quoted));
        places.push(NOT_FORCED.at(object.as_str(), fix));
    }
    let permits = |it: &Vec<_>| it.iter().any(|it: &crate::audit::facts::Policy| it.permissive);
    if table.row_security && reachable && !facts.policies.get(&table.oid).is_some_and(permits) {
        let fix = if table.has_tenant_column() {
            steps([floor(facts, table), access(facts, table)])
        } else {
            words("add a policy that permits")
        };
        places.push(CLOSED.at(object.as_str(), fix));
    }
    if table.has_tenant_column() && !table.tenant_not_null && !is_child {
        let column = crate::audit::facts::quoted(facts.tenant_column(table));
        let fix = sql(format!("ALTER TABLE {} ALTER COLUMN {column} SET NOT NULL", table.quoted));
        places.push(NULLABLE.at(object.as_str(), fix));
    }
    if reachable && table.tenant_is_loose {
        let fix =
            "give the column a deterministic collation, such as \"C\", and make its policies anew";
        places.push(LOOSE.at(object, words(fix)));
    }
}

fn of_nobody(facts: &Facts, table: &Relation, places: &mut Vec<Place>) {
    const WRITES: [Right; 3] = [Right::Insert, Right::Update, Right::Delete];
    let reachable = facts.app_may(table.oid, &Right::ROWS);
    if !reachable || table.of_extension {
        return;
    }
    let writable = facts.app_may(table.oid, &WRITES);
    let has_children_of_orgs = || {
        facts.parents.iter().any(|(child, parents)| {
            parents.contains(&table.oid)
                && facts.relations.get(child).is_some_and(Relation::is_of_orgs)
        })
    };
    if table.kind == Kind::Foreign && table.belongs == Belongs::ByColumn {
        places.push(FOREIGN.at(table.object(), revoke_all(facts, table)));
    } else if !table.row_security && has_children_of_orgs() {
        places.push(PARENT.at(table.object(), revoke_all(facts, table)));
    } else if table.belongs == Belongs::Shared {
        if writable {
            let fix = format!(
                "REVOKE INSERT, UPDATE, DELETE ON {} FROM {}",
                table.quoted,
                facts.roles.revokees()
            );
            places.push(SHARED_WRITABLE.at(table.object(), sql(fix)));
        }
    } else if !table.row_security {
        let severity = if writable { Severity::Medium } else { Severity::Low };
        let fix = words(format!(
            "declare {} as shared, give it a tenant column, or REVOKE ALL ON {} FROM {}",
            table.name,
            table.quoted,
            facts.roles.revokees()
        ));
        places.push(UNDECLARED.at(table.object(), fix).weighing(severity));
    }
}

fn revoke_all(facts: &Facts, table: &Relation) -> Fix {
    sql(format!("REVOKE ALL ON {} FROM {}", table.quoted, facts.roles.revokees()))
}

/// Row security, with the policies that make it let the organization's own rows through.
fn turn_on(facts: &Facts, table: &Relation) -> Fix {
    let on = format!("ALTER TABLE {} ENABLE ROW LEVEL SECURITY", table.quoted);
    let force = format!("ALTER TABLE {} FORCE ROW LEVEL SECURITY", table.quoted);
    if !table.has_tenant_column() {
        return words(format!("give {} a tenant column and policies; then {on}", table.quoted));
    }
    let policies = facts.policies.get(&table.oid).map_or(&[][..], Vec::as_slice);
    let permits = policies.iter().any(|it| it.permissive);
    let floored = facts.roles.acting().iter().all(|role| facts.has_floor(*role, table));
    let access = (!permits).then(|| access(facts, table));
    let floor = (!floored).then(|| floor(facts, table));
    steps(floor.into_iter().chain(access).chain([on, force]))
}

/// The condition that holds rows to the organization of the context.
pub(super) fn condition(facts: &Facts, table: &Relation) -> String {
    let column = crate::audit::facts::quoted(facts.tenant_column(table));
    if facts.declaration.is_ours {
        return format!("{column} = (SELECT cupel.current_org_id())");
    }
    let context = facts.surroundings.contexts.first().map_or("", String::as_str);
    let kind = table.tenant_type.as_deref().unwrap_or("text");
    format!(
        "{column} = (SELECT nullif(current_setting({}, true), '')::{kind})",
        crate::schema::literal(context)
    )
}

/// The restrictive policy for everybody.
pub(super) fn floor(facts: &Facts, table: &Relation) -> String {
    let condition = condition(facts, table);
    format!(
        "CREATE POLICY tenant_floor ON {} AS RESTRICTIVE FOR ALL TO PUBLIC USING ({condition}) WITH CHECK ({condition})",
        table.quoted
    )
}

fn access(facts: &Facts, table: &Relation) -> String {
    let condition = condition(facts, table);
    format!(
        "CREATE POLICY tenant_access ON {} AS PERMISSIVE FOR ALL TO {} USING ({condition}) WITH CHECK ({condition})",
        table.quoted,
        crate::audit::facts::quoted(facts.roles.name(facts.roles.app()))
    )
}
