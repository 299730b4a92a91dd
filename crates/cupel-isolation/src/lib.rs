//! cupel-isolation
