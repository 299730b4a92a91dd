use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgStatement};
use sqlx::{Execute, Postgres, SqlStr};

/// A query whose text was looked at before it is run.
pub(crate) struct Watched {
    sql: SqlStr,
    statement: Option<PgStatement>,
    arguments: Option<Result<Option<PgArguments>, BoxDynError>>,
    persistent: bool,
}

impl Watched {
    /// Takes the query apart, and says whether it may leave something in the session.
    pub(crate) fn new<'q>(mut query: impl Execute<'q, Postgres>) -> (Self, bool) {
        let statement = query.statement().cloned();
        let persistent = query.persistent();
        let arguments = Some(query.take_arguments());
        let sql = query.sql();
        let leaves = !leaves_nothing(sql.as_str());
        (Self { sql, statement, arguments, persistent }, leaves)
    }

    /// Whether the statement is one that reads rows, writes none and leaves nothing.
    pub(crate) fn only_reads(&self) -> bool {
        let sql = self.sql.as_str();
        let word = first_word(sql);
        let reads = ["SELECT", "VALUES"].into_iter().any(|it| word.eq_ignore_ascii_case(it));
        reads && leaves_nothing(sql)
    }
}

impl Execute<'_, Postgres> for Watched {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

/// Whether the statement is one that leaves nothing in the session.
///
/// True of a single statement that reads or writes rows and calls no function but those of
/// [`HARMLESS`]: what outlives a transaction (a cursor WITH HOLD, PREPARE, LISTEN, SET, a role, a
/// temporary table) is a statement of its own, a SELECT INTO, or the work of a function. Whatever is not
/// known to be harmless is looked into, which costs a question to the server when the connection is given
/// back, and after the caller has its answer.
fn leaves_nothing(sql: &str) -> bool {
    let sql = sql.trim_matches(|c: char| c.is_ascii_whitespace() || c == ';' || c == '(');
    let word = first_word(sql);
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    let known = match word {
        _ if is("INSERT") => calls_harmless_only(without_target(sql)),
        _ if ["UPDATE", "DELETE", "MERGE"].into_iter().any(is) => calls_harmless_only(sql),
        _ if ["SELECT", "WITH", "VALUES"].into_iter().any(is) => {
            !has_word(sql, "into") && calls_harmless_only(sql)
        }
        _ => false,
    };
    // A comment can stand between a function and its arguments, and hide the call.
    known && !sql.contains(';') && !sql.contains("/*") && !sql.contains("--")
}

fn first_word(sql: &str) -> &str {
    let sql = sql.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '(');
    sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default()
}

/// What may stand before a parenthesis: words of SQL, and functions of PostgreSQL that change nothing.
const HARMLESS: [&str; 48] = [
    "ALL",
    "AND",
    "ANY",
    "AS",
    "AVG",
    "BETWEEN",
    "BY",
    "CASE",
    "COALESCE",
    "CONFLICT",
    "COUNT",
    "DISTINCT",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "EXTRACT",
    "FILTER",
    "FROM",
    "GREATEST",
    "IN",
    "INTERSECT",
    "IS",
    "JOIN",
    "LEAST",
    "LENGTH",
    "LIMIT",
    "LOWER",
    "MATERIALIZED",
    "MAX",
    "MIN",
    "NOT",
    "NOW",
    "NULLIF",
    "ON",
    "OR",
    "OVER",
    "PARTITION",
    "ROW",
    "SELECT",
    "SET",
    "SUM",
    "THEN",
    "UNION",
    "UPPER",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
];

/// An INSERT from the end of its table's name on, which stands before a list of columns.
fn without_target(sql: &str) -> &str {
    match sql.split_once('(') {
        // INSERT INTO name (columns…
        Some((head, columns)) if head.split_ascii_whitespace().count() == 3 => columns,
        _ => sql,
    }
}

fn calls_harmless_only(sql: &str) -> bool {
    sql.match_indices('(').all(|(at, _)| {
        let before = sql.get(..at).unwrap_or_default().trim_end();
        let name =
            before.rsplit(|c: char| c.is_ascii_whitespace() || "(,=<>+-*|".contains(c)).next();
        let name = name.unwrap_or_default();
        name.is_empty() || HARMLESS.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

/// Whether the word stands in the text, in whatever case and whatever is around it.
fn has_word(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_or_written_leave_nothing() {
        for sql in [
            "SELECT 1",
            "\n  select name from pipelines where id = $1;",
            "(SELECT 1) UNION (SELECT 2)",
            "INSERT INTO pipelines VALUES ($1)",
            "WITH a AS (SELECT 1) UPDATE b SET c = 1",
            "values (1)",
            "INSERT INTO pipelines (org_id, id) VALUES ($1, lower($2)) ON CONFLICT (org_id, id) DO NOTHING",
            "SELECT count(*), (SELECT max(n) FROM a) FROM b WHERE id IN ($1) AND (c OR now() > d)",
            "DELETE FROM a WHERE NOT EXISTS (SELECT 1 FROM b)",
        ] {
            assert!(leaves_nothing(sql), "{sql}");
        }
    }

    #[test]
    fn everything_else_is_looked_into() {
        for sql in [
            "",
            "SELECT 1; LISTEN gossip",
            "SELECT 1 INTO TEMP stash",
            "select\n*into/**/stash from a",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "PREPARE p AS SELECT 1",
            "SET ROLE other",
            "/* SELECT */ LISTEN gossip",
            "-- SELECT\nLISTEN gossip",
            "DO $$ BEGIN END $$",
            "SELECTED",
            "SELECT remember($1)",
            "SELECT public.remember ($1)",
            "SELECT \"remember\"($1)",
            "SELECT lower/**/($1)",
            "SELECT 1 WHERE a=remember(1)",
            "INSERT INTO a (b) VALUES (remember(1))",
            "INSERT INTO a SELECT b FROM remember(1)",
            "UPDATE a SET b = set_config('c', 'd', false)",
            "WITH a AS MATERIALIZED (SELECT remember(1)) SELECT 1",
            "COMMIT",
        ] {
            assert!(!leaves_nothing(sql), "{sql}");
        }
    }
}
