use std::error::Error;

use cupel_tenant::IsolationLayer;
use cupel_tenant_db::{ContextMode, Migration, Table, TenantDb};
use cupel_testkit::Postgres;

use crate::bed::{
    Bed, SCHEMA, TestResult, as_role, assert_isolated, empty, migration, pair, seal_key, sql,
};

#[tokio::test]
async fn a_second_run_changes_nothing() -> TestResult {
    let bed = Bed::start().await?;
    let run = || migration(&bed.owner_url, &bed.app_url, &bed.admin_url);
    assert_eq!(run().run().await?.iter().collect::<Vec<_>>(), Vec::<&str>::new());
    // What somebody took away is put back, and nothing else is touched.
    bed.sql(
        "DROP POLICY cupel_floor ON data_products; ALTER TABLE pipelines NO FORCE ROW LEVEL SECURITY;
         GRANT TRUNCATE ON pipeline_runs TO cupel_app; REVOKE EXECUTE ON FUNCTION cupel.org_state() FROM cupel_app;
         GRANT TEMPORARY ON DATABASE postgres TO PUBLIC",
    )
    .await?;
    let changes = run().run().await?;
    assert_eq!(
        changes.iter().collect::<Vec<_>>(),
        [
            "installed schema cupel",
            "isolated public.pipelines",
            "isolated public.pipeline_runs",
            "isolated public.data_products",
        ]
    );
    assert!(run().run().await?.is_empty());
    assert!(bed.db.audit(pair().first()).await?.is_empty());
    assert_isolated(&bed.prove().await?);
    Ok(())
}

#[tokio::test]
async fn databases_of_one_server_are_migrated_at_the_same_time() -> TestResult {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let owner = empty().await?;
        sql(&owner, SCHEMA).await?;
        running.spawn(async move {
            let (app, admin) = (urls(&owner, "at_once_app"), urls(&owner, "at_once_admin"));
            let (app, admin) = (app.ok_or("no URL")?, admin.ok_or("no URL")?);
            migration(&owner, &app, &admin).run().await.map_err(|error| format!("{error:?}"))
        });
    }
    while let Some(done) = running.join_next().await {
        assert!(!done??.is_empty());
    }
    Ok(())
}

fn urls(owner: &str, role: &str) -> Option<String> {
    as_role(owner, role).ok()
}

#[tokio::test]
async fn a_rotated_password_is_set() -> TestResult {
    let bed = Bed::start().await?;
    let owner = bed.owner_url.clone();
    let app = as_role(&owner, "rotated_app")?;
    let run = |app: &str| Migration::new(&owner).app_url(app).tables(crate::bed::tables());
    run(&app).run().await?;
    let rotated = app.replace("rotated_app@", "it%27s%20new@");
    let changes = run(&rotated).run().await?;
    assert_eq!(changes.iter().collect::<Vec<_>>(), ["set the password of role rotated_app"]);
    TenantDb::connect(&rotated).await?;
    Ok(())
}

#[test]
fn the_sql_is_rendered_without_a_database_and_without_passwords() -> Result<(), Box<dyn Error>> {
    let migration = Migration::new("postgres://owner:secret0@db/cupel")
        .app_url("postgres://cupel_app:secret1@db/cupel")
        .admin_url("postgres://cupel_admin:secret2@db/cupel")
        .tables([Table::workspace("pipeline_runs"), Table::global("plans")]);
    let sql = migration.sql()?;
    assert!(!sql.contains("secret"), "a password was rendered");
    assert!(!format!("{migration:?}").contains("secret"));
    insta::assert_snapshot!(sql);
    Ok(())
}

#[tokio::test]
async fn the_rendered_sql_can_be_applied_by_hand() -> TestResult {
    let owner = empty().await?;
    sql(&owner, SCHEMA).await?;
    let (app, admin) = (as_role(&owner, "cupel_app")?, as_role(&owner, "cupel_admin")?);
    // Twice: it is idempotent.
    let text: &'static str = migration(&owner, &app, &admin).sql()?.leak();
    sql(&owner, text).await?;
    sql(&owner, text).await
}

/// The sealed context is for servers on which nobody is a superuser, as in many clouds. Such an owner makes
/// roles; the admin role, which is exempt from row-level security, is made by whoever may.
#[tokio::test]
async fn a_sealed_context_needs_no_superuser() -> TestResult {
    // A server of its own, on which no superuser has made the guard's role yet.
    let server = Postgres::start().await?;
    let superuser = server.database().await?;
    sql(
        &superuser,
        "CREATE ROLE no_superuser LOGIN CREATEROLE PASSWORD 'no_superuser';
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO no_superuser', current_database()); END $$",
    )
    .await?;
    let owner = as_role(&superuser, "no_superuser")?;
    sql(&owner, SCHEMA).await?;
    let app = as_role(&owner, "no_superuser_app")?;
    let migration = || {
        Migration::new(&owner)
            .app_url(&app)
            .tables(crate::bed::tables())
            .context(ContextMode::Sealed)
            .seal_keys([seal_key("k1")])
    };
    migration().run().await?;
    assert!(migration().run().await?.is_empty(), "a second run changes nothing");
    let db = TenantDb::builder(&app)
        .context(ContextMode::Sealed)
        .seal_key(seal_key("k1"))
        .connect()
        .await?;
    assert_isolated(&db.prove(&pair()).await?);
    server.stop().await?;
    Ok(())
}
