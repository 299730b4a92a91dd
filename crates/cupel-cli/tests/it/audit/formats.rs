use quick_junit::{Report, TestCaseStatus};
use serde_sarif::sarif::{ResultLevel, Sarif};

use super::Shop;
use crate::TestResult;

#[tokio::test(flavor = "multi_thread")]
async fn sarif_has_a_result_for_each_finding() -> TestResult {
    let shop = Shop::open().await?;
    let (code, text, stderr) = shop.run(&["--format", "sarif"])?;
    assert_eq!((code, stderr.as_str()), (Some(1), ""));
    let log: Sarif = serde_json::from_str(&text)?;
    let run = log.runs.first().ok_or("no run")?;
    let (_, report) = shop.json(&[])?;
    let findings = report["findings"].as_array().ok_or("no findings")?;
    let results = run.results.as_ref().ok_or("no results")?;
    assert_eq!(results.len(), findings.len());
    let rules = run.tool.driver.rules.as_ref().ok_or("no rules")?;
    for (result, finding) in results.iter().zip(findings) {
        assert!(rules.iter().any(|rule| Some(&rule.id) == result.rule_id.as_ref()));
        let prints = result.partial_fingerprints.as_ref().ok_or("no fingerprint")?;
        assert_eq!(prints["cupel/v1"], finding["fingerprint"]);
    }
    assert!(matches!(results.first().and_then(|it| it.level.as_ref()), Some(ResultLevel::Error)));
    assert!(text.contains("database/public.%3Cscript%3Ealert%281%29%3C%2Fscript%3E"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn junit_fails_what_is_denied() -> TestResult {
    let shop = Shop::open().await?;
    let (code, text, _) = shop.run(&["--format", "junit", "--deny", "critical"])?;
    assert_eq!(code, Some(1));
    let report = Report::deserialize_from_str(&text)?;
    let (_, json) = shop.json(&[])?;
    let findings = json["findings"].as_array().ok_or("no findings")?;
    assert_eq!(report.tests, findings.len());
    assert_eq!(report.failures, super::found(&json, &["critical"]).len());
    assert_eq!(report.skipped, report.tests - report.failures);
    let cases = &report.test_suites[0].test_cases;
    assert!(cases.iter().any(|it| it.name.as_str() == "T1 public.<script>alert(1)</script>"));

    let known = ["--write-baseline", "known.json"];
    assert_eq!(shop.run(&known)?.0, Some(0));
    let (code, text, _) = shop.run(&["--format", "junit", "--baseline", "known.json"])?;
    assert_eq!(code, Some(0));
    let report = Report::deserialize_from_str(&text)?;
    let cases = &report.test_suites[0].test_cases;
    assert!(matches!(cases[..], [ref it] if matches!(it.status, TestCaseStatus::Success { .. })));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn html_needs_nothing_and_runs_nothing() -> TestResult {
    let shop = Shop::open().await?;
    let (code, page, _) = shop.run(&["--format", "html"])?;
    assert_eq!(code, Some(1));
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("public.&#60;script&#62;alert(1)&#60;/script&#62;"), "{page}");
    for outside in ["http://", "https://", "url(", "@import", "src="] {
        assert!(!page.contains(outside), "{outside}: {page}");
    }
    for object in ["public.invoices", "public.notes", "public.customers"] {
        assert!(page.contains(object), "{object}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_cannot_steer_the_terminal() -> TestResult {
    let shop = Shop::open().await?;
    let hostile = "CREATE TABLE \"a\u{1b}[2J\nb\" (tenant_id uuid);
        GRANT SELECT ON \"a\u{1b}[2J\nb\" TO PUBLIC";
    sqlx::raw_sql(hostile).execute(&shop.owner).await?;
    for format in ["text", "junit", "html", "sarif"] {
        let (_, text, _) = shop.run(&["--format", format])?;
        assert!(!text.contains('\u{1b}'), "{format}: {text}");
        assert!(text.contains("u{1b}[2J"), "{format}: {text}");
    }
    let (_, sql, stderr) = shop.run(&["--fix"])?;
    assert!(!stderr.contains('\u{1b}'), "{stderr}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&shop.owner).await?;
    Ok(())
}
