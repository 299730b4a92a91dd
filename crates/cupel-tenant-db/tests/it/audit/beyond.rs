//! What reaches beyond the tables: files, programs, other servers, and the roles that the server comes with.

use cupel_tenant::Severity;
use cupel_testkit::Postgres;

use super::stage::Shows::Changed;
use super::stage::Who::{A, Root};
use super::stage::{CASE, Case, Outcome, Stage, play, run};

/// A table that the application fills, a file with everybody's notes, and a place for another.
macro_rules! files {
    ($more:literal) => {
        concat!(
            "CREATE TABLE bag (note text); GRANT SELECT, INSERT ON bag TO {app};
             CREATE TABLE place (path text); GRANT SELECT ON place TO {app};
             INSERT INTO place VALUES (current_setting('data_directory') || '/' || current_database());
             DO $$ BEGIN EXECUTE format('COPY items (note) TO %L', current_setting('data_directory') || '/notes'); END $$;",
            $more
        )
    };
}

/// A server that is this one, which whoever may use it enters as the superuser.
macro_rules! far {
    ($more:literal) => {
        concat!(
            "CREATE EXTENSION postgres_fdw; CREATE SCHEMA s;
             DO $$ BEGIN EXECUTE format('CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw
               OPTIONS (host ''127.0.0.1'', port %L, dbname %L)', current_setting('port'), current_database()); END $$;
             CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'postgres', password 'postgres');",
            $more
        )
    };
}

pub(super) const BEYOND: &[Case] = &[
    Case {
        rule: "R2",
        object: "pg_read_server_files",
        broken: files!("GRANT pg_read_server_files TO {app}"),
        near: files!("GRANT pg_read_server_files TO {own}"),
        attack: &[(A, "COPY bag FROM 'notes'"), (A, "SELECT note FROM bag")],
        shared: &["bag", "place"],
        ..CASE
    },
    Case {
        rule: "R2",
        object: "pg_write_server_files",
        broken: files!("GRANT pg_write_server_files TO {app}"),
        near: files!("GRANT pg_write_server_files TO {own}"),
        attack: &[
            (
                A,
                "DO $$ BEGIN EXECUTE format('COPY (SELECT 1) TO %L', (SELECT path FROM place)); END $$",
            ),
            (Root, "SELECT (size > 0)::text FROM place, pg_stat_file(path, true)"),
        ],
        shows: Changed,
        shared: &["bag", "place"],
        ..CASE
    },
    Case {
        rule: "F3",
        object: "server far",
        severity: Severity::High,
        broken: far!("GRANT ALL ON SCHEMA s TO {app}; GRANT USAGE ON FOREIGN SERVER far TO {app}"),
        near: far!("GRANT ALL ON SCHEMA s TO {app}; GRANT USAGE ON FOREIGN SERVER far TO {own}"),
        attack: &[
            (
                A,
                "CREATE FOREIGN TABLE s.far (note text) SERVER far OPTIONS (schema_name 'public', table_name 'items')",
            ),
            (A, "SELECT note FROM s.far"),
        ],
        ..CASE
    },
    // Where the application makes no tables, it makes none of another server's.
    Case {
        rule: "F3",
        object: "server far",
        severity: Severity::Medium,
        broken: far!("GRANT USAGE ON FOREIGN SERVER far TO {app}"),
        near: far!("GRANT USAGE ON FOREIGN SERVER far TO {own}"),
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_what_reaches_beyond_the_tables() -> Outcome<()> {
    play(BEYOND).await
}

/// What is found by the rule, in order.
async fn found(stage: &Stage, rule: &str) -> Outcome<Vec<(String, Severity)>> {
    let findings = stage.audit(&[]).await?.findings;
    let found = findings.into_iter().filter(|it| it.rule == rule);
    let mut found: Vec<_> = found.map(|it| (it.object, it.severity)).collect();
    found.sort();
    Ok(found)
}

/// Those that the server lets a superuser make.
async fn available(stage: &Stage, names: &str) -> Outcome<Vec<String>> {
    Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(names))
        .fetch_all(&mut stage.connect(Root).await?)
        .await?)
}

/// What membership of each predefined role is worth.
const WORTH: [(&str, Severity); 15] = [
    ("pg_checkpoint", Severity::Low),
    ("pg_create_subscription", Severity::Medium),
    ("pg_execute_server_program", Severity::Critical),
    ("pg_maintain", Severity::Medium),
    ("pg_monitor", Severity::Medium),
    ("pg_read_all_data", Severity::Critical),
    ("pg_read_all_settings", Severity::Medium),
    ("pg_read_all_stats", Severity::Medium),
    ("pg_read_server_files", Severity::Critical),
    ("pg_signal_autovacuum_worker", Severity::Low),
    ("pg_signal_backend", Severity::Medium),
    ("pg_stat_scan_tables", Severity::Medium),
    ("pg_use_reserved_connections", Severity::Low),
    ("pg_write_all_data", Severity::Medium),
    ("pg_write_server_files", Severity::Critical),
];

