//! Which statements an admin transaction runs.
//!
//! What limits a grant is of its transaction: that it only reads, and whose role it has taken. Were the transaction ended
//! or the role taken back by its own SQL, the login would be free of both. So statements run one at a time, and of a kind
//! that does neither. That it is one the server sees to: by the extended protocol it parses no two (PostgreSQL documentation,
//! section 55.2.3). `set_config`, which is of a SELECT, is nobody's to call in a database that was migrated.

use crate::Error;
use crate::grant::Access;

/// The words that such a statement begins with.
const KINDS: [&str; 15] = [
    "CLOSE", "DECLARE", "DELETE", "EXPLAIN", "FETCH", "INSERT", "LOCK", "MERGE", "MOVE", "SELECT",
    "SHOW", "TABLE", "UPDATE", "VALUES", "WITH",
];

/// The words without which EXPLAIN only reads. What it runs for its figures, the server takes for reading, whatever it is:
/// `EXPLAIN ANALYZE SELECT … INTO` makes a table in a transaction that only reads.
const WRITING: [&str; 4] = ["CREATE", "EXECUTE", "INTO", "REFRESH"];

/// Refuses a statement that begins with any other word, or that a grant which only reads would write by.
pub(crate) fn check(sql: &str, access: Access) -> Result<(), Error> {
    let sql = begin(sql).unwrap_or_default();
    let end = sql.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(sql.len());
    let word = sql.get(..end).unwrap_or_default();
    let is = |kind: &str| word.eq_ignore_ascii_case(kind);
    if is("EXPLAIN") && access == Access::ReadOnly {
        // A keyword is written in plain letters or it is none; in a quoted text or a comment it is refused all the same.
        let mut words = sql.split(|c: char| !c.is_ascii_alphabetic() && c != '_');
        if words.any(|word| WRITING.iter().any(|it| word.eq_ignore_ascii_case(it))) {
            return Err(Error::NotAdmitted { word: word.to_owned() });
        }
    }
    if KINDS.iter().any(|kind| is(kind)) {
        return Ok(());
    }
    Err(Error::NotAdmitted { word: word.chars().take(LONGEST_WORD).collect() })
}

/// More than any keyword of SQL has.
const LONGEST_WORD: usize = 20;

/// Returns the text from its first word on: after spaces, comments and parentheses, as the server's scanner takes them.
/// `None` if a comment does not end.
fn begin(mut sql: &str) -> Option<&str> {
    loop {
        sql = sql.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}', '(']);
        sql = if let Some(comment) = sql.strip_prefix("--") {
            comment.get(comment.find(['\n', '\r'])?..)?
        } else if let Some(comment) = sql.strip_prefix("/*") {
            after_comment(comment)?
        } else {
            return Some(sql);
        };
    }
}

/// Returns what follows a comment that was begun. They nest.
fn after_comment(mut sql: &str) -> Option<&str> {
    let mut depth = 1;
    while depth > 0 {
        let at = sql.find("*/")?;
        match sql.find("/*").filter(|inner| *inner < at) {
            Some(inner) => {
                depth += 1;
                sql = sql.get(inner + 2..)?;
            }
            None => {
                depth -= 1;
                sql = sql.get(at + 2..)?;
            }
        }
    }
    Some(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_written() {
        for sql in [
            "SELECT 1",
            "\u{b}\n select 1;",
            "((SELECT 1) UNION SELECT 2)",
            "-- usage\n/* of /* all */ */ With a AS (SELECT 1) TABLE a",
            "--\rVALUES (1)",
            "/*/ COMMIT */ EXPLAIN ANALYZE SELECT 1",
        ] {
            assert!(check(sql, Access::ReadOnly).is_ok(), "{sql:?}");
        }
    }

    #[test]
    fn what_is_explained_under_a_grant_that_only_reads_reads() {
        for (sql, reads) in [
            ("EXPLAIN (ANALYZE) SELECT created_at, into_what FROM a", true),
            ("explain analyze select 1 into b", false),
            ("EXPLAIN (U&\"\\0061nalyze\") SELECT 7INTO b", false),
            ("EXPLAIN ANALYZE CREATE TABLE b AS SELECT 1", false),
            ("EXPLAIN ANALYZE SELECT 1\u{e9}INTO b", false),
            ("EXPLAIN ANALYZE/**/REFRESH MATERIALIZED VIEW c", false),
            ("EXPLAIN ANALYZE EXECUTE d", false),
        ] {
            assert_eq!(check(sql, Access::ReadOnly).is_ok(), reads, "{sql:?}");
            assert!(check(sql, Access::ReadWrite).is_ok(), "{sql:?}");
        }
    }

    #[test]
    fn nothing_else_is_run() {
        for (sql, begins_with) in [
            ("", ""),
            (";COMMIT", ""),
            ("commit", "commit"),
            ("-- SELECT\nCOMMIT", "COMMIT"),
            ("-- SELECT\rEND", "END"),
            ("/* /* */ SELECT */ RESET ROLE", "RESET"),
            ("/* SELECT", ""),
            ("-- SELECT", ""),
            ("/**/--\n/* -- */SET ROLE a", "SET"),
            ("SELECTED", "SELECTED"),
            ("\u{a0}SELECT 1", ""),
            ("do $$ BEGIN END $$", "do"),
            ("COPY a TO PROGRAM 'b'", "COPY"),
            ("averyveryverylongwordthatnobodywantstoread", "averyveryverylongwor"),
        ] {
            let refused = check(sql, Access::ReadWrite);
            let named = matches!(&refused, Err(Error::NotAdmitted { word }) if word == begins_with);
            assert!(named, "{sql:?}: {refused:?}");
        }
    }
}
