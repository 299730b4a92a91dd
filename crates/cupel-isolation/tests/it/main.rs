//! All layers, on real servers.

mod bad_input;
mod bed;
mod canaries;
mod crashes;
mod dependency_trees;
mod lifecycle;
mod names;
mod proofs;
mod races;
