//! A tenant's transaction does not deref to the connection under it.

use cupel_tenant_db::TenantTx;

fn raw(tx: &mut TenantTx) -> &mut sqlx::PgConnection {
    &mut **tx
}

fn main() {}
