//! The server itself.

use cupel_tenant::Severity;

use super::{Place, Rule, words};
use crate::audit::facts::Facts;

static OLD: Rule = Rule {
    id: "S7",
    severity: Severity::Low,
    phase: 8,
    problem: "the server lacks fixes of row security or of holes that unprivileged SQL can use",
    allows: "what the fixes of its minor versions name, such as CVE-2024-10976 and CVE-2025-8713",
};

static PRESET: Rule = Rule {
    id: "S1",
    severity: Severity::Critical,
    phase: 1,
    problem: "the context has a value in a session that set none",
    allows: "a forgotten context to read and write that organization's rows",
};

static PREPARES: Rule = Rule {
    id: "S12",
    severity: Severity::Medium,
    phase: 8,
    problem: "transactions can be prepared, and then belong to the role and to no session",
    allows: "an organization to lock others out of a table for as long as it likes: its locks outlive its session",
};

static PREPARED: Rule = Rule {
    id: "S12",
    severity: Severity::High,
    phase: 8,
    problem: "a transaction of the application's role is prepared, and any session of the role can end it",
    allows: "one organization to undo what another was promised, or to store what it gave up",
};

/// The first minor version of each major one that has every fix that is known to matter here.
const FLOORS: [(i32, i32); 4] = [(15, 18), (16, 14), (17, 10), (18, 4)];
/// The last ones in which cached plans and statistics did not heed row security.
const RLS_FLOORS: [(i32, i32); 4] = [(15, 14), (16, 10), (17, 6), (18, 0)];

/// How old the version is, as a severity.
fn age(version: i32) -> Option<(Severity, i32)> {
    let (major, minor) = (version / 10_000, version % 10_000);
    let floor = |floors: &[(i32, i32)]| floors.iter().find(|it| it.0 == major).map(|it| it.1);
    let floor_now = match floor(&FLOORS) {
        Some(floor) => floor,
        None if major < 15 => return Some((Severity::Medium, 0)),
        None => return None,
    };
    if minor >= floor_now {
        return None;
    }
    let severity = if floor(&RLS_FLOORS).is_some_and(|it| minor < it) {
        Severity::Medium
    } else {
        Severity::Low
    };
    Some((severity, floor_now))
}

pub(super) fn find(facts: &Facts) -> Vec<Place> {
    let mut places = Vec::new();
    let version = facts.server.version;
    if let Some((severity, floor)) = age(version) {
        let fix = words(if version < 150_000 {
            "upgrade to 15 or later".to_owned()
        } else {
            format!("upgrade to {}.{floor} or later", version / 10_000)
        });
        let object = format!("PostgreSQL {}.{}", version / 10_000, version % 10_000);
        places.push(OLD.at(object, fix).weighing(severity));
    }
    if facts.server.max_prepared > 0 {
        let fix =
            words("ALTER SYSTEM SET max_prepared_transactions = 0, and start the server again");
        places.push(PREPARES.at("setting max_prepared_transactions", fix));
    }
    for id in &facts.prepared {
        let fix = words(format!(
            "COMMIT PREPARED {id} or ROLLBACK PREPARED {id}, as its service decided"
        ));
        places.push(PREPARED.at(format!("prepared transaction {id}"), fix));
    }
    if facts.server.preset.is_some() {
        let context = facts.surroundings.contexts.first().map_or("", String::as_str);
        let fix = words(format!(
            "RESET {context} where it is set: postgresql.conf, ALTER DATABASE or ALTER ROLE"
        ));
        places.push(PRESET.at(format!("setting {context}"), fix));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_old_by_its_minor_number() {
        for (version, expected) in [
            (140_030, Some(Severity::Medium)),
            (150_013, Some(Severity::Medium)),
            (150_014, Some(Severity::Low)),
            (150_018, None),
            (160_014, None),
            (170_009, Some(Severity::Low)),
            (180_004, None),
            (190_000, None),
        ] {
            assert_eq!(age(version).map(|it| it.0), expected, "{version}");
        }
    }
}
