//! Temporary: the auditor's tests by themselves.
#![allow(dead_code)]
#[path = "it/audit/mod.rs"]
mod audit;
#[path = "it/bed.rs"]
mod bed;
