use std::fs;
use std::net::TcpListener;

use super::Shop;
use crate::{Place, TestResult};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_exits_with_two_and_a_remedy() -> TestResult {
    let shop = Shop::open().await?;
    let folder = shop.place.folder.path();
    fs::write(folder.join("broken.json"), "[1, 2")?;
    fs::write(folder.join("odd.json"), r#"{"database/T1/public.x": "dire"}"#)?;
    for (args, remedies) in [
        (&["--deny", "severe"][..], &["possible values", "critical"][..]),
        (&["--timeout", "0"], &["--timeout"]),
        (&["--fix", "--format", "json"], &["leave --format out"]),
        (&["--fix", "--baseline", "broken.json"], &["cannot be used with"]),
        (&["--baseline", "absent.json"], &["absent.json", "--write-baseline absent.json"]),
        (&["--baseline", "broken.json"], &["is not a baseline", "--write-baseline"]),
        (&["--baseline", "odd.json"], &["\"dire\" is no severity"]),
        (&["--write-baseline", "no/such/folder.json"], &["cannot be written"]),
    ] {
        let (code, stdout, stderr) = shop.run(args)?;
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(args[0] == "--write-baseline" || stdout.is_empty(), "{args:?}: {stdout}");
        assert!(remedies.iter().all(|it| stderr.contains(it)), "{args:?}: {stderr}");
    }

    let Shop { place, url, app, .. } = &shop;
    let missing = url.replace("test_", "absent_");
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent = format!("postgres://me@{}/shop", silent.local_addr()?);
    let wrong = format!("postgres://{app}:wrong@{}", url.split('@').nth(1).unwrap_or_default());
    for (args, remedies) in [
        (&["--database-url", "mysql://me@localhost/shop"][..], &["write postgres://"][..]),
        (&["--database-url", ""], &["--database-url"]),
        (&["--database-url", url, "--app-role", "nobody"], &["no role \"nobody\"", "--app-role"]),
        (&["--database-url", url], &["no table has a column \"org_id\"", "--tenant-column"]),
        (&["--database-url", &missing], &["no database of that name"]),
        (&["--database-url", "postgres://me@127.0.0.1:1/shop"], &["does not answer", "start it"]),
        (&["--database-url", &silent, "--timeout", "1"], &["within 1 s", "--timeout"]),
        (
            &["--database-url", "postgres://me@192.0.2.1/shop"],
            &["verify-full", "--allow-plaintext"],
        ),
        (&[], &["no database is named", "--database-url"]),
    ] {
        let (code, stdout, stderr) = place.run(&[&["audit"], args].concat())?;
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}: {stderr}");
        assert!(remedies.iter().all(|it| stderr.contains(it)), "{args:?}: {stderr}");
    }
    // Where the server trusts everybody there is no password to be wrong.
    let (code, _, stderr) =
        place.run(&["audit", "--database-url", &wrong, "--tenant-column", "tenant_id"])?;
    assert!(code != Some(2) || stderr.contains("correct the audit URL"), "{stderr}");
    Ok(())
}

#[test]
fn other_commands_refuse_formats_of_the_audit() -> TestResult {
    let place = Place::new("")?;
    for command in [&["list"][..], &["doctor"], &["render", "acme"]] {
        for format in ["sarif", "junit", "html"] {
            let (code, stdout, stderr) = place.run(&[command, &["--format", format]].concat())?;
            assert_eq!((code, stdout.as_str()), (Some(2), ""), "{command:?} {format}");
            assert!(stderr.contains("this command has text and json"), "{stderr}");
        }
    }
    Ok(())
}

#[test]
fn the_help_teaches() -> TestResult {
    let place = Place::new("")?;
    let (code, help, _) = place.run(&["audit", "--help"])?;
    assert_eq!(code, Some(0));
    for line in ["cupel audit --fix > 0007_isolation.sql", "DATABASE_URL", "Exit code 0"] {
        assert!(help.contains(line), "{line}: {help}");
    }
    Ok(())
}
