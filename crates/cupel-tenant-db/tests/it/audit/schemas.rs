//! Schemas as they come: tables, policies, references, views and functions, each right or wrong by chance.

use super::stage::ISOLATES;

/// A generator of numbers that is the same everywhere: xorshift64*.
pub(super) struct Dice(pub(super) u64);

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
pub(super) struct Target {
    pub(super) name: String,
    /// The table behind it whose rows are attacked, and whether rows can be written through it.
    pub(super) table: bool,
    pub(super) function: bool,
    /// The table that it refers to, with its own column `ref`.
    pub(super) refers_to: Option<String>,
    /// What it reads with the rights of whoever asks: what is wrong is wrong there.
    pub(super) through: Vec<String>,
}

pub(super) struct Schema {
    pub(super) sql: String,
    pub(super) tables: Vec<String>,
    pub(super) targets: Vec<Target>,
}

pub(super) fn schema(dice: &mut Dice) -> Schema {
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
