//! `cupel adopt` on a service that has customers.

use std::error::Error;
use std::fs;

use super::{Place, TestResult};

const SCHEMA: &str = "
CREATE TABLE orders (id int PRIMARY KEY, tenant text COLLATE \"C\", number text UNIQUE);
CREATE TABLE lines (id int PRIMARY KEY, order_id int NOT NULL REFERENCES orders);
INSERT INTO orders SELECT n, 'acme', 'N' || n FROM generate_series(1, 30) n;
INSERT INTO lines SELECT n, n % 30 + 1 FROM generate_series(1, 90) n;
";

const DECLARATION: &str = "
org_column = 'tenant'
[tables]
orders = 'org'
lines = { kind = 'org', parent = 'orders' }
";

/// A configuration that names the declaration, and a connection as the owner.
async fn service() -> Result<(Place, sqlx::PgPool), Box<dyn Error>> {
    let config = cupel_testkit::config(&["database"]).await?;
    let owner_url = config
        .lines()
        .find_map(|line| line.strip_prefix("owner_url = "))
        .map(|url| url.trim_matches(['"', '\'']))
        .ok_or("no owner_url")?;
    let owner = sqlx::PgPool::connect(owner_url).await?;
    sqlx::raw_sql(SCHEMA).execute(&owner).await?;
    let place = Place::new(&format!("{}\ndeclaration = 'tenancy.toml'\n", config.trim_end()))?;
    fs::write(place.folder.path().join("tenancy.toml"), DECLARATION)?;
    Ok((place, owner))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_adopted_from_the_command_line() -> TestResult {
    let (place, owner) = service().await?;
    let (code, text, stderr) = place.run(&["adopt"])?;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(text.contains("untouched") && text.contains("next: `cupel adopt shadow`"), "{text}");
    let (code, _, stderr) = place.run(&["migrate"])?;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("public.lines has no column tenant"), "{stderr}");

    let (code, text, stderr) = place.run(&["adopt", "shadow"])?;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(text.contains("public.orders is in its shadow"), "{text}");
    assert!(stderr.contains("public.orders: beginning its shadow"), "progress: {stderr}");
    let old = "DO $$ BEGIN CREATE ROLE adopt_cli_old; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        GRANT SELECT ON orders TO adopt_cli_old; SET ROLE adopt_cli_old; SELECT * FROM orders; RESET ROLE";
    sqlx::raw_sql(old).execute(&owner).await?;
    let (_, status) = place.json(&["adopt", "status"])?;
    assert_eq!(status["tables"][1]["table"], "public.orders");
    assert_eq!(status["tables"][1]["violations"]["unbound_reads"], 1, "{status}");
    let (code, text, stderr) = place.run(&["adopt", "enforce"])?;
    assert_eq!((code, text.as_str()), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("enforcement would block 1 statement on public.orders"), "{stderr}");

    assert_eq!(place.run(&["adopt", "forget"])?.0, Some(0));
    let (code, changes) = place.json(&["adopt", "enforce"])?;
    assert_eq!(code, Some(0), "{changes}");
    assert!(changes["changes"].to_string().contains("filled tenant of 90 rows of public.lines"));
    let (_, text, _) = place.run(&["adopt"])?;
    assert!(text.contains("all are isolated"), "{text}");
    assert_eq!(place.run(&["adopt", "enforce"])?.1, "nothing to do\n");
    assert_eq!(place.run(&["audit", "--deny", "medium", "--tenant-column", "tenant"])?.0, Some(0));
    assert_eq!(place.run(&["prove"])?.0, Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_outside_a_workspace_has_columns_of_its_own_where_it_was_counted() -> TestResult {
    let (place, owner) = service().await?;
    let drafts = "CREATE TABLE drafts (id int PRIMARY KEY, tenant text COLLATE \"C\", team text COLLATE \"C\");
        INSERT INTO drafts VALUES (1, 'acme', 'eu'), (2, 'acme', 'us')";
    sqlx::raw_sql(drafts).execute(&owner).await?;
    let declared = "org_column = 'tenant'\n[tables]\ndrafts = { kind = 'workspace', workspace_column = 'team' }";
    fs::write(place.folder.path().join("tenancy.toml"), declared)?;
    assert_eq!(place.run(&["adopt", "shadow"])?.0, Some(0));
    let columns = |text: &str| text.contains("reads of other workspaces");
    assert!(!columns(&place.run(&["adopt"])?.1));
    let wide =
        "DO $$ BEGIN CREATE ROLE adopt_cli_wide; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        GRANT SELECT ON drafts TO adopt_cli_wide; BEGIN; SET LOCAL ROLE adopt_cli_wide;
        SET LOCAL app.current_org_id = 'acme'; SET LOCAL app.current_workspace_id = 'eu';
        SELECT * FROM drafts; COMMIT";
    sqlx::raw_sql(wide).execute(&owner).await?;
    let (_, text, _) = place.run(&["adopt"])?;
    assert!(columns(&text) && text.contains("writes of other workspaces"), "{text}");
    let (_, status) = place.json(&["adopt"])?;
    let counted = &status["tables"][0]["violations"];
    assert_eq!((&counted["outside_reads"], &counted["foreign_reads"]), (&1.into(), &0.into()));
    Ok(())
}

#[test]
fn a_declaration_that_cannot_be_read_is_named_with_its_line() -> TestResult {
    let url = "postgres://a:b@localhost:1/none";
    let config = |more: &str| {
        format!(
            "environment = 'development'\n[database]\nurl = '{url}'\nowner_url = '{url}'\n{more}"
        )
    };
    for (more, declaration, rule) in [
        ("declaration = 'elsewhere.toml'", "", "elsewhere.toml cannot be read"),
        ("declaration = 'tenancy.toml'", "[tables]\na = 'orgs'", "line 2"),
        ("declaration = 'tenancy.toml'\n[database.tables]\na = 'org'", "", "[database.tables] too"),
    ] {
        let place = Place::new(&config(more))?;
        fs::write(place.folder.path().join("tenancy.toml"), declaration)?;
        let (code, _, stderr) = place.run(&["migrate", "--print"])?;
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(rule), "{stderr}");
    }
    Ok(())
}