#[tokio::test]
async fn audit_of_membership_of_every_predefined_role() -> Outcome<()> {
    let stage = Stage::start().await?;
    let there = "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, 'pg_')
        AND rolname <> 'pg_database_owner'";
    let there = available(&stage, there).await?;
    let unknown: Vec<_> = there.iter().filter(|it| !WORTH.iter().any(|of| of.0 == **it)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let there: Vec<_> =
        WORTH.iter().filter(|it| there.iter().any(|of| it.0 == of)).copied().collect();
    let there = there.into_iter().map(|it| (it.0.to_owned(), it.1)).collect::<Vec<_>>();
    for (who, expected) in [("{own}", &[][..]), ("{app}", &there)] {
        for (role, _) in &there {
            stage.root(&format!("GRANT {role} TO {who}")).await?;
        }
        assert_eq!(found(&stage, "R2").await?, expected, "{who}");
    }
    stage.root(&stage.audit(&[]).await?.fix_sql()).await?;
    assert_eq!(found(&stage, "R2").await?, []);
    stage.root("ALTER ROLE {own} CREATEDB").await?;
    assert_eq!(found(&stage, "R2").await?, []);
    stage.root("ALTER ROLE {app} CREATEDB").await?;
    assert_eq!(found(&stage, "R2").await?, [(stage.app.clone(), Severity::Low)]);
    Ok(())
}

#[tokio::test]
async fn audit_of_every_extension_that_reaches_beyond_the_tables() -> Outcome<()> {
    let stage = Stage::start().await?;
    let named = "SELECT name::text FROM pg_available_extensions WHERE name IN ('adminpack', 'amcheck', 'dblink',
          'pageinspect', 'pg_buffercache', 'pg_freespacemap', 'pg_surgery', 'pg_visibility', 'pg_walinspect',
          'pgrowlocks', 'pgstattuple') ORDER BY 1";
    let named = available(&stage, named).await?;
    assert!(named.len() > 9, "{named:?}");
    for extension in &named {
        stage.root(&format!("CREATE EXTENSION {extension}")).await?;
    }
    for (who, expected) in [("{own}", &[][..]), ("{app}", &named)] {
        stage
            .root(&format!(
                "DO $$ DECLARE f regprocedure; BEGIN
                   FOR f IN SELECT d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                     WHERE d.deptype = 'e' AND d.classid = 'pg_proc'::regclass AND e.extname <> 'plpgsql'
                   LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
                     EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {who}', f); END LOOP; END $$"
            ))
            .await?;
        let found = found(&stage, "F3").await?;
        let found: Vec<_> = found.iter().filter_map(|it| it.0.split(':').next()).collect();
        assert_eq!(found, expected, "{who}");
    }
    Ok(())
}

#[tokio::test]
async fn audit_of_connections_that_the_server_trusts() -> Outcome<()> {
    // One that takes whoever comes from itself at their word.
    let server = Postgres::configured(&[]).await?;
    let stage = Stage::at(server.database().await?).await?;
    stage
        .root(
            "CREATE EXTENSION dblink;
             DO $$ BEGIN EXECUTE format('COPY (SELECT ''host all all 127.0.0.1/32 trust'') TO %L',
               current_setting('hba_file')); END $$;
             SELECT pg_reload_conf()",
        )
        .await?;
    let attack = async |connect: &str| -> Outcome<bool> {
        let mut app = stage.connect(A).await?;
        let connect = format!(
            "SELECT {connect}('far', format('host=127.0.0.1 port=%s dbname=%s user=postgres',
               current_setting('port'), current_database()))"
        );
        run(&mut app, &connect).await?;
        let rows =
            run(&mut app, "SELECT note FROM dblink('far', 'SELECT note FROM items') t(note text)");
        Ok(rows.await?.contains("theirs"))
    };
    let severity = async || -> Outcome<Option<Severity>> {
        Ok(found(&stage, "F3").await?.first().map(|it| it.1))
    };
    // By itself, it asks whoever is no superuser for a password.
    assert_eq!(severity().await?, Some(Severity::Medium));
    assert!(!attack("dblink_connect").await? && !attack("dblink_connect_u").await?);
    stage.root("GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO {app}").await?;
    assert_eq!(severity().await?, Some(Severity::High));
    assert!(attack("dblink_connect_u").await?);
    stage.root(&stage.audit(&[]).await?.fix_sql()).await?;
    assert_eq!(severity().await?, None);
    assert!(!attack("dblink_connect_u").await?);
    server.stop().await?;
    Ok(())
}
