//! Random schemas: what the auditor says of each, and what an executor of every attack can do to it.

use std::collections::BTreeSet;

use cupel_tenant::Severity;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::stage::{ISOLATES, Outcome, Stage, run};

/// How many schemas, unless `CUPEL_AUDIT_SCHEMAS` says otherwise, and from which seed on.
const SCHEMAS: u64 = 40;
const SEED: u64 = 1;

/// A generator of numbers that is the same everywhere: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = self.roll(u64::try_from(of.len()).unwrap_or(1));
        of.get(usize::try_from(at).unwrap_or(0)).copied().unwrap_or("")
    }
}

/// Something that the application might reach.
#[derive(Clone)]
struct Target {
    name: String,
    /// The table behind it whose rows are attacked, and whether rows can be written through it.
    table: bool,
    function: bool,
    /// The table that it refers to, with its own column `ref`.
    refers_to: Option<String>,
    /// What it reads with the rights of whoever asks: what is wrong is wrong there.
    through: Vec<String>,
}

struct Schema {
    sql: String,
    tables: Vec<String>,
    targets: Vec<Target>,
}

fn schema(dice: &mut Dice) -> Schema {
    let mut sql = String::from("DROP TABLE items; ");
    if dice.chance(30) {
        sql += "GRANT {grp} TO {app}; ";
    }
    let mut schema = Schema { sql, tables: Vec::new(), targets: Vec::new() };
    let mut global_ids: Vec<(String, bool)> = Vec::new();
    for at in 0..=dice.roll(3) {
        let name = format!("t{at}");
        let refers_to = match global_ids.last().cloned() {
            Some(parent) if dice.chance(60) => Some(parent),
            _ => None,
        };
        let one_id = dice.chance(20);
        table(dice, &mut schema, &name, one_id, refers_to.as_ref());
        schema.targets.push(Target {
            name: name.clone(),
            table: true,
            function: false,
            refers_to: refers_to.map(|it| it.0),
            through: Vec::new(),
        });
        global_ids.push((name.clone(), one_id));
        over(dice, &mut schema, &name, at);
        schema.tables.push(name);
    }
    if dice.chance(20) {
        partitions(dice, &mut schema);
    }
    schema
}

fn table(
    dice: &mut Dice,
    schema: &mut Schema,
    name: &str,
    one_id: bool,
    to: Option<&(String, bool)>,
) {
    let sql = &mut schema.sql;
    *sql += &format!(
        "CREATE TABLE {name} (org_id text NOT NULL, id int NOT NULL, n int, note text, ref int, PRIMARY KEY (org_id, id)); "
    );
    if one_id {
        *sql += &format!("ALTER TABLE {name} ADD CONSTRAINT one_{name} UNIQUE (id); ");
    }
    if let Some((parent, parent_one_id)) = to {
        let action = dice.one_of(&["", "ON DELETE CASCADE", "ON DELETE NO ACTION"]);
        *sql += &if *parent_one_id {
            format!(
                "ALTER TABLE {name} ADD CONSTRAINT refers FOREIGN KEY (ref) REFERENCES {parent} (id) {action}; "
            )
        } else {
            format!(
                "ALTER TABLE {name} ADD CONSTRAINT refers FOREIGN KEY (org_id, ref) REFERENCES {parent} {action}; "
            )
        };
    }
    rows(sql, name);
    *sql += &format!(
        "ALTER TABLE {name} OWNER TO {}; ",
        dice.one_of(&["{own}", "{own}", "CURRENT_USER"])
    );
    if dice.chance(93) {
        *sql += &format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; ");
    }
    if dice.chance(80) {
        *sql += &format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY; ");
    }
    policies(dice, sql, name);
    let rights = dice.one_of(&[
        "SELECT",
        "SELECT, INSERT",
        "INSERT",
        "SELECT, INSERT, UPDATE, DELETE",
        "SELECT, INSERT, UPDATE, DELETE",
        "SELECT, UPDATE, DELETE",
        "SELECT (note)",
        "",
    ]);
    let whom = dice.one_of(&["{app}", "{app}", "{app}", "{grp}", "PUBLIC"]);
    if !rights.is_empty() {
        *sql += &format!("GRANT {rights} ON {name} TO {whom}; ");
    }
    if dice.chance(4) {
        *sql += &format!("GRANT TRUNCATE ON {name} TO {whom}; ");
    }
}

/// Two rows of `a` and `b` each, and one of `c` and `d`.
fn rows(sql: &mut String, name: &str) {
    for (at, (org, n)) in
        [("a", 1), ("a", 3), ("b", 1), ("b", 3), ("c", 3), ("d", 1)].into_iter().enumerate()
    {
        *sql += &format!("INSERT INTO {name} VALUES ('{org}', {}, {n}, 'of-{org}'); ", at + 1);
    }
}

fn policies(dice: &mut Dice, sql: &mut String, name: &str) {
    let command = |dice: &mut Dice| {
        dice.one_of(&["ALL", "ALL", "ALL", "SELECT", "INSERT", "UPDATE", "DELETE"])
    };
    if dice.chance(55) {
        let command = if dice.chance(85) { "ALL" } else { command(dice) };
        let whom = dice.one_of(&["PUBLIC", "PUBLIC", "PUBLIC", "{app}", "{grp}"]);
        *sql += &policy(dice, name, "floor", "RESTRICTIVE", command, whom, Some(ISOLATES));
    }
    if dice.chance(90) {
        let whom = dice.one_of(&["PUBLIC", "{app}"]);
        *sql += &policy(dice, name, "access", "PERMISSIVE", "ALL", whom, Some(ISOLATES));
    }
    for at in 0..dice.roll(3) {
        if dice.chance(40) {
            let command = command(dice);
            let whom = dice.one_of(&["PUBLIC", "{app}", "{grp}", "{own}"]);
            *sql += &policy(dice, name, &format!("more{at}"), "PERMISSIVE", command, whom, None);
        }
    }
}

