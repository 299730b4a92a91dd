//! `cupel audit` on databases of this project and of others.

mod formats;
mod refusals;
mod request;

use std::fs;

use cupel_testkit::Postgres;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{Outcome, Place, TestResult, config_of};

/// A shop that somebody else built, with holes.
const SHOP: &str = r#"
CREATE ROLE {app} LOGIN PASSWORD '{app}';
REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
CREATE TABLE countries (code text PRIMARY KEY);
CREATE TABLE customers (tenant_id uuid NOT NULL, id int NOT NULL, email text, PRIMARY KEY (tenant_id, id));
CREATE TABLE invoices (tenant_id uuid NOT NULL, id int NOT NULL, customer int, PRIMARY KEY (tenant_id, id));
CREATE TABLE "<script>alert(1)</script>" (tenant_id uuid NOT NULL, id int NOT NULL, PRIMARY KEY (tenant_id, id));
CREATE TABLE notes (tenant_id uuid NOT NULL, id int NOT NULL, PRIMARY KEY (tenant_id, id));
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
ALTER TABLE customers FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON customers USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY support ON notes FOR SELECT USING (true);
GRANT SELECT ON countries TO {app};
GRANT SELECT, INSERT, UPDATE, DELETE ON customers, invoices, notes, "<script>alert(1)</script>" TO {app};
GRANT TRUNCATE ON customers TO {app};
INSERT INTO notes VALUES (gen_random_uuid(), 1);
"#;

/// The shop, and how `cupel audit` is asked about it.
struct Shop {
    place: Place,
    owner: PgPool,
    url: String,
    app: String,
}

impl Shop {
    async fn open() -> Outcome<Self> {
        let url = Postgres::shared().await?.database().await?;
        let app = url.rsplit('/').next().unwrap_or_default().replace("test_", "shop_");
        let owner = PgPool::connect(&url).await?;
        let schema = SHOP.replace("{app}", &app);
        sqlx::raw_sql(AssertSqlSafe(schema)).execute(&owner).await?;
        Ok(Self { place: Place::empty()?, owner, url, app })
    }

    fn run(&self, args: &[&str]) -> Outcome<(Option<i32>, String, String)> {
        let asked = ["audit", "--database-url", &self.url, "--app-role", &self.app];
        let named = ["--tenant-column", "tenant_id", "--context", "app.tenant"];
        self.place.run(&[&asked[..], &named, &["--shared", "countries"], args].concat())
    }

    fn json(&self, args: &[&str]) -> Outcome<(Option<i32>, Value)> {
        let (code, stdout, stderr) = self.run(&[args, &["--format", "json"]].concat())?;
        let value =
            serde_json::from_str(&stdout).map_err(|error| format!("{error}: {stdout}{stderr}"))?;
        Ok((code, value))
    }
}

