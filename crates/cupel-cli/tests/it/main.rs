//! The command as its users run it: what it prints, and how it exits.

mod adopt;
mod audit;
mod interruption;

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn Error>>;
type TestResult = Outcome<()>;

/// A folder to run in, with a `cupel.toml`.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(config: &str) -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("cupel.toml"), config)?;
        Ok(Self { folder })
    }

    /// A folder without one.
    fn empty() -> Outcome<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    /// Runs `cupel` here; returns the exit code, standard output and standard error.
    fn run(&self, args: &[&str]) -> Result<(Option<i32>, String, String), Box<dyn Error>> {
        let mut command = Command::new(binary());
        let output = command
            .current_dir(self.folder.path())
            .env_remove("DATABASE_URL")
            .args(args)
            .output()?;
        Ok((
            output.status.code(),
            String::from_utf8(output.stdout)?,
            String::from_utf8(output.stderr)?,
        ))
    }

    /// Runs it with `--format json`; returns the exit code and what was printed.
    fn json(&self, args: &[&str]) -> Result<(Option<i32>, Value), Box<dyn Error>> {
        let (code, stdout, stderr) = self.run(&[args, &["--format", "json"]].concat())?;
        let value =
            serde_json::from_str(&stdout).map_err(|error| format!("{error}: {stdout}{stderr}"))?;
        Ok((code, value))
    }
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_cupel"))
}

/// Tables that a service would own, as the worked example of the database layer has them.
const SCHEMA: &str = include_str!("../../../cupel-tenant-db/examples/pipelines/schema.sql");

async fn config() -> Result<(String, sqlx::PgPool), Box<dyn Error>> {
    config_of(&["database", "cache", "keys"]).await
}

