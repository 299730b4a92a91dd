//! What is refused, by which error, before anything was written.

use cupel_tenant::{IsolationLayer, LayerErrorKind, OrgSpec, Tier};
use cupel_tenant_db::{ColumnType, ContextMode, Error, Migration, Table, TenantDb};

use crate::bed::{Bed, SCHEMA, TestResult, as_role, empty, org_id, scope, sql};

#[tokio::test]
async fn a_powerful_role_is_refused() -> TestResult {
    let bed = Bed::start().await?;
    let power = |result: Result<TenantDb, Error>| match result {
        Err(Error::PowerfulRole { power, .. }) => power,
        other => panic!("{other:?}"),
    };
    let superuser = TenantDb::connect(&bed.owner_url).await;
    assert_eq!(power(superuser), "is, or can become, a superuser");
    let bypass = "is, or can become, exempt from row-level security (BYPASSRLS)";
    assert_eq!(power(TenantDb::connect(&bed.admin_url).await), bypass);
    bed.sql(
        "DROP ROLE IF EXISTS refused_member, refused_owner;
         CREATE ROLE refused_member LOGIN PASSWORD 'refused_member' IN ROLE cupel_admin;
         CREATE ROLE refused_owner LOGIN PASSWORD 'refused_owner';
         CREATE TABLE refused_owned (org_id text);
         ALTER TABLE refused_owned OWNER TO refused_owner",
    )
    .await?;
    let member = as_role(&bed.owner_url, "refused_member")?;
    assert_eq!(power(TenantDb::connect(&member).await), bypass);
    let owner = as_role(&bed.owner_url, "refused_owner")?;
    assert_eq!(power(TenantDb::connect(&owner).await), "owns, or can own, tables of tenants");
    let admin = TenantDb::builder(&bed.app_url).admin_url(&bed.owner_url).connect().await;
    assert_eq!(power(admin), "is, or can become, a superuser");
    Ok(())
}

#[tokio::test]
async fn a_role_that_reaches_around_by_its_attributes_is_refused() -> TestResult {
    let bed = Bed::start().await?;
    bed.sql(
        "DROP ROLE IF EXISTS refused_maker, refused_streamer;
         CREATE ROLE refused_maker LOGIN PASSWORD 'refused_maker' CREATEROLE IN ROLE cupel_app;
         CREATE ROLE refused_streamer LOGIN PASSWORD 'refused_streamer' REPLICATION IN ROLE cupel_app",
    )
    .await?;
    for role in ["refused_maker", "refused_streamer"] {
        let url = as_role(&bed.owner_url, role)?;
        let refused = TenantDb::connect(&url).await;
        assert!(matches!(refused, Err(Error::PowerfulRole { which: "app", .. })), "{role}");
        let admin = TenantDb::builder(&bed.app_url).admin_url(&url).connect().await;
        assert!(matches!(admin, Err(Error::PowerfulRole { which: "admin", .. })), "{role}");
    }
    Ok(())
}

#[tokio::test]
async fn a_role_that_somebody_made_is_refused_and_not_changed() -> TestResult {
    let owner = empty().await?;
    sql(&owner, SCHEMA).await?;
    sql(
        &owner,
        "DROP ROLE IF EXISTS kept_super, kept_bypass, kept_plain, kept_group;
         CREATE ROLE kept_super LOGIN SUPERUSER; CREATE ROLE kept_bypass LOGIN BYPASSRLS;
         CREATE ROLE kept_plain LOGIN; CREATE ROLE kept_group NOLOGIN",
    )
    .await?;
    let run = |app: &str, admin: &str| -> Result<Migration, Box<dyn std::error::Error>> {
        let (app, admin) = (as_role(&owner, app)?, as_role(&owner, admin)?);
        Ok(crate::bed::migration(&owner, &app, &admin))
    };
    for (app, admin, unfit, needs) in [
        ("kept_super", "kept_bypass", "kept_super", "NOSUPERUSER"),
        ("kept_bypass", "cupel_admin", "kept_bypass", "NOBYPASSRLS"),
        ("kept_group", "kept_bypass", "kept_group", "LOGIN"),
        ("kept_plain", "kept_super", "kept_super", "NOSUPERUSER"),
        ("kept_plain", "kept_plain2", "", ""),
        ("kept_group", "kept_plain", "kept_group", "LOGIN"),
    ] {
        match run(app, admin)?.run().await {
            Err(Error::RoleUnfit { role, fix, .. }) => {
                assert_eq!(role, unfit);
                assert!(fix.contains(needs), "{fix}");
            }
            Ok(_) if unfit.is_empty() => sql(&owner, "DROP SCHEMA cupel CASCADE").await?,
            other => panic!("{app}, {admin}: {other:?}"),
        }
    }
    let changed = "SELECT count(*) FROM pg_roles WHERE rolname = 'kept_super' AND NOT rolsuper
        OR rolname = 'kept_bypass' AND NOT rolbypassrls OR rolname = 'kept_plain' AND rolbypassrls
        OR rolname = 'kept_group' AND rolcanlogin";
    let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&owner).await?;
    let changed: i64 = sqlx::query_scalar(changed).fetch_one(&mut conn).await?;
    assert_eq!(changed, 0);
    Ok(())
}

