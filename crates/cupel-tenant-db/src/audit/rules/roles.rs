//! What the application's role is, and what it can become.

use cupel_tenant::Severity;

use super::{Place, Rule, sql, steps, words};
use crate::audit::facts::{Facts, quoted};

static EXEMPT: Rule = Rule {
    id: "R1",
    severity: Severity::Critical,
    phase: 1,
    problem: "the application's role is, or can become, exempt from row security",
    allows: "reading and writing every organization's rows",
};

static PREDEFINED: Rule = Rule {
    id: "R2",
    severity: Severity::Medium,
    phase: 1,
    problem: "the application's role is a member of a predefined role that reaches beyond its tables",
    allows: "reading files, running programs, watching the statements of others, or reading what the planner keeps of their rows",
};

static OWNER: Rule = Rule {
    id: "R3",
    severity: Severity::Critical,
    phase: 1,
    problem: "the application's role owns the table, or can become its owner",
    allows: "turning row security off, and so reading and writing every organization's rows",
};

static CONTAINER: Rule = Rule {
    id: "R5",
    severity: Severity::Critical,
    phase: 1,
    problem: "the application's role owns the schema of tenant tables, or can become its owner",
    allows: "dropping the tables with every organization's rows",
};

static MAKES_ROLES: Rule = Rule {
    id: "R6",
    severity: Severity::High,
    phase: 1,
    problem: "the application's role is, or can become, one that makes roles (CREATEROLE)",
    allows: "granting itself the roles that it administers; up to PostgreSQL 15 any role but a superuser",
};

static REPLICATES: Rule = Rule {
    id: "R7",
    severity: Severity::High,
    phase: 1,
    problem: "the application's role is, or can become, one that replicates (REPLICATION)",
    allows: "streaming every row of the server, which row security does not cover",
};

/// What membership of a predefined role is worth.
fn worth(role: &str) -> Option<Severity> {
    Some(match role {
        // All data is also what the planner keeps of every table's values, and the pages of large objects.
        "pg_read_server_files"
        | "pg_write_server_files"
        | "pg_execute_server_program"
        | "pg_read_all_data" => Severity::Critical,
        "pg_monitor"
        | "pg_create_subscription"
        | "pg_read_all_stats"
        | "pg_stat_scan_tables"
        | "pg_read_all_settings"
        | "pg_signal_backend"
        | "pg_maintain"
        | "pg_write_all_data" => Severity::Medium,
        "pg_checkpoint" | "pg_use_reserved_connections" | "pg_signal_autovacuum_worker" => {
            Severity::Low
        }
        _ => return None,
    })
}

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    let roles = &facts.roles;
    for role in roles.can_be() {
        let itself = role.oid == roles.app();
        let fix = |attribute: &str| {
            if itself {
                sql(format!("ALTER ROLE {} {attribute}", quoted(&role.name)))
            } else {
                steps(roles.leave(role.oid))
            }
        };
        let how = if itself {
            "it is"
        } else if roles.administers.contains(&role.oid) {
            "it can grant itself the role"
        } else {
            "by SET ROLE"
        };
        if role.superuser || role.bypass {
            let fix = fix("NOSUPERUSER NOBYPASSRLS");
            places.push(EXEMPT.at(&role.name, fix).noting(how));
            continue;
        }
        if role.create_role {
            // Up to 15 it may grant itself pg_execute_server_program, and any owner; from 16 on only what it
            // administers, which counts as something that it can become.
            let severity =
                if facts.server.version < 160_000 { Severity::Critical } else { Severity::Medium };
            let place = MAKES_ROLES.at(&role.name, fix("NOCREATEROLE"));
            places.push(place.weighing(severity).noting(how));
        }
        if role.replication {
            // A walsender asks who logged in; logical decoding by SQL asks who is acting.
            let decodes = facts.server.wal_level == "logical";
            let severity = if itself || decodes { Severity::Critical } else { Severity::Medium };
            let place = REPLICATES.at(&role.name, fix("NOREPLICATION"));
            places.push(place.weighing(severity).noting(how));
        }
        if role.create_db {
            let place = PREDEFINED.at(&role.name, fix("NOCREATEDB")).weighing(Severity::Low);
            places.push(place.noting("CREATEDB"));
        }
    }
    let mut reach: Vec<_> = roles.reach().into_iter().filter_map(|it| roles.get(it)).collect();
    reach.sort_by(|a, b| a.name.cmp(&b.name));
    for role in reach {
        if let Some(severity) = worth(&role.name) {
            let place = PREDEFINED.at(&role.name, steps(roles.leave(role.oid)));
            places.push(place.weighing(severity));
        }
    }
    places.extend(owned(facts));
    places
}

fn owned(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    for table in facts.tenant_tables().filter(|it| facts.roles.app_reaches(it.owner)) {
        let fix = words(format!(
            "ALTER TABLE {} OWNER TO a role that the application cannot become",
            table.quoted
        ));
        places.push(OWNER.at(table.object(), fix));
    }
    let mut seen = Vec::new();
    for table in facts.tenant_tables() {
        let Some(owner) = facts.schemas.get(&table.schema) else { continue };
        if facts.roles.app_reaches(*owner) && !seen.contains(&table.schema) {
            seen.push(table.schema.clone());
            let fix = words(format!(
                "ALTER SCHEMA {} OWNER TO a role that the application cannot become",
                quoted(&table.schema)
            ));
            places.push(CONTAINER.at(&table.schema, fix));
        }
    }
    places
}
