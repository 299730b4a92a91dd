//! What the audit is told beside the URL, and what it says that it looked at.

use std::fs;

use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{Shop, found};
use crate::TestResult;

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_role_may_pass_row_security_and_no_more() -> TestResult {
    let shop = Shop::open().await?;
    let admin = shop.app.replace("shop_", "admin_");
    let create = format!("CREATE ROLE {admin} LOGIN BYPASSRLS CREATEROLE");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&shop.owner).await?;
    let more = ("A1".to_owned(), admin.clone());
    let (_, report) = shop.json(&[])?;
    assert!(!found(&report, &["medium"]).contains(&more), "nobody said who it is: {report:#}");
    let (_, report) = shop.json(&["--admin-role", &admin])?;
    assert!(found(&report, &["medium"]).contains(&more), "{report:#}");
    let correct = format!("ALTER ROLE {admin} NOCREATEROLE");
    sqlx::raw_sql(AssertSqlSafe(correct)).execute(&shop.owner).await?;
    let (_, report) = shop.json(&["--admin-role", &admin])?;
    assert!(!found(&report, &["medium"]).contains(&more), "{report:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_says_which_tables_there_are() -> TestResult {
    let shop = Shop::open().await?;
    let file = shop.place.folder.path().join("tenancy.toml");
    fs::write(
        &file,
        r#"
org_column = "tenant_id"
[tables]
customers = "org"
invoices = "org"
countries = "global"
"#,
    )?;
    let undeclared = |report: &Value| {
        let all = found(report, &["critical", "high", "medium", "low", "info"]);
        all.into_iter().filter(|it| it.0 == "T6").map(|it| it.1).collect::<Vec<_>>()
    };
    let (_, report) = shop.json(&[])?;
    assert_eq!(undeclared(&report), [""; 0]);
    for path in ["tenancy.toml", file.to_str().ok_or("no text")?] {
        let (_, report) = shop.json(&["--declaration", path])?;
        let expected = ["public.<script>alert(1)</script>", "public.notes"];
        assert_eq!(undeclared(&report), expected, "{report:#}");
        let (_, text, _) = shop.run(&["--declaration", path])?;
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains("; looked at 4 tables as declared, role "), "{last}");
    }
    for (content, problem) in [(None, "cannot be read"), (Some("tables = 1"), "tenancy.toml")] {
        match content {
            Some(content) => fs::write(&file, content)?,
            None => fs::remove_file(&file)?,
        }
        let (code, stdout, stderr) = shop.run(&["--declaration", "tenancy.toml"])?;
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains(problem), "{stderr}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_names_the_server_by_its_version() -> TestResult {
    let shop = Shop::open().await?;
    let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&shop.owner).await?;
    let (_, report) = shop.json(&[])?;
    assert_eq!(report["server"], Value::from(version.as_str()), "{report:#}");
    let (_, text, _) = shop.run(&[])?;
    assert!(text.trim_end().ends_with(&format!("PostgreSQL {version}")), "{text}");
    Ok(())
}
