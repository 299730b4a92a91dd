//! Every lint of splinter, the linter of Supabase, as of April 2026: which of our rules stands for it, or why what it says
//! is no hole between organizations.

use std::collections::BTreeSet;

use super::cases;

/// The number of its lint, its name, the rules of ours, and what is to be said where there is none or they say less.
const LINTS: [(u8, &str, &[&str], &str); 29] = [
    (1, "unindexed_foreign_keys", &["X2"], "speed, but for an index that the organization leads"),
    (2, "auth_users_exposed", &["V1", "V2"], ""),
    (3, "auth_rls_initplan", &["P9"], ""),
    (4, "no_primary_key", &[], "speed"),
    (5, "unused_index", &[], "speed"),
    (
        6,
        "multiple_permissive_policies",
        &["P2", "P3"],
        "speed; what they let through together is judged",
    ),
    (7, "policy_exists_rls_disabled", &["T1"], ""),
    (8, "rls_enabled_no_policy", &["T3"], ""),
    (9, "duplicate_index", &[], "speed"),
    (10, "security_definer_view", &["V1"], ""),
    (
        11,
        "function_search_path_mutable",
        &["F5"],
        "one that runs with the caller's rights does what the caller could do",
    ),
    (
        12,
        "auth_allow_anonymous_sign_ins",
        &["P2"],
        "who may sign in is the service's; what a policy lets through is judged",
    ),
    (13, "rls_disabled_in_public", &["T1", "T6"], ""),
    (
        14,
        "extension_in_public",
        &["R4"],
        "what an application can put beside it is found where it can",
    ),
    (15, "rls_references_user_metadata", &["P4", "P5"], ""),
    (16, "materialized_view_in_api", &["V2"], ""),
    (17, "foreign_table_in_api", &["T10"], ""),
    (18, "unsupported_reg_types", &[], "upgrades"),
    (19, "insecure_queue_exposed_in_api", &["T1", "T6"], ""),
    (20, "table_bloat", &[], "speed"),
    (21, "fkey_to_auth_unique", &[], "upgrades"),
    (22, "extension_versions_outdated", &[], "upgrades"),
    (
        23,
        "sensitive_columns_exposed",
        &[],
        "a column is an organization's own to read: no other reaches it",
    ),
    (24, "rls_policy_always_true", &["P2"], "also for SELECT"),
    (25, "public_bucket_allows_listing", &["P2"], "its files are rows of a table"),
    (26, "pg_graphql_anon_table_exposed", &["T1", "T6"], "a grant, where row security holds"),
    (
        27,
        "pg_graphql_authenticated_table_exposed",
        &["T1", "T6"],
        "a grant, where row security holds",
    ),
    (28, "anon_security_definer_function_executable", &["F1", "F5", "F6"], ""),
    (29, "authenticated_security_definer_function_executable", &["F1", "F5", "F6"], ""),
];

#[test]
fn audit_answers_every_lint_of_splinter() {
    let ours: BTreeSet<&str> = cases().map(|it| it.rule).collect();
    for ((number, name, stands, answer), expected) in LINTS.iter().zip(1..) {
        assert_eq!(*number, expected, "{name}");
        assert!(!stands.is_empty() || !answer.is_empty(), "{name}");
        assert_eq!(stands.iter().find(|it| !ours.contains(**it)), None, "{name}");
    }
}
