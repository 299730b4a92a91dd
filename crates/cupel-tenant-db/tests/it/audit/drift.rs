//! What becomes possible where the declaration, what a migration made of it, and what is there part.

use cupel_tenant_db::{Audit, ContextMode, Migration, Table};

use super::routines::{attack, bed, found};
use super::stage::Outcome;
use super::triggers::erases;
use crate::bed::{Bed, migration, tables};

/// What is found by the rule, as `severity object`.
async fn by_rule(audit: Audit, rule: &str) -> Outcome<Vec<String>> {
    let findings = audit.app_role("cupel_app").run().await?.findings;
    let found = findings.iter().filter(|it| it.rule == rule);
    Ok(found.map(|it| format!("{} {}", it.severity, it.object)).collect())
}

/// Whether one organization reads another's row of the table.
async fn reads(bed: &Bed, table: &str) -> Outcome<bool> {
    let read = format!("SELECT name FROM {table}");
    attack(bed, &["SET app.current_org_id = 'acme'", &read]).await
}

#[tokio::test]
pub(super) async fn audit_of_policies_that_are_not_those_that_were_made() -> Outcome<()> {
    for (near, broken, severity) in [
        (
            "ALTER POLICY cupel_floor ON pipelines USING (org_id = (SELECT cupel.current_org_id()))",
            "ALTER POLICY cupel_floor ON pipelines USING (true);
             ALTER POLICY cupel_access ON pipelines USING (true)",
            "critical",
        ),
        (
            "CREATE TABLE entries (id int); CREATE POLICY extra ON entries USING (true)",
            "DROP POLICY cupel_floor ON pipelines; CREATE POLICY extra ON pipelines USING (true)",
            "critical",
        ),
    ] {
        let bed = bed(ContextMode::Plain).await?;
        bed.sql(near).await?;
        let audit = || Audit::new(&bed.owner_url);
        assert_eq!(by_rule(audit(), "P1").await?, Vec::<String>::new(), "{near}");
        assert!(!reads(&bed, "pipelines").await?, "{near}");
        bed.sql(broken).await?;
        let place = format!("{severity} public.pipelines");
        assert_eq!(by_rule(audit(), "P1").await?, [place], "{broken}");
        assert!(reads(&bed, "pipelines").await?, "{broken}");
        bed.sql("DROP POLICY IF EXISTS extra ON pipelines").await?;
        migration(&bed.owner_url, &bed.app_url, &bed.admin_url).run().await?;
        assert_eq!(by_rule(audit(), "P1").await?, Vec::<String>::new(), "after {broken}");
        assert!(!reads(&bed, "pipelines").await?, "after {broken}");
    }
    Ok(())
}

#[tokio::test]
pub(super) async fn audit_of_a_table_that_is_declared_and_was_not_migrated_so() -> Outcome<()> {
    let all = |more: Table| [tables(), vec![more]].concat();
    for before in [None, Some(Table::org("later").org_column("firm"))] {
        let bed = bed(ContextMode::Plain).await?;
        let migrate = async |tables: Vec<Table>| {
            let migration = Migration::new(&bed.owner_url).app_url(&bed.app_url);
            migration.admin_url(&bed.admin_url).tables(tables).run().await
        };
        let drifted = async || {
            let audit = Audit::new(&bed.owner_url).tables(all(Table::org("later")));
            by_rule(audit, "D2").await
        };
        bed.sql(
            "CREATE TABLE later (org_id text COLLATE \"C\", firm text COLLATE \"C\", name text,
               PRIMARY KEY (org_id, firm, name));
             INSERT INTO later VALUES ('acme', 'acme-2', 'acme'), ('acme-2', 'acme', 'acme-2');
             GRANT SELECT ON later TO cupel_app",
        )
        .await?;
        if let Some(before) = before.clone() {
            migrate(all(before)).await?;
        }
        assert_eq!(drifted().await?, ["medium public.later"], "{before:?}");
        assert!(reads(&bed, "later").await?, "{before:?}");
        migrate(all(Table::org("later"))).await?;
        assert_eq!(drifted().await?, Vec::<String>::new(), "{before:?}");
        assert!(!reads(&bed, "later").await?, "{before:?}");
    }
    Ok(())
}

#[tokio::test]
pub(super) async fn audit_of_what_another_version_did_not_make() -> Outcome<()> {
    let bed = bed(ContextMode::Plain).await?;
    // Whatever else is said there, this version made it.
    bed.sql(
        "DO $$ BEGIN EXECUTE format('COMMENT ON SCHEMA cupel IS %L',
           obj_description('cupel'::regnamespace, 'pg_namespace') || ' and more'); END $$",
    )
    .await?;
    assert_eq!(found(&bed.app_url).await?, Vec::<String>::new());
    assert!(!erases(&bed).await?);
    bed.sql(
        "COMMENT ON SCHEMA cupel IS 'b1946ac92492d2347c6235b4d2611184';
         DROP TRIGGER keep ON cupel.access_log",
    )
    .await?;
    let expected = ["D3 medium cupel.access_log.keep", "D4 medium schema cupel"];
    assert_eq!(found(&bed.app_url).await?, expected);
    assert!(erases(&bed).await?);
    migration(&bed.owner_url, &bed.app_url, &bed.admin_url).run().await?;
    assert_eq!(found(&bed.app_url).await?, Vec::<String>::new());
    assert!(!erases(&bed).await?);
    Ok(())
}
