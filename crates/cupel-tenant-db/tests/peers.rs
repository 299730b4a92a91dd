//! What pgrls, which `CUPEL_PGRLS` names, says of the schemas of the auditor's cases. `cargo test` by itself does
//! not run this: `scripts/peers pgrls` does, and prints the counts.

#![expect(dead_code, reason = "what the tests of every day have besides")]

#[path = "it/audit/mod.rs"]
mod audit;
#[path = "it/bed.rs"]
mod bed;
#[path = "it/shop.rs"]
mod shop;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use cupel_tenant::Severity;
use futures::stream::{self, StreamExt, TryStreamExt};
use sqlx::{Connection, PgConnection};
use tokio::process::Command;

use crate::audit::cases;
use crate::audit::peer_rules::RULES;
use crate::audit::stage::{Case, Outcome, Stage};

/// A rule of pgrls, and where it says it is broken.
type Said = (String, String);

/// Asks pgrls about a database: what it says at all, and what of it would fail a build by its defaults.
async fn ask(
    stage: &Stage,
    pgrls: &str,
    shared: &[&str],
) -> Outcome<(BTreeSet<Said>, BTreeSet<Said>)> {
    let mut conn = PgConnection::connect(&stage.root_url).await?;
    let schemas: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'",
    )
    .fetch_all(&mut conn)
    .await?;
    conn.close().await?;
    let list = |names: &[String]| {
        names.iter().map(|it| format!("\"{it}\"")).collect::<Vec<_>>().join(", ")
    };
    let shared: Vec<String> = shared.iter().map(|it| format!("public.{it}")).collect();
    let config = std::env::temp_dir().join(format!("{}.toml", stage.app));
    let text = include_str!("../../../testbed/pgrls/pgrls.toml");
    let text = text
        .replace("{schemas}", &list(&schemas))
        .replace("{shared}", &list(&shared))
        .replace("{app}", &stage.app);
    std::fs::write(&config, text)?;
    let output = Command::new(pgrls)
        .args(["lint", "--database-url", &stage.root_url, "--config"])
        .arg(&config)
        .output()
        .await?;
    std::fs::remove_file(&config)?;
    let text = String::from_utf8(output.stdout)?;
    if !text.contains("pgrls: ") && !text.contains("No violations") {
        return Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let (mut all, mut failing) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        let mut words = line.trim().splitn(3, char::is_whitespace).map(str::trim);
        let (Some(level), Some(rest)) = (words.next(), line.trim().split_once("  ")) else {
            continue;
        };
        if !["ERROR", "WARN", "WARNING", "INFO"].contains(&level) || !line.starts_with("  ") {
            continue;
        }
        let (rule, place) = rest.1.split_once("  ").unwrap_or((rest.1, ""));
        let said = (rule.trim().to_owned(), place.trim().to_owned());
        if level != "INFO" {
            failing.insert(said.clone());
        }
        all.insert(said);
    }
    Ok((all, failing))
}

/// Takes out the roles of other databases, which the server has in common, and what it says of the base.
fn own(stage: &Stage, base: &BTreeSet<Said>, said: BTreeSet<Said>) -> BTreeSet<Said> {
    let suffix = stage.app.trim_start_matches("app_");
    let is_role = |place: &str| {
        place.len() == stage.app.len()
            && ["app_", "own_", "grp_", "adm_"].iter().any(|it| place.starts_with(it))
    };
    // Each table is isolated in the way of the base.
    let last = |place: &str| place.rsplit('.').next().unwrap_or_default().to_owned();
    let of_base = |it: &Said| base.iter().any(|of| of.0 == it.0 && last(&of.1) == last(&it.1));
    said.into_iter()
        .filter(|it| !of_base(it) && (!is_role(&it.1) || it.1.ends_with(suffix)))
        .map(|(rule, place)| (rule, place.replace(suffix, "x")))
        .collect()
}

/// The words of a place: schemas, tables, policies, functions and roles.
fn words(place: &str) -> Vec<&str> {
    let between = |it: char| !(it.is_alphanumeric() || it == '_');
    place.split(between).filter(|it| !it.is_empty() && *it != "public").collect()
}

/// What both say of one schema.
#[derive(Default)]
struct Both {
    theirs: BTreeSet<Said>,
    failing: BTreeSet<Said>,
    ours: BTreeSet<Said>,
    /// How many of ours are high or critical.
    denied: usize,
}

impl Both {
    /// Whether one of ours that stands for the rule is about the same thing.
    fn is_covered(&self, (rule, place): &Said) -> bool {
        let stands = RULES.iter().find(|it| it.0 == *rule).map_or(&[][..], |it| it.1);
        let named = words(place);
        // What it says of the cluster names nothing, and of a membership the member.
        let names_another = place.starts_with('(') || rule == "SEC029";
        let same =
            |object: &str| names_another || words(object).iter().any(|it| named.contains(it));
        self.ours.iter().any(|it| stands.contains(&it.0.as_str()) && same(&it.1))
    }
}

