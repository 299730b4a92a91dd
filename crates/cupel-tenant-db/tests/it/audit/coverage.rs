//! Whether every rule is shown: by a schema that breaks it, one that nearly does, and an attack that works on the
//! one and not on the other.

use std::collections::BTreeSet;
use std::path::Path;

use super::stage::Outcome;
use super::{
    admin, cases, drift, granted, indirect, installed, minors, prepared, routines, triggers,
};

type Test = fn() -> Outcome<()>;

/// The rules that no [`Case`](super::stage::Case) can show, for they are of a migrated database or of how the
/// server is configured, and the tests that show each in the same three ways.
const APART: &[(&str, &[Test])] = &[
    ("A3", &[admin::audit_of_the_admin_role_s_search_path_where_the_server_is_configured_with_it]),
    (
        "D1",
        &[
            installed::audit_of_a_right_on_a_table_that_administration_alone_may_use,
            installed::audit_of_a_right_on_what_administration_alone_may_call,
        ],
    ),
    ("D2", &[drift::audit_of_a_table_that_is_declared_and_was_not_migrated_so]),
    (
        "D3",
        &[
            routines::audit_of_a_routine_that_was_turned_into_another,
            triggers::audit_of_a_trigger_that_was_turned_into_another,
        ],
    ),
    ("D4", &[drift::audit_of_what_another_version_did_not_make]),
    ("D5", &[granted::audit_of_a_right_that_was_taken_is_right_about_what_it_allows]),
    ("P1", &[drift::audit_of_policies_that_are_not_those_that_were_made]),
    ("S10", &[indirect::whoever_listens_reads_what_a_trigger_sends]),
    // The violation is an older server: `scripts/versions 16.4 17.0` has it.
    ("S7", &[minors::audit_of_a_minor_version_with_a_hole_in_row_security]),
    ("S12", &[prepared::audit_of_prepared_transactions]),
];

/// The rules, as their sources name them.
fn rules() -> Outcome<BTreeSet<String>> {
    let mut rules = BTreeSet::new();
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/audit/rules"))? {
        let text = std::fs::read_to_string(file?.path())?;
        let ids = text.lines().filter_map(|line| line.trim().strip_prefix("id: \""));
        rules.extend(ids.filter_map(|id| Some(id.split_once('"')?.0.to_owned())));
    }
    Ok(rules)
}

#[test]
fn audit_rules_are_each_shown_by_a_violation_a_near_miss_and_an_attack() -> Outcome<()> {
    let shown: BTreeSet<&str> = cases()
        .filter(|it| ![it.broken, it.near].contains(&"") && !it.attack.is_empty())
        .map(|it| it.rule)
        .collect();
    let apart: BTreeSet<&str> = APART.iter().filter(|it| !it.1.is_empty()).map(|it| it.0).collect();
    assert_eq!((apart.len(), shown.intersection(&apart).count()), (APART.len(), 0));
    let rules = rules()?;
    let rules: BTreeSet<&str> = rules.iter().map(String::as_str).collect();
    assert!(rules.len() > 60, "{rules:?}");
    assert_eq!(shown.union(&apart).copied().collect::<BTreeSet<_>>(), rules);
    Ok(())
}
