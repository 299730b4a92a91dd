//! cupel-kms