fn policy(
    dice: &mut Dice,
    table: &str,
    name: &str,
    kind: &str,
    command: &str,
    whom: &str,
    text: Option<&str>,
) -> String {
    let context = "current_setting('app.current_org_id', true)";
    let condition = |dice: &mut Dice| match text {
        Some(text) => text.to_owned(),
        None => match dice.roll(9) {
            0 => "true".to_owned(),
            1 => "n = 3".to_owned(),
            2 => "false".to_owned(),
            3 => format!("{ISOLATES} OR n = 3"),
            4 => format!("{ISOLATES} AND n > 0"),
            5 => format!("{ISOLATES} OR {context} IS NULL"),
            6 => "current_setting('app.admin', true) = 'on'".to_owned(),
            7 => format!("org_id = coalesce({context}, 'b')"),
            _ => format!("org_id = {context}"),
        },
    };
    let using = format!("USING ({})", condition(dice));
    let check = format!("WITH CHECK ({})", condition(dice));
    let clauses = match command {
        "SELECT" | "DELETE" => using,
        "INSERT" => check,
        _ if dice.chance(50) => format!("{using} {check}"),
        _ => using,
    };
    format!("CREATE POLICY {name} ON {table} AS {kind} FOR {command} TO {whom} {clauses}; ")
}

/// Views, a materialized view and a function over a table.
fn over(dice: &mut Dice, schema: &mut Schema, table: &str, at: u64) {
    let sql = &mut schema.sql;
    let mut target = |name: String, function: bool, writes: bool, through: Vec<String>| {
        schema.targets.push(Target { name, table: writes, function, refers_to: None, through });
    };
    let (of_table, of_view) = (table.to_owned(), format!("v{at}"));
    if dice.chance(25) {
        let with = dice.one_of(&["", "WITH (security_invoker = true)", "WITH (security_barrier)"]);
        *sql += &format!("CREATE VIEW v{at} {with} AS SELECT org_id, id, n, note FROM {table}; ");
        let owner = dice.one_of(&["{own}", "{own}", "CURRENT_USER"]);
        *sql += &format!("ALTER VIEW v{at} OWNER TO {owner}; ");
        if dice.chance(70) {
            *sql += &format!("GRANT SELECT ON {table} TO {{own}}; ");
        }
        let rights = dice.one_of(&["SELECT", "SELECT, UPDATE", "SELECT, INSERT, UPDATE, DELETE"]);
        *sql += &format!("GRANT {rights} ON v{at} TO {{app}}; ");
        let through = if with.contains("invoker") { vec![of_table.clone()] } else { Vec::new() };
        target(of_view.clone(), false, true, through.clone());
        if dice.chance(40) {
            let with = dice.one_of(&["", "WITH (security_invoker = true)"]);
            let owner = dice.one_of(&["{own}", "CURRENT_USER"]);
            *sql += &format!(
                "CREATE VIEW w{at} {with} AS SELECT org_id, id, n, note FROM v{at}; ALTER VIEW w{at} OWNER TO {owner}; GRANT SELECT ON w{at} TO {{app}}; "
            );
            if dice.chance(60) {
                *sql += &format!("GRANT SELECT ON v{at} TO {{own}}; ");
            }
            // The view inside has its owner's rights to the outer one's finding, if it is the definer's.
            let through = if with.contains("invoker") {
                [through, vec![of_view.clone()]].concat()
            } else {
                through
            };
            target(format!("w{at}"), false, true, through);
        }
    }
    if dice.chance(10) {
        *sql += &format!("CREATE MATERIALIZED VIEW m{at} AS SELECT org_id, note FROM {table}; ");
        if dice.chance(60) {
            *sql += &format!("GRANT SELECT ON m{at} TO {{app}}; ");
        }
        target(format!("m{at}"), false, false, Vec::new());
    }
    if dice.chance(20) {
        let security = dice.one_of(&["SECURITY DEFINER", "SECURITY DEFINER", ""]);
        let owner = dice.one_of(&["{own}", "{own}", "CURRENT_USER"]);
        *sql += &format!(
            "CREATE FUNCTION f{at}() RETURNS SETOF text {security} SET search_path = pg_catalog, pg_temp LANGUAGE sql AS 'SELECT note FROM public.{table}'; ALTER FUNCTION f{at}() OWNER TO {owner}; "
        );
        if dice.chance(30) {
            *sql += &format!("REVOKE EXECUTE ON FUNCTION f{at}() FROM PUBLIC; ");
        }
        let through = if security.is_empty() { vec![of_table, of_view] } else { Vec::new() };
        target(format!("f{at}"), true, false, through);
    }
}

fn partitions(dice: &mut Dice, schema: &mut Schema) {
    let sql = &mut schema.sql;
    *sql += "CREATE TABLE parts (org_id text NOT NULL, id int NOT NULL, n int, note text, PRIMARY KEY (org_id, id)) PARTITION BY LIST (org_id);
        CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b'); CREATE TABLE parts_rest PARTITION OF parts DEFAULT; ";
    rows(sql, "parts");
    *sql += "{isolate parts} ";
    if dice.chance(50) {
        *sql += "GRANT SELECT ON parts_b TO {app}; ";
    }
    if dice.chance(50) {
        *sql += "ALTER TABLE parts_b ENABLE ROW LEVEL SECURITY; ";
    }
    schema.tables.push("parts".to_owned());
    for name in ["parts", "parts_b"] {
        schema.targets.push(Target {
            name: name.to_owned(),
            table: true,
            function: false,
            refers_to: None,
            through: Vec::new(),
        });
    }
}

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