async fn look(case: &Case, sql: &str, pgrls: &str, base: &BTreeSet<Said>) -> Outcome<Option<Both>> {
    let stage = Stage::start().await?;
    if stage.version().await? < case.from {
        return Ok(None);
    }
    stage.root(sql).await?;
    let report = stage.audit(case.shared).await?;
    let (all, failing) = ask(&stage, pgrls, case.shared).await?;
    let suffix = stage.app.trim_start_matches("app_");
    Ok(Some(Both {
        theirs: own(&stage, base, all),
        failing: own(&stage, base, failing),
        ours: report
            .findings
            .iter()
            .map(|it| (it.rule.to_string(), it.object.replace(suffix, "x")))
            .collect(),
        denied: report.findings.iter().filter(|it| it.severity >= Severity::High).count(),
    }))
}

/// What comes of all cases.
#[derive(Default)]
struct Counts {
    both: Vec<&'static str>,
    only_ours: Vec<&'static str>,
    /// Near misses that the attack does not get through, and of them those with a hole of another case.
    near: usize,
    other_holes: usize,
    /// Of the rest, those of which pgrls would fail a build.
    alarms: usize,
    /// What only pgrls says, by its rule.
    only_theirs: BTreeMap<String, usize>,
    unanswered: Vec<String>,
}

impl Counts {
    fn add(&mut self, case: &'static Case, broken: &Both, near: &Both) {
        let object = words(case.object);
        let about = |it: &&Said| {
            !near.theirs.contains(*it) || words(&it.1).iter().any(|word| object.contains(word))
        };
        if broken.theirs.iter().any(|it| about(&it)) {
            self.both.push(case.rule);
        } else {
            self.only_ours.push(case.rule);
        }
        if !case.attack.is_empty() {
            self.near += 1;
            if near.denied > 0 {
                self.other_holes += 1;
            } else {
                self.alarms += usize::from(!near.failing.is_empty());
            }
        }
        for (kind, both) in [("broken", broken), ("near", near)] {
            for said in both.theirs.iter().filter(|it| !both.is_covered(it)) {
                *self.only_theirs.entry(said.0.clone()).or_default() += 1;
                let answer = RULES.iter().find(|it| it.0 == said.0).map_or("", |it| it.2);
                if answer.is_empty() {
                    let name = case.broken.lines().next().unwrap_or_default();
                    self.unanswered.push(format!("{said:?} on {} {kind}: {name}", case.rule));
                }
            }
        }
    }

    fn table(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        writeln!(text, "violations found by both              {:>4}", self.both.len())?;
        writeln!(text, "violations found by the auditor only  {:>4}", self.only_ours.len())?;
        let rules: BTreeSet<&str> = self.only_ours.iter().copied().collect();
        writeln!(text, "  of the rules {}", rules.into_iter().collect::<Vec<_>>().join(" "))?;
        writeln!(text, "findings of pgrls without an answer   {:>4}", self.unanswered.len())?;
        writeln!(text, "near misses that an attack does not get through: {}", self.near)?;
        writeln!(text, "  with a hole that another case is about {:>3}", self.other_holes)?;
        writeln!(text, "  of the rest pgrls fails a build for {:>4}", self.alarms)?;
        writeln!(text, "what pgrls says and the auditor does not, and why that is no hole:")?;
        for (rule, count) in &self.only_theirs {
            let answer = RULES.iter().find(|it| it.0 == *rule).map_or("", |it| it.2);
            writeln!(text, "{count:>4} {rule:<8} {answer}")?;
        }
        Ok(text)
    }
}

#[tokio::test]
async fn pgrls_finds_nothing_that_the_auditor_does_not() -> Outcome<()> {
    let pgrls = std::env::var("CUPEL_PGRLS")?;
    let (base, _) = ask(&Stage::start().await?, &pgrls, &[]).await?;
    let every = std::env::var("CUPEL_PGRLS_EVERY").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let looks = cases().step_by(every).map(|case| {
        let (pgrls, base) = (pgrls.as_str(), &base);
        async move {
            let broken = look(case, case.broken, pgrls, base).await?;
            let near = look(case, case.near, pgrls, base).await?;
            Outcome::Ok((case, broken, near))
        }
    });
    let mut looks = stream::iter(looks).buffered(4);
    let mut counts = Counts::default();
    while let Some((case, broken, near)) = looks.try_next().await? {
        if let Some((broken, near)) = broken.zip(near) {
            counts.add(case, &broken, &near);
        }
    }
    println!("{}", counts.table()?);
    assert!(counts.unanswered.is_empty(), "{}", counts.unanswered.join("\n"));
    Ok(())
}
