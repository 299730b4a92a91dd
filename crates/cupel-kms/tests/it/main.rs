//! One suite on both key services: a keyring file, and a KMS server.

mod bad_input;
mod denial;
mod flawed;
mod isolation;
mod keyring;
mod lifecycle;
mod names;
mod secrets;
mod services;
