//! Random schemas: what the auditor says of each, and what an executor of every attack can do to it.

use std::collections::BTreeSet;

use cupel_tenant::Severity;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::schemas::{Dice, Schema, Target, schema};
use super::stage::{Outcome, Stage, run};

/// How many schemas, unless `CUPEL_AUDIT_SCHEMAS` says otherwise, and from which seed on.
const SCHEMAS: u64 = 40;
const SEED: u64 = 1;

/// Where each kind of attack worked.
#[derive(Debug, Default)]
struct Broken {
    /// Rows of others were read or written.
    rows: BTreeSet<String>,
    /// They were after a setting was changed that any SQL can change.
    by_switch: BTreeSet<String>,
    /// A value elsewhere was told from a missing one.
    oracles: BTreeSet<String>,
}

/// The rows of everybody else, as the superuser sees them.
async fn foreign_rows(conn: &mut PgConnection, tables: &[String], org: &str) -> Outcome<String> {
    let each: Vec<String> = tables
        .iter()
        .map(|table| {
            format!("SELECT '{table} ' || t::text AS row FROM {table} t WHERE org_id <> '{org}'")
        })
        .collect();
    let all = each.join(" UNION ALL ");
    run(conn, &format!("SELECT string_agg(row, ' ' ORDER BY row) FROM ({all}) everything")).await
}

/// Runs statements as the application in a transaction that is rolled back, and what `look` then sees.
async fn attempt(
    conn: &mut PgConnection,
    stage: &Stage,
    settings: &str,
    statements: &[&str],
    look: Option<(&[String], &str)>,
) -> Outcome<(Vec<String>, String)> {
    let begin = format!("BEGIN; SET LOCAL SESSION AUTHORIZATION '{}'; {settings}", stage.app);
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *conn).await?;
    let mut results = Vec::new();
    for statement in statements {
        sqlx::raw_sql("SAVEPOINT step").execute(&mut *conn).await?;
        let result = run(conn, statement).await?;
        if result.starts_with(|it: char| it.is_ascii_digit()) {
            sqlx::raw_sql("ROLLBACK TO step").execute(&mut *conn).await?;
        }
        results.push(result);
    }
    let mut seen = String::new();
    // What was refused has changed nothing.
    let refused = |it: &String| it.starts_with(|it: char| it.is_ascii_digit());
    if let Some((tables, org)) = look.filter(|_| !results.iter().all(refused)) {
        sqlx::raw_sql("RESET SESSION AUTHORIZATION").execute(&mut *conn).await?;
        seen = foreign_rows(conn, tables, org).await?;
    }
    sqlx::raw_sql("ROLLBACK").execute(conn).await?;
    Ok((results, seen))
}

/// Tries everything, for every organization and for none.
async fn execute(stage: &Stage, schema: &Schema) -> Outcome<Broken> {
    let mut broken = Broken::default();
    // It can become what it is a member of, and so leave policies that bind its own role only.
    let mut roles = vec![String::new()];
    if schema.sql.contains("GRANT {grp} TO {app}") {
        roles.push(stage.text("SET LOCAL ROLE {grp}"));
    }
    for org in ["", "a", "c", "d"] {
        // A context that was ever set is empty and not NULL: nobody has a session of its own.
        let mut conn = PgConnection::connect(&stage.root_url).await?;
        let before = foreign_rows(&mut conn, &schema.tables, org).await?;
        let context = match org {
            "" => String::new(),
            org => format!("SET LOCAL app.current_org_id = '{org}'"),
        };
        let both = roles.iter().flat_map(|role| [(false, role), (true, role)]);
        for (admin, role) in both {
            let switch = if admin { "SET LOCAL app.admin = 'on'" } else { "" };
            let settings = format!("{context}; {switch}; {role}");
            for target in &schema.targets {
                for statement in statements(target, org) {
                    let reads = statement.starts_with("SELECT") && !target.function;
                    let look = (!reads).then_some((schema.tables.as_slice(), org));
                    let (results, after) =
                        attempt(&mut conn, stage, &settings, &[&statement], look).await?;
                    let read = results.iter().any(|it| {
                        it.lines()
                            .any(|line| line.starts_with("of-") && line != format!("of-{org}"))
                    });
                    if read || !after.is_empty() && after != before {
                        let place = if admin { &mut broken.by_switch } else { &mut broken.rows };
                        place.insert(target.name.clone());
                    }
                }
            }
        }
        for role in roles.iter().filter(|_| !org.is_empty()) {
            oracles(&mut conn, stage, schema, (org, role), &mut broken).await?;
        }
        conn.close().await?;
    }
    Ok(broken)
}

fn statements(target: &Target, org: &str) -> Vec<String> {
    let name = &target.name;
    if target.function {
        return vec![format!("SELECT {name}()")];
    }
    let mut all = vec![format!("SELECT note FROM {name}")];
    if !target.table {
        return all;
    }
    all.push(format!("DELETE FROM {name}"));
    all.push(format!("TRUNCATE {name} CASCADE"));
    let own = if org.is_empty() { "a" } else { org };
    for n in [1, 3] {
        all.push(format!("INSERT INTO {name} (org_id, id, n, note) VALUES ('b', 100, {n}, 'x')"));
        for to in ["b", own] {
            all.push(format!("UPDATE {name} SET org_id = '{to}', n = {n}, note = 'x'"));
        }
        all.push(format!("UPDATE {name} SET n = {n}, note = 'x'"));
    }
    all
}

