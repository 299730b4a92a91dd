//! The auditor against schemas that break each rule, and against near misses.

mod admin;
mod code;
mod declared;
mod peer;
mod peer_rules;
mod policies;
mod powers;
mod random;
mod schemas;
mod stage;
mod tables;
mod uses;
mod versions;