#[tokio::test]
async fn a_database_with_critical_findings_is_refused_unless_told_otherwise() -> TestResult {
    let bed = Bed::start().await?;
    bed.sql("ALTER TABLE pipelines DISABLE ROW LEVEL SECURITY").await?;
    match TenantDb::connect(&bed.app_url).await {
        Err(Error::Unsafe { findings }) => {
            let found: Vec<_> = findings.iter().map(|it| (it.rule, it.object.as_str())).collect();
            assert_eq!(found, [("T1", "public.pipelines")]);
        }
        other => panic!("{other:?}"),
    }
    TenantDb::builder(&bed.app_url).allow_critical_findings(true).connect().await?;
    bed.sql("ALTER TABLE pipelines ENABLE ROW LEVEL SECURITY").await?;
    TenantDb::connect(&bed.app_url).await?;
    Ok(())
}

#[tokio::test]
async fn a_network_without_a_checked_certificate_is_refused_before_any_io() {
    let far = "postgres://a:b@192.0.2.1/c";
    let refused = TenantDb::connect(far).await;
    assert!(matches!(refused, Err(Error::PlainText { which: "app" })), "{refused:?}");
    let near = "postgres://a:b@127.0.0.1:1/c";
    let refused = TenantDb::builder(near).admin_url(far).connect().await;
    assert!(matches!(refused, Err(Error::PlainText { which: "admin" })), "{refused:?}");
    let refused = Migration::new(far).tables([Table::org("t")]).run().await;
    assert!(matches!(refused, Err(Error::PlainText { which: "owner" })), "{refused:?}");
}

#[tokio::test]
async fn a_connection_that_cannot_be_is_told_apart() -> TestResult {
    let bed = Bed::start().await?;
    let wrong = bed.app_url.replace(":cupel_app@", ":wrong@");
    let refused = TenantDb::connect(&wrong).await;
    assert!(matches!(&refused, Err(Error::LoginRefused { which: "app", .. })), "{refused:?}");
    assert_eq!(refused.map_err(|error| error.kind()).err(), Some(LayerErrorKind::Unreachable));
    let missing = format!("{}_missing", bed.app_url);
    assert!(matches!(TenantDb::connect(&missing).await, Err(Error::DatabaseMissing)));
    let silent = TenantDb::connect("postgres://a:b@127.0.0.1:1/c").await;
    assert!(matches!(silent, Err(Error::Unreachable { which: "app", .. })), "{silent:?}");
    for url in ["", "localhost/cupel", "mysql://a:b@c/d", "postgres://a:b@c:port/d"] {
        let refused = TenantDb::connect(url).await;
        assert!(matches!(refused, Err(Error::InvalidUrl { which: "app" })), "{url}");
    }
    let empty = as_role(&empty().await?, "cupel_app")?;
    assert!(matches!(TenantDb::connect(&empty).await, Err(Error::NotMigrated)));
    Ok(())
}

#[tokio::test]
async fn a_context_that_the_database_does_not_have_is_refused() -> TestResult {
    let bed = Bed::start().await?;
    let builder = || TenantDb::builder(&bed.app_url);
    let refused = builder().context(ContextMode::Sealed).connect().await;
    let expected = ("sealed", "plain");
    assert!(
        matches!(&refused, Err(Error::ContextMismatch { wanted, found }) if (*wanted, *found) == expected),
        "{refused:?}"
    );
    let sealed = || {
        crate::bed::migration(&bed.owner_url, &bed.app_url, &bed.admin_url)
            .context(ContextMode::Sealed)
    };
    let refused = sealed().run().await;
    assert!(matches!(refused, Err(Error::NoSealKey { mode: "sealed" })), "{refused:?}");
    sealed().seal_keys([crate::bed::seal_key("k1")]).run().await?;
    let refused = builder().connect().await;
    assert!(matches!(refused, Err(Error::NoSealKey { mode: "sealed" })), "{refused:?}");
    let refused = builder().context(ContextMode::Plain).connect().await;
    assert!(matches!(refused, Err(Error::ContextMismatch { wanted: "plain", .. })), "{refused:?}");
    builder().seal_key(crate::bed::seal_key("k1")).connect().await?;
    Ok(())
}

