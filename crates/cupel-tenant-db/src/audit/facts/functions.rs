use std::collections::HashMap;

use sqlx::PgConnection;

use super::Oid;
use super::bodies::{Touched, without_comments, words};
use crate::audit::expr::{ContextFunction, Reader};

/// A function outside the system's schemas.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Function {
    pub(crate) oid: Oid,
    /// With its schema, as the server writes it out.
    pub(crate) name: String,
    /// With its arguments, as ALTER FUNCTION takes it.
    pub(crate) signature: String,
    /// With its arguments, as findings name it.
    pub(crate) object: String,
    pub(crate) schema: String,
    pub(crate) owner: Oid,
    pub(crate) language: String,
    pub(crate) definer: bool,
    pub(crate) volatility: String,
    pub(crate) leakproof: bool,
    pub(crate) arguments: i32,
    /// Its own `search_path`, if it sets one.
    pub(crate) search_path: Option<String>,
    /// The schemas on that path in which the application may create.
    pub(crate) open_path: bool,
    pub(crate) body: String,
    pub(crate) of_extension: bool,
    /// Whether only a trigger can call it.
    pub(crate) of_triggers: bool,
    /// Whether the application can call it by itself, or by an aggregate.
    pub(crate) callable: bool,
    /// The aggregates by which it can: their owner's right to call it counts, not the application's.
    pub(crate) aggregates: Vec<String>,
    /// Relations that a parsed body depends on.
    pub(crate) depends: Vec<Oid>,
    /// What the body touches, and with whose rights: `None` is whoever calls.
    #[sqlx(skip)]
    pub(crate) touches: Touched,
    /// Whether it runs a statement that is put together as it runs.
    #[sqlx(skip)]
    pub(crate) dynamic: bool,
    /// The verbs of the statements that it may run, as bits of the rights that they need.
    #[sqlx(skip)]
    pub(crate) verbs: u32,
    /// Whether it sets a setting by a function.
    #[sqlx(skip)]
    pub(crate) sets: bool,
    /// The functions that its body calls.
    #[sqlx(skip)]
    pub(crate) calls: Vec<Oid>,
    /// Whether it reads the context.
    #[sqlx(skip)]
    pub(crate) reads_context: bool,
    /// Whether it sends notifications, and whether of a row that a trigger sees.
    #[sqlx(skip)]
    pub(crate) notifies: Option<bool>,
}

/// A trigger that somebody made.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Trigger {
    pub(crate) relation: Oid,
    pub(crate) name: String,
    pub(crate) function: Oid,
}

pub(super) async fn read(
    conn: &mut PgConnection,
    acting: &[Oid],
) -> Result<HashMap<Oid, Function>, sqlx::Error> {
    let rows: Vec<Function> = sqlx::query_as(
        "SELECT p.oid::int8, n.nspname || '.' || p.proname AS name, n.nspname::text AS schema,
           p.oid::regprocedure::text AS signature,
           n.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS object,
           p.proowner::int8 AS owner, l.lanname::text AS language, p.prosecdef AS definer,
           p.provolatile::text AS volatility, p.proleakproof AS leakproof, p.pronargs::int4 AS arguments,
           s.path AS search_path,
           EXISTS (SELECT FROM unnest(string_to_array(s.path, ',')) e(name)
             JOIN pg_catalog.pg_namespace m ON m.nspname = btrim(e.name, ' \"')
             WHERE EXISTS (SELECT FROM unnest($1::int8[]::oid[]) r(role)
               WHERE has_schema_privilege(r.role, m.oid, 'CREATE'))) AS open_path,
           CASE WHEN p.prosqlbody IS NULL THEN p.prosrc ELSE pg_get_function_sqlbody(p.oid) END AS body,
           e.objid IS NOT NULL AS of_extension,
           p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) AS of_triggers,
           EXISTS (SELECT FROM unnest($1::int8[]::oid[]) r(role)
             WHERE has_function_privilege(r.role, p.oid, 'EXECUTE')
               AND has_schema_privilege(r.role, n.oid, 'USAGE')) AS callable,
           ARRAY(SELECT g.aggfnoid::oid::regprocedure::text FROM pg_catalog.pg_aggregate g
             JOIN pg_catalog.pg_proc w ON w.oid = g.aggfnoid
             WHERE p.oid IN (g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn,
                 g.aggmtransfn, g.aggminvtransfn, g.aggmfinalfn)
               AND has_function_privilege(w.proowner, p.oid, 'EXECUTE')
               AND EXISTS (SELECT FROM unnest($1::int8[]::oid[]) r(role)
                 WHERE has_function_privilege(r.role, w.oid, 'EXECUTE')
                   AND has_schema_privilege(r.role, w.pronamespace, 'USAGE'))
             ORDER BY 1) AS aggregates,
           ARRAY(SELECT DISTINCT d.refobjid::int8 FROM pg_catalog.pg_depend d
             WHERE p.prosqlbody IS NOT NULL AND d.classid = 'pg_catalog.pg_proc'::regclass
               AND d.objid = p.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass) AS depends
         FROM pg_catalog.pg_proc p
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_proc'::regclass
           AND e.objid = p.oid AND e.deptype = 'e'
         LEFT JOIN LATERAL (SELECT substr(c, 13) AS path FROM unnest(p.proconfig) c
           WHERE c LIKE 'search_path=%') s ON true
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
           AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND p.prokind IN ('f', 'p')
         ORDER BY p.oid",
    )
    .bind(acting)
    .fetch_all(conn)
    .await?;
    let called =
        |it: Function| Function { callable: it.callable || !it.aggregates.is_empty(), ..it };
    Ok(rows.into_iter().map(called).map(|it| (it.oid, it)).collect())
}

