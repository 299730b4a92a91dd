//! The database layer against a real PostgreSQL.

mod admin;
mod adoption;
mod audit;
mod bad_input;
mod bed;
mod cancel;
mod context;
mod guards;
mod handing_on;
mod handler;
mod history;
mod isolation;
mod lifecycle;
mod migration;
mod mutation;
mod pooler;
mod replica;
mod schema;
mod seals;
mod sessions;
mod shop;
mod statements;
mod transactions;
mod ui;
mod wire;
mod workspaces;
