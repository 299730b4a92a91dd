//! The auditor against schemas that break each rule, and against near misses.

mod admin;
mod beyond;
mod code;
mod coverage;
mod declared;
mod drift;
mod granted;
mod indirect;
mod installed;
mod keys;
mod minors;
mod nested;
pub(crate) mod peer_rules;
mod policies;
mod powers;
mod prepared;
mod publications;
mod random;
mod rights;
mod routines;
mod schemas;
mod settings;
mod shadow;
mod splinter_rules;
pub(crate) mod stage;
mod tables;
mod triggers;
mod uses;
mod versions;

use stage::Case;

/// Every case of every family.
pub(crate) fn cases() -> impl Iterator<Item = &'static Case> {
    [
        admin::PATHS,
        admin::POWERS,
        beyond::BEYOND,
        code::FUNCTIONS,
        code::TRIGGERS,
        code::VIEWS,
        indirect::INDIRECT,
        nested::NESTED,
        keys::KEYS,
        policies::POLICIES,
        powers::ROLES,
        publications::PUBLICATIONS,
        rights::RIGHTS,
        settings::SETTINGS,
        tables::TABLES,
        uses::USES,
        versions::SINCE_16,
        versions::SINCE_17,
        versions::SINCE_18,
    ]
    .into_iter()
    .flatten()
}
