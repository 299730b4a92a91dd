//! cupel-tenant-db