pub(super) async fn triggers(conn: &mut PgConnection) -> Result<Vec<Trigger>, sqlx::Error> {
    sqlx::query_as(
        "SELECT t.tgrelid::int8 AS relation, t.tgname::text AS name, t.tgfoid::int8 AS function
         FROM pg_catalog.pg_trigger t
         WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D' ORDER BY 1, 2",
    )
    .fetch_all(conn)
    .await
}

impl Function {
    /// What it comes to, if it is one expression, or evidently no more than the context.
    pub(super) fn comes_to(&self, reader: Reader<'_>) -> Option<ContextFunction> {
        if self.arguments > 0 || !matches!(self.language.as_str(), "sql" | "plpgsql") {
            return None;
        }
        let expression = self.expression();
        if let Some(found) = expression.and_then(|text| reader.context_function(&text)) {
            return Some(found);
        }
        // More than one expression: it must ask for the context and for nothing else, and return nothing else.
        let words = words(&self.body);
        let has = |word: &str| words.iter().any(|it| it == word);
        // WHEN is of a handler of exceptions, or of CASE.
        let strange = ["coalesce", "from", "execute", "perform", "else", "when", "into"];
        let evident = self.language == "plpgsql"
            && !strange.iter().any(|it| has(it))
            && self.returns_only_what_it_asked_for(reader);
        evident.then_some(ContextFunction::Context)
    }

    /// Whether every RETURN is of the context, or of a variable that was given nothing else.
    fn returns_only_what_it_asked_for(&self, reader: Reader<'_>) -> bool {
        let code = without_comments(&self.body);
        let is_context =
            |text: &str| reader.context_function(text) == Some(ContextFunction::Context);
        // What is assigned, and to what.
        let mut assigned: HashMap<String, bool> = HashMap::new();
        let mut returned = Vec::new();
        let mut begun = false;
        for statement in code.split(';') {
            begun |= find_word(statement, "begin").is_some();
            if let Some((target, value)) = statement.split_once(":=") {
                let mut words = target.split_whitespace();
                // A declaration names the type behind the name.
                let name = if begun {
                    words.next_back()
                } else {
                    words.find(|it| !it.eq_ignore_ascii_case("declare"))
                };
                let Some(name) = name else { return false };
                *assigned.entry(name.to_lowercase()).or_insert(true) &= is_context(value.trim());
            } else if let Some(at) = find_word(statement, "return") {
                returned.push(
                    statement.get(at + "return".len()..).unwrap_or_default().trim().to_owned(),
                );
            }
        }
        !returned.is_empty()
            && returned.iter().all(|it| {
                it.eq_ignore_ascii_case("null")
                    || is_context(it)
                    || assigned.get(&it.to_lowercase()) == Some(&true)
            })
    }

    /// The expression that is all of the body.
    fn expression(&self) -> Option<String> {
        let mut text = without_comments(&self.body).trim().trim_end_matches(';').trim().to_owned();
        for (start, end) in [("BEGIN ATOMIC", "END"), ("BEGIN", "END")] {
            if let Some(inner) = between(&text, start, end) {
                text = inner.trim().trim_end_matches(';').trim().to_owned();
                break;
            }
        }
        for verb in ["SELECT ", "SELECT\n", "SELECT(", "RETURN ", "RETURN(", "RETURN\n"] {
            if text.get(..verb.len()).is_some_and(|it| it.eq_ignore_ascii_case(verb)) {
                let kept = verb.len() - usize::from(verb.ends_with('('));
                return text.get(kept..).map(|it| without_alias(it.trim()).to_owned());
            }
        }
        None
    }

    /// Whether nobody can read what it does: it is not SQL.
    pub(crate) fn is_opaque(&self) -> bool {
        !matches!(self.language.as_str(), "sql" | "plpgsql")
    }
}

/// Where the word stands by itself.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let lower = text.to_lowercase();
    let is_part = |it: char| it.is_alphanumeric() || it == '_';
    let found = lower.match_indices(word).find(|(at, _)| {
        let before = lower.get(..*at).unwrap_or_default();
        let after = lower.get(at + word.len()..).unwrap_or_default();
        !before.ends_with(is_part) && !after.starts_with(is_part)
    });
    found.map(|it| it.0)
}

/// A select list of one may name its column.
fn without_alias(text: &str) -> &str {
    match text.rfind(" AS ") {
        Some(at) if text.get(at + 4..).is_some_and(|name| !name.contains([')', '\''])) => {
            text.get(..at).unwrap_or(text)
        }
        _ => text,
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let head = text.get(..start.len())?;
    let tail = text.get(text.len().checked_sub(end.len())?..)?;
    (head.eq_ignore_ascii_case(start) && tail.eq_ignore_ascii_case(end))
        .then(|| text.get(start.len()..text.len() - end.len()))
        .flatten()
}
