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
/// True of a single statement that reads or writes rows: what outlives a transaction (a cursor WITH
/// HOLD, PREPARE, LISTEN, SET, a role, a temporary table) is a statement of its own, or a SELECT INTO.
/// Whatever is not known to be harmless is looked into, which costs a question to the server when the
/// connection is given back, and after the caller has its answer.
fn leaves_nothing(sql: &str) -> bool {
    let sql = sql.trim_matches(|c: char| c.is_ascii_whitespace() || c == ';' || c == '(');
    let word = sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    let writes = ["INSERT", "UPDATE", "DELETE", "MERGE"].into_iter().any(is);
    let reads = ["SELECT", "WITH", "VALUES"].into_iter().any(is);
    (writes || reads && !has_word(sql, "into")) && !sql.contains(';')
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
            "COMMIT",
        ] {
            assert!(!leaves_nothing(sql), "{sql}");
        }
    }
}
