//! Every table at once.
