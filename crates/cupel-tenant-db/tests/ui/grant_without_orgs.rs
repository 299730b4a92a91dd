//! A grant that was not told whose data it is for opens nothing.

use cupel_tenant_db::{AdminGrant, TenantDb};

async fn report(db: TenantDb) {
    let grant = AdminGrant::read_only("alice", "usage report");
    let _ = db.admin(&grant).await;
}

fn main() {}