#[tokio::test]
async fn a_slug_is_refused_on_a_uuid_database_before_any_io() -> TestResult {
    let owner = empty().await?;
    sql(&owner, "CREATE TABLE t (org_id uuid NOT NULL, id text, PRIMARY KEY (org_id, id))").await?;
    let (app, admin) = (as_role(&owner, "cupel_app")?, as_role(&owner, "cupel_admin")?);
    Migration::new(&owner)
        .app_url(&app)
        .admin_url(&admin)
        .tables([Table::org("t")])
        .column_type(ColumnType::Uuid)
        .run()
        .await?;
    let db = TenantDb::builder(&app).admin_url(&admin).connect().await?;
    let refused = db.begin(&scope("acme")).await;
    assert!(matches!(refused, Err(Error::SlugOnUuid { what: "organizations" })));
    let spec = OrgSpec::new(org_id("acme"), Tier::STANDARD);
    let Err(refused) = db.provision(&spec).await else { return Err("it was provisioned".into()) };
    assert_eq!(refused.kind(), LayerErrorKind::Refused);
    assert!(db.registry().ok_or("no registry")?.clone().find_all_is_empty().await?);
    Ok(())
}

/// What the registry lists, as a question.
trait FindAll {
    async fn find_all_is_empty(&self) -> Result<bool, cupel_tenant::LayerError>;
}

impl FindAll for cupel_tenant_db::DbRegistry {
    async fn find_all_is_empty(&self) -> Result<bool, cupel_tenant::LayerError> {
        Ok(cupel_tenant::Registry::list(self).await?.is_empty())
    }
}

#[tokio::test]
async fn a_declaration_that_does_not_fit_is_refused_and_nothing_is_written() -> TestResult {
    let owner = empty().await?;
    sql(&owner, SCHEMA).await?;
    sql(
        &owner,
        "CREATE TABLE plain (id text PRIMARY KEY);
         CREATE TABLE loose (org_id text COLLATE \"C\"); INSERT INTO loose DEFAULT VALUES;
         CREATE TABLE odd (org_id int NOT NULL);
         CREATE TABLE drafts (org_id text COLLATE \"C\" NOT NULL, workspace_id text COLLATE \"C\");
         INSERT INTO drafts VALUES ('acme', NULL)",
    )
    .await?;
    let app = as_role(&owner, "refused_unfit_app")?;
    for (table, problem) in [
        (Table::org("missing"), "does not exist"),
        (Table::org("plain"), "has no column org_id"),
        (Table::org("loose"), "lets org_id be NULL"),
        (Table::org("odd"), "has a column org_id of another type"),
        (Table::workspace("pipelines"), "has no column workspace_id"),
        (Table::separate("pipelines"), "has no column workspace_id"),
        (Table::separate("drafts"), "lets workspace_id be NULL; write '-' where it is"),
        (Table::global("pipelines"), "is declared global and has a column org_id"),
    ] {
        let tables = [Table::org("pipelines"), table];
        let refused = Migration::new(&owner).app_url(&app).tables(tables).run().await;
        match refused {
            Err(Error::TableUnfit { problem: found, .. }) => assert!(found.starts_with(problem)),
            other => panic!("{problem}: {other:?}"),
        }
    }
    let bad_name = Migration::new(&owner).tables([Table::org("")]).run().await;
    assert!(matches!(bad_name, Err(Error::InvalidTableName)));
    let bad_column = Migration::new(&owner).tables([Table::org("a").org_column("")]).run().await;
    assert!(matches!(bad_column, Err(Error::InvalidColumnName)));
    let own = Migration::new(&owner).app_url(&owner).run().await;
    assert!(matches!(own, Err(Error::PowerfulRole { which: "app", power: "is the owner's role" })));
    let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&owner).await?;
    let written: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'cupel')
             OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'refused_unfit_app')",
    )
    .fetch_one(&mut conn)
    .await?;
    assert!(!written);
    Ok(())
}

#[tokio::test]
async fn an_owner_without_the_rights_is_told_which() -> TestResult {
    let bed = Bed::start().await?;
    bed.sql(
        "DROP ROLE IF EXISTS refused_poor;
         CREATE ROLE refused_poor LOGIN PASSWORD 'refused_poor'",
    )
    .await?;
    let poor = as_role(&bed.owner_url, "refused_poor")?;
    let app = as_role(&bed.owner_url, "refused_new_app")?;
    let refused = Migration::new(&poor).app_url(&app).tables([Table::org("pipelines")]).run().await;
    assert!(matches!(refused, Err(Error::OwnerLacksRight { .. })), "{refused:?}");
    let refused =
        Migration::new(&poor).app_url(&bed.app_url).tables([Table::org("pipelines")]).run().await;
    assert!(matches!(refused, Err(Error::OwnerLacksRight { .. })), "{refused:?}");
    Ok(())
}

#[test]
fn messages_name_the_rule_and_the_remedy() {
    let error = Error::PowerfulRole { which: "app", power: "is, or can become, a superuser" };
    assert_eq!(
        error.to_string(),
        "the role of the app URL is, or can become, a superuser; connect as a role that the migration made"
    );
}
