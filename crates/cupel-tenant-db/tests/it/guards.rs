//! Each guard is taken out on the live server, and the suite must say so.

use cupel_tenant::{Attempt, IsolationLayer, Outcome};

use crate::bed::{Bed, TestResult, assert_leaks, pair};

/// Takes guards out with `statements`, and returns what the suite and the audit then say.
async fn without(
    statements: &'static str,
) -> Result<(Vec<Attempt>, Vec<&'static str>), Box<dyn std::error::Error>> {
    let bed = Bed::start().await?;
    // The stage of an intact database, so that the attacks have something to find.
    bed.prove().await?;
    bed.sql(statements).await?;
    let attempts = bed.prove().await?;
    let findings = bed.db.audit(pair().first()).await?;
    Ok((attempts, findings.iter().map(|finding| finding.rule).collect()))
}

#[tokio::test]
async fn without_the_floor_any_permissive_policy_opens_the_table() -> TestResult {
    let (attempts, rules) = without(
        "DROP POLICY cupel_floor ON pipelines;
         CREATE POLICY report ON pipelines USING (true)",
    )
    .await?;
    assert_leaks(&attempts, "read rows without a WHERE clause");
    assert_leaks(&attempts, "read a row by its primary key");
    assert_leaks(&attempts, "read rows without a context");
    assert_leaks(&attempts, "copy tables out");
    assert_leaks(&attempts, "update another organization's rows");
    assert_leaks(&attempts, "delete another organization's rows");
    assert_leaks(&attempts, "insert a row for another organization");
    assert_leaks(&attempts, "move an own row to another organization");
    assert_leaks(&attempts, "read after COMMIT on the same connection");
    assert_leaks(&attempts, "read after a transaction was dropped");
    assert!(rules.contains(&"P1"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn with_the_floor_a_permissive_policy_opens_nothing() -> TestResult {
    let (attempts, _) = without("CREATE POLICY report ON pipelines USING (true)").await?;
    crate::bed::assert_isolated(&attempts);
    Ok(())
}

#[tokio::test]
async fn without_row_security_the_table_is_open() -> TestResult {
    let (attempts, rules) = without("ALTER TABLE pipeline_runs DISABLE ROW LEVEL SECURITY").await?;
    assert_leaks(&attempts, "read rows without a WHERE clause");
    assert_leaks(&attempts, "read with row security turned off");
    assert_leaks(&attempts, "read another workspace's rows");
    assert_leaks(&attempts, "write another workspace's rows");
    assert!(rules.contains(&"T1"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn a_role_that_owns_the_table_takes_its_security_off() -> TestResult {
    let (attempts, rules) = without(
        "ALTER TABLE pipelines OWNER TO cupel_app; ALTER TABLE pipelines NO FORCE ROW LEVEL SECURITY",
    )
    .await?;
    assert_leaks(&attempts, "disable row security on a table");
    assert_leaks(&attempts, "read rows without a WHERE clause");
    assert!(rules.contains(&"R3") && rules.contains(&"T2"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn a_foreign_key_without_the_organization_refers_across() -> TestResult {
    let (attempts, rules) = without(
        "ALTER TABLE pipelines ADD UNIQUE (id, org_id);
         ALTER TABLE pipeline_runs DROP CONSTRAINT pipeline_runs_org_id_pipeline_id_fkey;
         DELETE FROM pipelines p USING pipelines q WHERE p.id = q.id AND p.org_id > q.org_id;
         ALTER TABLE pipelines ADD CONSTRAINT one_id UNIQUE (id);
         ALTER TABLE pipeline_runs ADD FOREIGN KEY (pipeline_id) REFERENCES pipelines (id)",
    )
    .await?;
    assert_leaks(&attempts, "refer to another organization's row by foreign key");
    assert_leaks(&attempts, "learn of a row by a unique violation");
    assert!(rules.contains(&"K1") && rules.contains(&"K2"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn a_right_to_truncate_empties_the_table() -> TestResult {
    let (attempts, rules) =
        without("GRANT TRUNCATE ON pipelines, pipeline_runs, quality_results TO cupel_app").await?;
    assert_leaks(&attempts, "truncate a table");
    assert!(rules.contains(&"G1"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn with_set_config_one_expression_switches_organizations() -> TestResult {
    let (attempts, rules) =
        without("GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC")
            .await?;
    assert_leaks(&attempts, "switch organization inside one SELECT (injection)");
    assert!(rules.contains(&"F4"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn without_the_question_after_release_sessions_hold_residue() -> TestResult {
    let (attempts, rules) = without(
        "CREATE OR REPLACE FUNCTION cupel.session_is_clean() RETURNS boolean LANGUAGE sql STABLE
         AS 'SELECT now() = statement_timestamp()'",
    )
    .await?;
    assert_leaks(&attempts, "fetch from a cursor left open");
    assert_leaks(&attempts, "execute a prepared statement left behind");
    assert!(rules.contains(&"D3"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn a_right_on_the_registry_shows_who_else_there_is() -> TestResult {
    let (attempts, _) = without("GRANT SELECT ON cupel.organizations TO cupel_app").await?;
    assert_leaks(&attempts, "read the registry and the access log");
    Ok(())
}

#[tokio::test]
async fn an_undeclared_table_fails_the_proof() -> TestResult {
    const TABLE: &str = "CREATE TABLE notes (org_id text COLLATE \"C\" NOT NULL, id text NOT NULL,
        PRIMARY KEY (org_id, id))";
    let bed = Bed::start().await?;
    bed.sql(TABLE).await?;
    let outcome = |attempts: &[Attempt]| {
        let it = attempts.iter().find(|it| it.attack == "reach a table that nobody declared");
        it.map(|it| (it.outcome, it.evidence.clone()))
    };
    let unreachable = outcome(&bed.prove().await?);
    assert_eq!(unreachable, Some((Outcome::NotProven, "public.notes is not declared".to_owned())));
    bed.sql("GRANT SELECT, INSERT ON notes TO cupel_app").await?;
    let attempts = bed.prove().await?;
    assert_eq!(outcome(&attempts).map(|it| it.0), Some(Outcome::Leaked));
    assert_leaks(&attempts, "read rows without a WHERE clause");
    let findings = bed.db.audit(pair().first()).await?;
    assert_eq!(
        findings.first().map(|it| (it.rule, it.object.as_str())),
        Some(("T6", "public.notes"))
    );
    Ok(())
}

#[tokio::test]
async fn without_the_workspace_policies_workspaces_reach_each_other() -> TestResult {
    let (attempts, rules) = without(
        "DROP POLICY cupel_workspace_read ON pipeline_runs;
         DROP POLICY cupel_workspace_update ON pipeline_runs;
         DROP POLICY cupel_workspace_update ON component_libraries",
    )
    .await?;
    assert_leaks(&attempts, "read another workspace's rows");
    assert_leaks(&attempts, "write another workspace's rows");
    assert_leaks(&attempts, "change from a workspace what its organization shares");
    assert!(rules.contains(&"P1"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn a_table_that_takes_no_rows_is_not_proven() -> TestResult {
    let bed = Bed::start().await?;
    bed.sql("ALTER TABLE pipelines ADD CHECK (false) NOT VALID").await?;
    let attempts = bed.prove().await?;
    assert!(attempts.iter().all(|it| it.outcome == Outcome::NotProven), "{attempts:#?}");
    assert!(attempts.iter().any(|it| it.evidence.contains("public.pipelines took no rows")));
    Ok(())
}

#[tokio::test]
async fn a_right_on_the_columns_of_a_key_and_a_place_elsewhere_refer_across() -> TestResult {
    let (attempts, rules) = without(
        "CREATE SCHEMA desk; GRANT USAGE, CREATE ON SCHEMA desk TO cupel_app;
         GRANT REFERENCES (org_id, id) ON pipelines TO cupel_app",
    )
    .await?;
    assert_leaks(&attempts, "refer to another organization's row from a table of its own");
    assert!(rules.contains(&"G3"), "{rules:?}");
    Ok(())
}

#[tokio::test]
async fn a_right_to_put_triggers_needs_no_key() -> TestResult {
    let (attempts, rules) = without(
        "ALTER TABLE quality_results DROP CONSTRAINT quality_results_pkey;
         GRANT TRIGGER ON quality_results TO cupel_app",
    )
    .await?;
    assert_leaks(&attempts, "put a trigger on a table");
    assert!(rules.contains(&"G4"), "{rules:?}");
    Ok(())
}