async fn oracles(
    conn: &mut PgConnection,
    stage: &Stage,
    schema: &Schema,
    (org, role): (&str, &str),
    broken: &mut Broken,
) -> Outcome<()> {
    let settings = format!("SET LOCAL app.current_org_id = '{org}'; {role}");
    for target in schema.targets.iter().filter(|it| it.table && it.name.starts_with('t')) {
        let name = &target.name;
        let mut pairs = Vec::new();
        for n in [1, 3] {
            for column in ["id", "ref"] {
                if column == "ref" && target.refers_to.is_none() {
                    continue;
                }
                let insert = |value: u32| {
                    let (id, reference) = if column == "id" {
                        (value, "NULL".to_owned())
                    } else {
                        (200, value.to_string())
                    };
                    format!(
                        "INSERT INTO {name} (org_id, id, n, note, ref) VALUES ('{org}', {id}, {n}, 'x', {reference})"
                    )
                };
                let update = |value: u32| format!("UPDATE {name} SET {column} = {value}, n = {n}");
                // Row 3 is of `b`; there is no row 999.
                pairs.push((insert(3), insert(999)));
                pairs.push((update(3), update(999)));
            }
        }
        for (existing, missing) in pairs {
            let (there, _) = attempt(conn, stage, &settings, &[&existing], None).await?;
            let (not_there, _) = attempt(conn, stage, &settings, &[&missing], None).await?;
            let code = |it: &[String]| it.first().map(|it| it.chars().take(6).collect::<String>());
            if code(&there) != code(&not_there) {
                broken.oracles.insert(name.clone());
            }
        }
        // What refers to a row of another goes when that one deletes its own.
        if let Some(parent) = &target.refers_to {
            for n in [1, 3] {
                let refer = format!(
                    "INSERT INTO {name} (org_id, id, n, note, ref) VALUES ('{org}', 300, {n}, 'x', 3)"
                );
                let update = format!("UPDATE {name} SET ref = 3, n = {n}");
                for refer in [refer, update] {
                    let all = [
                        refer.as_str(),
                        "SET LOCAL app.current_org_id = 'b'",
                        &format!("DELETE FROM {parent}"),
                    ];
                    let tables = [name.clone()];
                    let (_, unharmed) =
                        attempt(conn, stage, &settings, &all[..1], Some((&tables, "b"))).await?;
                    let (_, after) =
                        attempt(conn, stage, &settings, &all, Some((&tables, "b"))).await?;
                    if !unharmed.is_empty() && unharmed != after {
                        broken.rows.insert(name.clone());
                    }
                }
            }
        }
    }
    Ok(())
}

/// The relation or function that a finding is about.
fn place(object: &str) -> String {
    object.split('.').nth(1).unwrap_or(object).trim_end_matches("()").to_owned()
}

/// Compares one schema; what does not agree.
async fn compare(seed: u64) -> Outcome<Vec<String>> {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let schema = schema(&mut dice);
    let stage = Stage::start().await?;
    stage.root(&schema.sql).await?;
    let report = stage.audit(&[]).await?;
    let broken = execute(&stage, &schema).await?;
    let at = |least: Severity| -> BTreeSet<String> {
        report
            .findings
            .iter()
            .filter(|it| it.severity >= least)
            .map(|it| place(&it.object))
            .collect()
    };
    let (critical, high) = (at(Severity::Critical), at(Severity::High));
    let covered = |name: &String, by: &BTreeSet<String>| {
        let target = schema.targets.iter().find(|it| it.name == *name);
        by.contains(name) || target.is_some_and(|it| it.through.iter().any(|it| by.contains(it)))
    };
    let mut wrong = Vec::new();
    let mut say = |what: &str, names: BTreeSet<String>| {
        for name in names {
            let about: Vec<_> = report
                .findings
                .iter()
                .filter(|it| place(&it.object) == name)
                .map(|it| format!("{} {} {}", it.rule, it.severity, it.problem))
                .collect();
            wrong.push(format!(
                "seed {seed}: {name}: {what}; {about:?}\n{}",
                stage.text(&schema.sql)
            ));
        }
    };
    say(
        "broken and not critical",
        broken.rows.iter().filter(|it| !covered(it, &critical)).cloned().collect(),
    );
    let lesser: BTreeSet<String> = broken.by_switch.union(&broken.oracles).cloned().collect();
    say("told and not high", lesser.iter().filter(|it| !covered(it, &high)).cloned().collect());
    say("critical and not broken", critical.difference(&broken.rows).cloned().collect());
    let any: BTreeSet<String> = lesser.union(&broken.rows).cloned().collect();
    say("high and not broken", high.difference(&any).cloned().collect());
    Ok(wrong)
}

#[tokio::test]
async fn audit_of_random_schemas_agrees_with_every_attack() -> Outcome<()> {
    let number =
        |name: &str, or: u64| std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(or);
    let from = number("CUPEL_AUDIT_SEED", SEED);
    let count = number("CUPEL_AUDIT_SCHEMAS", SCHEMAS);
    let mut wrong = Vec::new();
    for seed in from..from + count {
        wrong.extend(compare(seed).await?);
    }
    assert!(wrong.is_empty(), "{} do not agree:\n{}", wrong.len(), wrong.join("\n\n"));
    Ok(())
}