/// A configuration of the database and other layers, on servers of this machine; with tables that are yet
/// to be migrated. And a connection that nothing holds off.
async fn config_of(layers: &[&str]) -> Result<(String, sqlx::PgPool), Box<dyn Error>> {
    let config = cupel_testkit::config(layers).await?;
    let owner_url = config
        .lines()
        .find_map(|line| line.strip_prefix("owner_url = "))
        .map(|url| url.trim_matches(['"', '\'']))
        .ok_or("no owner_url")?;
    let owner = sqlx::PgPool::connect(owner_url).await?;
    sqlx::raw_sql(SCHEMA).execute(&owner).await?;
    let tables = "
[database.tables]
pipelines = 'org'
pipeline_runs = 'workspace'
quality_results = 'workspace'
component_libraries = 'shared'
data_products = 'shared'
";
    Ok((config + tables, owner))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organization_from_the_command_line() -> TestResult {
    let (config, _) = config().await?;
    let place = Place::new(&config)?;

    let (code, printed) = place.json(&["migrate", "--print"])?;
    assert_eq!(code, Some(0));
    assert!(printed["sql"].as_str().is_some_and(|sql| sql.contains("CREATE")), "{printed}");

    let (code, changed) = place.json(&["migrate"])?;
    assert_eq!(code, Some(0), "{changed}");
    assert_ne!(changed["changes"], serde_json::json!([]));
    assert_eq!(place.json(&["migrate"])?, (Some(0), serde_json::json!({ "changes": [] })));

    let (code, doctor) = place.json(&["doctor"])?;
    assert_eq!(code, Some(0), "{doctor}");
    assert_eq!(doctor["layers"][0]["state"], "ok");
    assert_eq!(doctor["layers"][3]["state"], "not configured");

    let (code, text, stderr) = place.run(&["onboard", "acme-corp", "--tier", "enterprise"])?;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(text.starts_with("acme-corp is active"), "{text}");
    assert!(stderr.contains("database: provisioning acme-corp"), "plain lines: {stderr}");

    let (_, listed) = place.json(&["list"])?;
    assert_eq!(listed["organizations"][0]["org"], "acme-corp");
    assert_eq!(listed["organizations"][0]["tier"], "enterprise");
    assert_eq!(listed["organizations"][0]["state"], "active");

    assert_eq!(place.run(&["suspend", "acme-corp"])?.0, Some(0));
    assert_eq!(place.json(&["list"])?.1["organizations"][0]["state"], "suspended");
    assert_eq!(place.run(&["resume", "acme-corp"])?.0, Some(0));

    let (code, proof) = place.json(&["prove"])?;
    assert_eq!(code, Some(0), "{proof:#}");
    assert!(proof["attempts"].as_array().is_some_and(|attempts| attempts.len() > 20));

    let (code, _, stderr) = place.run(&["offboard", "acme-corp"])?;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--yes"), "{stderr}");
    let (code, certificate) = place.json(&["offboard", "acme-corp", "--yes"])?;
    assert_eq!((code, &certificate["state"]), (Some(0), &Value::from("erased")), "{certificate}");
    let (code, _, stderr) = place.run(&["onboard", "acme-corp"])?;
    assert_eq!(code, Some(2));
    assert!(stderr.contains("not used again"), "{stderr}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leak_exits_with_one() -> TestResult {
    let (config, owner) = config().await?;
    let place = Place::new(&config)?;
    assert_eq!(place.run(&["migrate"])?.0, Some(0));
    assert_eq!(place.run(&["prove"])?.0, Some(0));

    sqlx::raw_sql(
        "CREATE TABLE open_to_all (org_id text NOT NULL, id text NOT NULL, PRIMARY KEY (org_id, id));
         GRANT SELECT, INSERT, UPDATE, DELETE ON open_to_all TO PUBLIC",
    )
    .execute(&owner)
    .await?;
    let (code, proof) = place.json(&["prove"])?;
    assert_eq!(code, Some(1), "{proof:#}");
    Ok(())
}

#[test]
fn usage_errors_exit_with_two_and_name_the_rule() -> TestResult {
    let place = Place::new("")?;
    for (args, rule) in [
        (&["onboard", "Acme"][..], "not one of a-z, 0-9 and '-'"),
        (&["onboard", "acme:corp"], "not one of a-z, 0-9 and '-'"),
        (&["suspend", "-acme"], "unexpected argument"),
        (&["offboard", "0192d4c65b1a7c3e9f000123456789ab", "--yes"], "8-4-4-4-12"),
        (&["onboard", "acme", "--tier", "Gold Plan"], "invalid tier"),
        (&["prove", "--format", "xml"], "possible values"),
        (&["prove"], "nothing is configured"),
        (&["list"], "no registry"),
        (&["migrate"], "the database layer is not configured"),
        (&["doctor", "--config", "elsewhere.toml"], "elsewhere.toml"),
        (&["conquer"], "unrecognized subcommand"),
    ] {
        let (code, stdout, stderr) = place.run(args)?;
        assert_eq!(code, Some(2), "{args:?}: {stdout}{stderr}");
        assert!(stderr.contains(rule), "{args:?}: {stderr}");
        assert_eq!(stdout, "", "{args:?}");
    }
    Ok(())
}

#[test]
fn an_unreachable_server_exits_with_two() -> TestResult {
    let place = Place::new("[cache]\nurl = 'redis://127.0.0.1:1'")?;
    let (code, doctor) = place.json(&["doctor"])?;
    assert_eq!(code, Some(2));
    assert_eq!(doctor["layers"][1]["state"], "failing");
    assert_eq!(place.run(&["prove"])?.0, Some(2));
    Ok(())
}

#[test]
fn rendering_needs_no_cluster() -> TestResult {
    let place = Place::new(
        "[tiers.enterprise]\npods = 77\n[cluster]\nmanagers = ['system:serviceaccount:cupel:cupel']\n",
    )?;
    let (code, yaml, stderr) = place.run(&["render", "acme-corp", "--tier", "enterprise"])?;
    assert_eq!(code, Some(0), "{stderr}");
    assert!(yaml.contains("name: cupel-org-acme-corp"), "{yaml}");
    assert!(yaml.contains("77"), "{yaml}");
    let (code, yaml, _) = place.run(&["render", "--guards"])?;
    assert_eq!(code, Some(0));
    assert!(yaml.contains("ValidatingAdmissionPolicy"), "{yaml}");
    Ok(())
}

#[test]
fn every_shell_gets_completions() -> TestResult {
    let place = Place::new("")?;
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = place.run(&["completions", shell])?;
        assert_eq!(code, Some(0));
        assert!(script.contains("offboard"), "{shell}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_is_checked_from_end_to_end() -> TestResult {
    let (config, owner) = config_of(&["database"]).await?;
    let place = Place::new(&config)?;
    assert_eq!(place.run(&["migrate"])?.0, Some(0));
    for command in [&["onboard", "acme-corp"][..], &["offboard", "acme-corp", "--yes"]] {
        assert_eq!(place.run(command)?.0, Some(0));
    }
    let (code, log) = place.json(&["access-log"])?;
    assert_eq!((code, &log["whole"], &log["broken"]), (Some(0), &true.into(), &Value::Null));
    let head = log["head"].as_str().ok_or("no head")?.to_owned();
    let (code, text, _) = place.run(&["access-log", "--head", &head])?;
    assert_eq!(code, Some(0));
    assert!(text.contains("each following the one before") && text.contains("is in it"), "{text}");
    sqlx::raw_sql(
        "ALTER TABLE cupel.access_log DISABLE TRIGGER keep;
         DELETE FROM cupel.access_log WHERE id = (SELECT max(id) FROM cupel.access_log)",
    )
    .execute(&owner)
    .await?;
    let (code, text, _) = place.run(&["access-log", "--head", &head])?;
    assert_eq!(code, Some(1));
    assert!(text.contains("is not in it"), "{text}");
    Ok(())
}