/// The rule and the object of each finding that has one of the severities.
fn found(report: &Value, severities: &[&str]) -> Vec<(String, String)> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().map_or(&[][..], Vec::as_slice);
    let of = findings.iter().filter(|it| severities.contains(&text(it, "severity").as_str()));
    of.map(|it| (text(it, "rule"), text(it, "object"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrated_database_is_clean() -> TestResult {
    let (config, _) = config_of(&["database"]).await?;
    let place = Place::new(&config)?;
    assert_eq!(place.run(&["migrate"])?.0, Some(0));
    let (code, text, stderr) = place.run(&["audit"])?;
    assert_eq!(code, Some(0), "{text}{stderr}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("looked at 5 tables as declared, role "), "{text}");
    let (code, report) = place.json(&["audit"])?;
    assert_eq!(code, Some(0));
    assert_eq!(found(&report, &["critical", "high"]), []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn holes_of_a_strangers_database_are_found() -> TestResult {
    let shop = Shop::open().await?;
    let (code, report) = shop.json(&[])?;
    assert_eq!(code, Some(1), "{report:#}");
    let critical = found(&report, &["critical"]);
    for (rule, object) in [
        ("G1", "public.customers"),
        ("P2", "public.notes"),
        ("T1", "public.<script>alert(1)</script>"),
        ("T1", "public.invoices"),
    ] {
        let there = critical.iter().any(|it| it.0 == rule && it.1.starts_with(object));
        assert!(there, "{rule} {object}: {critical:?}");
    }
    let keys = ["rule", "severity", "object", "title", "allows", "fix", "fingerprint"];
    for finding in report["findings"].as_array().ok_or("no findings")? {
        let finding = finding.as_object().ok_or("no object")?;
        assert!(keys.iter().all(|key| finding.contains_key(*key)), "{finding:?}");
        assert_eq!(finding.len(), keys.len());
    }
    let (code, text, stderr) = shop.run(&[])?;
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    let last = text.lines().last().unwrap_or_default();
    let looked = format!("; looked at 4 tables with tenant_id, role {}; ", shop.app);
    assert!(last.starts_with("4 critical, ") && last.contains(&looked), "{last}");
    // What stands below the critical ones differs with the version of the server.
    let critical = text.split("\n\n").take_while(|it| !it.contains(" medium: "));
    let critical = critical.collect::<Vec<_>>().join("\n\n");
    insta::assert_snapshot!(critical.replace(&shop.app, "SHOP_APP"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_migration_of_fix_puts_it_right() -> TestResult {
    let shop = Shop::open().await?;
    let (code, sql, stderr) = shop.run(&["--fix"])?;
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("error[T1]: row security is off"), "{stderr}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&shop.owner).await?;
    let (code, report) = shop.json(&[])?;
    assert_eq!((found(&report, &["critical", "high"]), code), (vec![], Some(0)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_baseline_knows_is_not_counted() -> TestResult {
    let shop = Shop::open().await?;
    let (code, _, stderr) = shop.run(&["--write-baseline", "known.json"])?;
    let all = shop.json(&[])?.1;
    let count = all["findings"].as_array().map_or(0, Vec::len);
    assert_eq!(code, Some(0));
    assert!(stderr.contains(&format!("{count} findings written to known.json")), "{stderr}");
    let path = shop.place.folder.path().join("known.json");
    let written = fs::read_to_string(&path)?;
    let lines: Vec<&str> = written.lines().filter(|line| line.contains("database/")).collect();
    assert_eq!(lines.len(), count, "one line each: {written}");
    assert!(lines.is_sorted(), "{written}");

    let (code, text, stderr) = shop.run(&["--baseline", "known.json", "--deny", "info"])?;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(text.starts_with(&format!("nothing new found, {count} known;")), "{text}");
    shop.run(&["--baseline", "known.json", "--write-baseline", "known.json"])?;
    assert_eq!(fs::read_to_string(&path)?, written, "stable");

    sqlx::raw_sql(
        "DROP TABLE invoices; ALTER TABLE customers NO FORCE ROW LEVEL SECURITY;
         ALTER TABLE customers DISABLE ROW LEVEL SECURITY",
    )
    .execute(&shop.owner)
    .await?;
    let (code, report) = shop.json(&["--baseline", "known.json"])?;
    assert_eq!(code, Some(1));
    let left = found(&report, &["critical"]);
    assert!(left.contains(&("T1".to_owned(), "public.customers".to_owned())), "{left:?}");
    assert!(!left.iter().any(|it| it.1.contains("notes")), "{left:?}");
    let (_, _, stderr) = shop.run(&["--baseline", "known.json"])?;
    assert!(stderr.contains(" of the baseline are gone; "), "{stderr}");
    assert!(stderr.contains("  database/T1/public.invoices"), "{stderr}");

    let eased = written.replace("\"critical\"", "\"low\"");
    fs::write(&path, eased)?;
    let (code, report) = shop.json(&["--baseline", "known.json"])?;
    assert_eq!(code, Some(1), "it is worse than what was known");
    assert!(found(&report, &["critical"]).iter().any(|it| it.1.contains("notes")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn deny_says_what_is_not_accepted() -> TestResult {
    let shop = Shop::open().await?;
    let (_, sql, _) = shop.run(&["--fix"])?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&shop.owner).await?;
    sqlx::raw_sql("ALTER TABLE notes NO FORCE ROW LEVEL SECURITY").execute(&shop.owner).await?;
    let (_, report) = shop.json(&[])?;
    assert_ne!(found(&report, &["medium"]), []);
    for (deny, code) in
        [("critical", 0), ("high", 0), ("medium", 1), ("low", 1), ("warn", 1), ("info", 1)]
    {
        assert_eq!(shop.run(&["--deny", deny])?.0, Some(code), "{deny}");
    }
    Ok(())
}
