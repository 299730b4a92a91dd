//! cupel-testkit
