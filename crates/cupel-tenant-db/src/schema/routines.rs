//! The functions and procedures of the schemas `cupel` and `cupel_shadow`, read out of the statements that make them.

use std::collections::{HashMap, HashSet};

/// A function or procedure of a schema of ours, with all that decides what it does.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Routine {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// As the server writes them out, in no schema's sight but `pg_catalog`.
    pub(crate) arguments: String,
    /// `None` for a procedure.
    pub(crate) returns: Option<String>,
    pub(crate) language: String,
    /// As the catalog says it: `i`, `s` or `v`.
    pub(crate) volatility: String,
    /// As the catalog says it: `s`, `r` or `u`.
    pub(crate) parallel: String,
    pub(crate) definer: bool,
    pub(crate) leakproof: bool,
    pub(crate) strict: bool,
    /// What it sets while it runs, as `name=value`.
    pub(crate) settings: Vec<String>,
    pub(crate) body: String,
}

impl Routine {
    /// With its schema.
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// A routine that a migration makes, and to whom it is handed, quoted; `None` for whoever runs the migration.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) routine: Routine,
    pub(crate) owner: Option<String>,
}

/// What is made by these statements. A body is what stands between two `$$`, and the server keeps it as it is.
pub(crate) fn routines(sql: &str) -> Vec<Made> {
    let mut made = Vec::new();
    let mut owners = HashMap::new();
    let mut rest = sql;
    while !rest.is_empty() {
        let line = rest.split('\n').next().unwrap_or_default();
        if let Some((schema, head)) = created(rest) {
            let mut parts = head.splitn(3, "$$");
            let (head, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            made.push(parsed(schema, head, body));
            rest = parts.next().unwrap_or_default();
            continue;
        }
        if let Some((name, owner)) = handed(line) {
            owners.insert(name.to_owned(), owner.to_owned());
        }
        rest = rest.get(line.len() + 1..).unwrap_or_default();
    }
    let owner = |routine: &Routine| owners.get(&routine.name).cloned();
    made.into_iter().map(|routine| Made { owner: owner(&routine), routine }).collect()
}

/// The schema in which a statement makes a routine, and what comes after it.
fn created(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix("CREATE ")?;
    let text = text.strip_prefix("OR REPLACE ").unwrap_or(text);
    let text = text.strip_prefix("FUNCTION ").or_else(|| text.strip_prefix("PROCEDURE "))?;
    text.split_once('.').filter(|it| super::SCHEMAS.contains(&it.0))
}

/// Which routine a statement hands to whom.
fn handed(line: &str) -> Option<(&str, &str)> {
    let text = line.strip_prefix("ALTER ")?;
    let text = text.strip_prefix("FUNCTION ").or_else(|| text.strip_prefix("PROCEDURE "))?;
    let (routine, owner) = text.trim_end_matches(';').split_once(" OWNER TO ")?;
    Some((routine.strip_prefix("cupel.")?.split('(').next()?, owner))
}

fn parsed(schema: &str, head: &str, body: &str) -> Routine {
    let (name, rest) = head.split_once('(').unwrap_or((head, ""));
    let (arguments, rest) = rest.split_once(')').unwrap_or((rest, ""));
    let (returns, rest) = rest.split_once("LANGUAGE ").unwrap_or(("", rest));
    let returns = returns.trim().strip_prefix("RETURNS ").map(spaced);
    let mut clauses = rest.trim_end().trim_end_matches("AS").split(" SET ");
    let rest = clauses.next().unwrap_or_default();
    let settings = clauses.filter_map(|it| it.trim().split_once(" = "));
    let settings = settings.map(|(name, value)| format!("{name}={value}")).collect();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    let one_of = |known: &[(&str, &str)], otherwise: &str| {
        let found = known.iter().find(|it| has(it.0)).map_or(otherwise, |it| it.1);
        found.to_owned()
    };
    Routine {
        schema: schema.to_owned(),
        name: name.to_owned(),
        arguments: spaced(arguments),
        returns,
        language: words.first().map_or_else(String::new, |it| (*it).to_owned()),
        volatility: one_of(&[("IMMUTABLE", "i"), ("STABLE", "s")], "v"),
        parallel: one_of(&[("SAFE", "s"), ("RESTRICTED", "r")], "u"),
        definer: has("DEFINER"),
        leakproof: has("LEAKPROOF"),
        strict: has("STRICT"),
        settings,
        body: body.to_owned(),
    }
}

/// With one space where there are more, and none before a parenthesis: `TABLE (` is `TABLE(`.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace(" (", "(")
}

