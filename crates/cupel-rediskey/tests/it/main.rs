//! Everything that needs a real server, and the properties of names.

mod bad_input;
mod guards;
mod invalidation;
mod keys;
mod liar;
mod lifecycle;
mod proof;
mod proxy;
mod tenants;
mod use_of_a_scope;
