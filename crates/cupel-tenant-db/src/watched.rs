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

impl Watched {
    /// Returns its text.
    pub(crate) fn text(&self) -> &str {
        self.sql.as_str()
    }

    /// Lets the server take it for one statement, and refuse it if it is more: as a query with arguments, if with none,
    /// it is sent by the extended protocol.
    pub(crate) fn into_one(mut self) -> Self {
        self.arguments = self.arguments.map(|it| it.map(|it| Some(it.unwrap_or_default())));
        self
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
/// [`FUNCTIONS`]: what outlives a transaction (a cursor WITH HOLD, PREPARE, LISTEN, SET, a role, a
/// temporary table) is a statement of its own, a SELECT INTO, or the work of a function. Whatever is not
/// known to be harmless is looked into, which costs a question to the server when the connection is given
/// back, and after the caller has its answer.
pub(crate) fn leaves_nothing(sql: &str) -> bool {
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

/// What may stand before a parenthesis in SQL and calls nothing.
const WORDS: &str = "
    ALL AND ANY ARRAY AS BETWEEN BY CASE CAST CHAR COALESCE CONFLICT CUBE DECIMAL DISTINCT ELSE EXCEPT EXISTS FILTER
    FROM GREATEST GROUP GROUPING HAVING ILIKE IN INTERSECT INTERVAL IS JOIN LATERAL LEAST LIKE LIMIT MATERIALIZED
    NOT NULLIF NUMERIC OFFSET ON OR OVER PARTITION RETURNING ROLLUP ROW SELECT SET SETS SIMILAR SOME THEN TIME
    TIMESTAMP TIMESTAMPTZ TO TRIM UNION USING VALUES VARCHAR WHEN WHERE WITHIN
";

/// Functions of PostgreSQL that leave nothing, whatever they are given.
const FUNCTIONS: &str = "
    abs age array_agg array_append array_cat array_length array_position array_remove array_to_string avg bool_and
    bool_or btrim cardinality ceil ceiling char_length clock_timestamp concat concat_ws count cume_dist date_part
    date_trunc decode dense_rank encode exp extract first_value floor format gen_random_uuid generate_series initcap
    json_agg json_array_elements json_build_array json_build_object json_object_agg jsonb_agg jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
    jsonb_extract_path jsonb_extract_path_text jsonb_object_agg jsonb_object_keys jsonb_set jsonb_strip_nulls
    jsonb_to_recordset jsonb_typeof lag last_value lead left length lower lpad ltrim make_date make_interval max md5
    min mod now nth_value ntile octet_length overlay percent_rank percentile_cont percentile_disc pg_backend_pid
    phraseto_tsquery plainto_tsquery position power random rank regexp_match regexp_matches regexp_replace repeat replace
    reverse right round row_number row_to_json rpad rtrim sha256 sign split_part sqrt starts_with stddev string_agg
    string_to_array strpos substr substring sum to_char to_date to_json to_jsonb to_number to_timestamp to_tsquery
    to_tsvector translate trunc ts_headline ts_rank unnest upper variance websearch_to_tsquery width_bucket
";

/// An INSERT from the end of its table's name on, which stands before a list of columns.
fn without_target(sql: &str) -> &str {
    match sql.split_once('(') {
        // INSERT INTO name (columns…
        Some((head, columns)) if head.split_ascii_whitespace().count() == 3 => columns,
        _ => sql,
    }
}

fn calls_harmless_only(sql: &str) -> bool {
    // What ends a name that is not quoted; whatever else stands in one makes it unknown.
    let ends = |c: char| c.is_ascii_whitespace() || "(),[]:+-*/<>=~!@#%^&|?".contains(c);
    sql.match_indices('(').all(|(at, _)| {
        let before = sql.get(..at).unwrap_or_default().trim_ascii_end();
        let name = before.rsplit(ends).next().unwrap_or_default();
        let mut known = WORDS.split_ascii_whitespace().chain(FUNCTIONS.split_ascii_whitespace());
        name.is_empty() || known.any(|it| name.eq_ignore_ascii_case(it))
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
            "SELECT a / (b + 1), round(c::numeric(10, 2)), d[1] FROM e",
            "INSERT INTO a (id, at) VALUES (gen_random_uuid(), date_trunc('day', $1))",
            "SELECT id, row_number() OVER (PARTITION BY org_id) FROM a",
            "SELECT jsonb_agg(to_jsonb(a)) FROM a WHERE b @>(SELECT c FROM d)",
        ] {
            assert!(leaves_nothing(sql), "{sql}");
        }
    }

    /// What a server says of each: that it is its own, and that all that it does is answer.
    #[tokio::test]
    async fn a_function_that_leaves_nothing_is_one_of_the_server_s()
    -> Result<(), Box<dyn std::error::Error>> {
        let url = cupel_testkit::Postgres::shared().await?.database().await?;
        let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
        let each_time_another = ["clock_timestamp", "gen_random_uuid", "random"];
        for name in FUNCTIONS.split_ascii_whitespace() {
            let volatile: Option<bool> = sqlx::query_scalar(
                "SELECT bool_or(provolatile = 'v') FROM pg_proc
                 WHERE proname = $1 AND pronamespace = 'pg_catalog'::regnamespace",
            )
            .bind(name)
            .fetch_one(&mut conn)
            .await?;
            assert_eq!(volatile, Some(each_time_another.contains(&name)), "{name}");
        }
        Ok(())
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
            "SELECT a.lower($1)",
            "SELECT \"a,lower\"($1)",
            "SELECT \"a lower\" ($1)",
            "SELECT a$lower($1)",
            "SELECT lower\u{a0}($1)",
            "SELECT 1::remember(1)",
            "SELECT a[remember(1)]",
            "SELECT nextval('a')",
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
