//! Everything that the migration makes is taken away or weakened, one thing at a time. The audit must notice
//! each, and the next migration must put it back; where organizations then reach each other, the attacks must
//! notice too.

use cupel_tenant::{IsolationLayer, Outcome, Severity};
use cupel_tenant_db::{Adoption, ContextMode};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::bed::{Bed, TestResult, assert_isolated, migration, pair, seal_key};

/// One thing that is taken away, and whether that alone lets organizations or workspaces reach each other.
struct Mutation {
    sql: String,
    opens: bool,
}

/// What the catalogs say that there is to take away.
async fn mutations(owner: &mut PgConnection) -> Result<Vec<Mutation>, sqlx::Error> {
    let mut all = Vec::new();
    let mut add = |sql: String, opens: bool| all.push(Mutation { sql, opens });
    let policies: Vec<(String, String, bool, bool)> = sqlx::query_as(
        "SELECT polrelid::regclass::text, polname::text, polqual IS NOT NULL,
           polwithcheck IS NOT NULL
         FROM pg_policy WHERE polname LIKE 'cupel%' ORDER BY 1, 2",
    )
    .fetch_all(&mut *owner)
    .await?;
    for (table, policy, reads, writes) in &policies {
        // Without the floor, or with one that lets all through, the other policy still holds; and the
        // other way round. What keeps workspaces apart has no second.
        let alone = policy.starts_with("cupel_workspace");
        // An update passes both of its conditions, and what it makes must be visible to it.
        let updates = policy == "cupel_workspace_update";
        add(format!("DROP POLICY {policy} ON {table}"), alone);
        if *reads {
            add(format!("ALTER POLICY {policy} ON {table} USING (true)"), alone && !updates);
        }
        if *writes {
            add(format!("ALTER POLICY {policy} ON {table} WITH CHECK (true)"), alone && !updates);
        }
        add(
            format!(
                "ALTER POLICY {policy} ON {table} RENAME TO {policy}_2;
                 ALTER POLICY {policy}_2 ON {table} TO cupel_admin"
            ),
            alone,
        );
    }
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schema_name, table_name) FROM cupel.tenant_tables ORDER BY 1",
    )
    .fetch_all(&mut *owner)
    .await?;
    for table in &tables {
        add(format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"), true);
        add(format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"), false);
        for right in ["TRUNCATE", "REFERENCES", "TRIGGER"] {
            // A reference from elsewhere keeps some tables from being emptied.
            add(format!("GRANT {right} ON {table} TO cupel_app"), false);
            add(format!("GRANT {right} ON {table} TO PUBLIC"), false);
        }
    }
    for sql in [
        "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
    ] {
        add(sql.to_owned(), false);
    }
    let routines: Vec<(String, String, bool, bool)> = sqlx::query_as(
        "SELECT oid::regprocedure::text, pg_get_functiondef(oid), prokind = 'p', prosecdef
         FROM pg_proc WHERE pronamespace = 'cupel'::regnamespace ORDER BY 1",
    )
    .fetch_all(&mut *owner)
    .await?;
    for (routine, definition, is_procedure, definer) in routines {
        // Though it does what it did.
        add(
            definition
                .replace("$function$ ", "$function$ /* */ ")
                .replace("$procedure$ ", "$procedure$ /* */ "),
            false,
        );
        let opens_seals = definition.contains("cupel.seal_keys");
        if opens_seals || routine.starts_with("cupel.current_") {
            let rights = if definer { "INVOKER" } else { "DEFINER" };
            add(format!("ALTER ROUTINE {routine} SECURITY {rights}"), false);
            add(format!("ALTER ROUTINE {routine} SET search_path = public"), false);
            if !is_procedure {
                add(format!("ALTER ROUTINE {routine} IMMUTABLE"), false);
            }
        }
        if opens_seals {
            add(format!("ALTER ROUTINE {routine} OWNER TO cupel_admin"), false);
        }
    }
    add(
        "CREATE OR REPLACE FUNCTION cupel.current_org_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
           AS $$ SELECT 'acme-2'::text $$"
            .to_owned(),
        true,
    );
    let database: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut *owner).await?;
    add(format!("GRANT CREATE ON DATABASE {database} TO PUBLIC"), false);
    add(format!("GRANT TEMPORARY ON DATABASE {database} TO PUBLIC"), false);
    Ok(all)
}