/// The names of those that decide whose rows are seen or written: which the policies or a shadow's default
/// call, or which write what these read, and whatever they call in turn.
pub(crate) fn deciding(made: &[Made]) -> HashSet<String> {
    // The last is what rows are written with that come without an organization while it is a shadow's.
    const ASKED: [&str; 3] = ["current_org_id", "current_workspace_id", "org_id"];
    let decides = |it: &Made| {
        ASKED.contains(&it.routine.name.as_str()) || it.routine.body.contains("set_config(")
    };
    let mut found: Vec<&Made> = made.iter().filter(|it| decides(it)).collect();
    let mut at = 0;
    while let Some(caller) = found.get(at).copied() {
        at += 1;
        let calls =
            |it: &Made| caller.routine.body.contains(&format!("{}(", it.routine.full_name()));
        let more = made.iter().filter(|it| calls(it));
        for callee in more {
            if !found.iter().any(|it| it.routine.name == callee.routine.name) {
                found.push(callee);
            }
        }
    }
    found.into_iter().map(|it| it.routine.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Whole, installation};
    use crate::{ColumnType, ContextMode};

    const MODES: [ContextMode; 3] =
        [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register];

    fn made(mode: ContextMode, strict: bool) -> (String, Vec<Made>) {
        let sql = installation(&Whole { column_type: ColumnType::Uuid, mode, strict }, "app", None);
        let made = routines(&sql);
        (sql, made)
    }

    #[test]
    fn every_routine_of_the_schema_is_read() {
        for mode in MODES {
            let (sql, made) = made(mode, true);
            let written = sql.lines().filter(|it| created(it).is_some()).count();
            assert_eq!((made.len(), sql.matches("$$").count()), (written, written * 2), "{mode:?}");
            let names: HashSet<&str> = made.iter().map(|it| it.routine.name.as_str()).collect();
            assert_eq!(names.len(), written, "one of each name: {mode:?}");
            let whole = |it: &&Made| {
                let it = &it.routine;
                ["sql", "plpgsql"].contains(&it.language.as_str()) && it.body.len() > 10
            };
            assert_eq!(made.iter().filter(whole).count(), written, "{mode:?}: {made:#?}");
            let owners = made.iter().filter(|it| it.owner.is_some()).count();
            assert_eq!(owners, sql.matches("OWNER TO").count(), "{mode:?}");
        }
    }

    #[test]
    fn every_clause_of_a_routine_is_read() {
        let sql = "CREATE FUNCTION cupel.f(a text, b uuid)
              RETURNS TABLE (c text) LANGUAGE sql IMMUTABLE LEAKPROOF STRICT PARALLEL RESTRICTED
              SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
              AS $$ SELECT 1 $$;\nALTER FUNCTION cupel.f(text, uuid) OWNER TO \"g\";\n";
        let made = routines(sql);
        let text = |it: &str| it.to_owned();
        let expected = Routine {
            schema: text("cupel"),
            name: text("f"),
            arguments: text("a text, b uuid"),
            returns: Some(text("TABLE(c text)")),
            language: text("sql"),
            volatility: text("i"),
            parallel: text("r"),
            definer: true,
            leakproof: true,
            strict: true,
            settings: vec![text("search_path=pg_catalog, pg_temp"), text("jit=off")],
            body: text(" SELECT 1 "),
        };
        let made: Vec<_> = made.into_iter().map(|it| (it.routine, it.owner)).collect();
        assert_eq!(made, [(expected, Some(text("\"g\"")))]);
    }

    #[test]
    fn all_that_decides_whose_rows_are_seen_is_known() {
        for (mode, strict, expected) in [
            (ContextMode::Plain, false, &["current_org_id", "current_workspace_id"][..]),
            (ContextMode::Sealed, true, &["current_org_id", "current_workspace_id", "no_tenant"]),
            (
                ContextMode::Register,
                false,
                &["bind", "current_org_id", "current_workspace_id", "enter", "is_admin", "unbind"],
            ),
        ] {
            let mut names: Vec<String> = deciding(&made(mode, strict).1).into_iter().collect();
            names.sort();
            assert_eq!(names, expected, "{mode:?}");
        }
    }
}
