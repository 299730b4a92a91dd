//! Proofs, audits, check-ups and the lifecycle as text and as JSON: one place, used by every command.

#[cfg(feature = "database")]
mod adoptions;
#[cfg(feature = "database")]
mod audits;
mod causes;
mod checkups;
mod orgs;
mod proofs;
mod table;

#[cfg(feature = "database")]
pub use adoptions::{adoption_json, adoption_text};
#[cfg(feature = "database")]
pub use audits::{alike, audit_json, audit_text, fix_lines, meaning, visible};
pub use causes::chain;
pub use checkups::{checkups_json, checkups_text};
pub use orgs::{
    certificate_json, certificate_text, onboarded_json, onboarded_text, orgs_json, orgs_text,
};
pub use proofs::{proof_json, proof_text};
pub use table::{Column, table};