#[tokio::test]
async fn whatever_is_taken_away_the_audit_notices_and_a_migration_puts_back() -> TestResult {
    for mode in [ContextMode::Plain, ContextMode::Register] {
        let bed = Bed::of(mode, 2).await?;
        bed.prove().await?;
        let mut owner = PgConnection::connect(&bed.owner_url).await?;
        let mutations = mutations(&mut owner).await?;
        assert!(mutations.len() > 90, "{}", mutations.len());
        for Mutation { sql, opens } in mutations {
            owner.execute(AssertSqlSafe(sql.clone())).await?;
            let findings = bed.db.audit(pair().first()).await?;
            assert!(!findings.is_empty(), "{mode:?}: not noticed: {sql}");
            // The attacks are many, so one mode sees all that opens.
            if opens && mode == ContextMode::Plain {
                let attempts = bed.prove().await?;
                let noticed = attempts.iter().any(|it| it.outcome != Outcome::Blocked);
                assert!(noticed, "the attacks did not notice: {sql}");
            }
            let repair = migration(&bed.owner_url, &bed.app_url, &bed.admin_url)
                .context(mode)
                .seal_keys([seal_key("k1")]);
            let changes = repair.run().await?;
            assert!(!changes.is_empty(), "{mode:?}: not put back: {sql}");
            let left = bed.db.audit(pair().first()).await?;
            assert!(left.is_empty(), "{mode:?}: after {sql}: {left:#?}");
        }
    }
    Ok(())
}

/// Every key that carries the organization, made to span organizations; and every reference, made to lead to any
/// organization's row.
async fn weaker_keys(owner: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT format('ALTER TABLE %s ADD CONSTRAINT weak UNIQUE (%I)', i.indrelid::regclass, a.attname)
         FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[1]
         WHERE i.indisprimary AND i.indrelid IN (SELECT format('%I.%I', schema_name, table_name)::regclass
           FROM cupel.tenant_tables)
         UNION ALL
         SELECT format('ALTER TABLE %s ADD CONSTRAINT weak UNIQUE (%I);
             ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %4$I FOREIGN KEY (%I) REFERENCES %1$s (%2$I)',
           k.confrelid::regclass, t.attname, k.conrelid::regclass, k.conname, f.attname)
         FROM pg_constraint k
         JOIN pg_attribute f ON f.attrelid = k.conrelid AND f.attnum = k.conkey[2]
         JOIN pg_attribute t ON t.attrelid = k.confrelid AND t.attnum = k.confkey[2]
         WHERE k.contype = 'f' ORDER BY 1",
    )
    .fetch_all(owner)
    .await
}

#[tokio::test]
async fn whatever_key_is_weakened_is_noticed_and_put_right() -> TestResult {
    let bed = Bed::with(2).await?;
    let mut owner = PgConnection::connect(&bed.owner_url).await?;
    let weaker = weaker_keys(&mut owner).await?;
    assert_eq!(weaker.len(), 8, "{weaker:?}");
    for (at, sql) in weaker.into_iter().enumerate() {
        let sql = sql.replace("weak", &format!("weak_{at}"));
        owner.execute(AssertSqlSafe(sql.clone())).await?;
        let findings = bed.db.audit(pair().first()).await?;
        assert!(findings.iter().any(|it| it.severity >= Severity::High), "{sql}: {findings:?}");
        let leaked = bed.prove().await?.iter().any(|it| it.outcome == Outcome::Leaked);
        assert!(leaked, "the attacks did not notice: {sql}");
        // What the attacks left refers to other organizations' rows.
        owner.execute("TRUNCATE pipelines, component_libraries CASCADE").await?;
        let repair = migration(&bed.owner_url, &bed.app_url, &bed.admin_url);
        let changes = match at % 2 {
            0 => repair.run().await?,
            _ => Adoption::of(repair).enforce().await?,
        };
        assert!(!changes.is_empty(), "not put right: {sql}");
        let left = bed.db.audit(pair().first()).await?;
        let worse: Vec<_> = left.iter().filter(|it| it.severity >= Severity::Low).collect();
        assert!(worse.is_empty(), "after {sql}: {worse:#?}");
    }
    assert_isolated(&bed.prove().await?);
    Ok(())
}
