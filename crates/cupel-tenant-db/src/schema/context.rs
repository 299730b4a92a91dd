use super::ident;
use crate::{ColumnType, ContextMode};

/// The role that alone reads the keys of seals. Nobody logs in as it.
pub(crate) const GUARD: &str = "cupel_guard";

/// The functions that tell the policies whose transaction it is, for one mode.
///
/// Every mode has the same two, so that the policies are the same. STABLE, and called by the policies
/// in a sub-select, they run once per statement and not once per row.
pub(crate) fn context(mode: ContextMode, column_type: ColumnType, strict: bool) -> String {
    let kind = column_type.as_str();
    let functions = match mode {
        ContextMode::Plain => [
            inlined("org", kind, &setting("app.current_org_id"), strict),
            inlined("workspace", kind, &setting("app.current_workspace_id"), false),
        ]
        .concat(),
        ContextMode::Sealed => sealed(kind, strict),
        ContextMode::Register => register(kind, strict),
    };
    format!("{NO_TENANT}{}{functions}", shared_workspace(column_type))
}

/// What stands for a workspace where a row is its organization's own: the id of none.
pub(crate) fn shared(column_type: ColumnType) -> &'static str {
    match column_type {
        // An id begins with a letter or a digit.
        ColumnType::Text => "-",
        // RFC 9562, section 5.9. `ColumnType::check` refuses it.
        ColumnType::Uuid => "00000000-0000-0000-0000-000000000000",
    }
}

fn shared_workspace(column_type: ColumnType) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION cupel.shared_workspace() RETURNS {kind}
  LANGUAGE sql IMMUTABLE PARALLEL SAFE
  AS $$ SELECT '{}'::{kind} $$;
",
        shared(column_type),
        kind = column_type.as_str(),
    )
}

fn setting(name: &str) -> String {
    format!("nullif(pg_catalog.current_setting('{name}', true), '')")
}

/// What a policy answers in strict mode where no organization is named.
const NO_TENANT: &str = "CREATE OR REPLACE FUNCTION cupel.no_tenant() RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE
  AS $$ BEGIN
    RAISE EXCEPTION 'no organization is named' USING ERRCODE = 'CU001',
      HINT = 'open the transaction with a scope, or migrate without strict';
  END $$;
";

/// Plain SQL, which the planner inlines.
fn inlined(what: &str, kind: &str, text: &str, strict: bool) -> String {
    let text =
        if strict { format!("coalesce({text}, cupel.no_tenant())") } else { text.to_owned() };
    format!(
        "CREATE OR REPLACE FUNCTION cupel.current_{what}_id() RETURNS {kind}
  LANGUAGE sql STABLE PARALLEL SAFE
  AS $$ SELECT ({text})::{kind} $$;
"
    )
}

/// Where the keys are.
fn keys() -> String {
    format!(
        r#"CREATE TABLE IF NOT EXISTS cupel.seal_keys (
  id text PRIMARY KEY,
  inner_pad bytea NOT NULL,
  outer_pad bytea NOT NULL
);
REVOKE ALL ON cupel.seal_keys FROM PUBLIC;
GRANT USAGE ON SCHEMA cupel TO {guard};
GRANT SELECT ON cupel.seal_keys TO {guard};
"#,
        guard = ident(GUARD)
    )
}

/// The rows of `cupel.seal_keys k` that open `seal`, of which `body` is what stands before its code: one,
/// or none.
///
/// The code is HMAC-SHA256 (RFC 2104), from the two padded keys. It is compared by a digest of each side, so
/// that the time tells nothing of where they differ. Only then is the text believed, and nothing but the
/// body: that it was made for this backend, or with a nonce for one that a pooler chose, and that this
/// transaction began before it expired.
///
/// It runs as the guard, in every statement or transaction, and most of its time goes into starting what
/// it calls, anew in each transaction. So it is one statement in a function without settings of its own. It
/// names in full whatever a search path could decide.
const OPENS: &str = "k.id OPERATOR(pg_catalog.=) pg_catalog.split_part(body, '.', 2)
      AND CASE WHEN pg_catalog.starts_with(body, 'v1.')
        AND pg_catalog.sha256(pg_catalog.decode(pg_catalog.right(seal, 64), 'hex'))
          OPERATOR(pg_catalog.=) pg_catalog.sha256(pg_catalog.sha256(k.outer_pad OPERATOR(pg_catalog.||)
            pg_catalog.sha256(k.inner_pad OPERATOR(pg_catalog.||)
              pg_catalog.convert_to(body, 'UTF8'))))
      THEN (pg_catalog.split_part(body, '.', 5) OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()::pg_catalog.text
          OR pg_catalog.starts_with(pg_catalog.split_part(body, '.', 5), 'n'))
        AND pg_catalog.split_part(body, '.', 6)::double precision OPERATOR(pg_catalog.>=)
          pg_catalog.date_part('epoch', pg_catalog.transaction_timestamp())
      END";

/// The seal is a setting, opened by each statement that needs it: by the leader of a parallel one, because
/// a worker is another backend.
fn sealed(kind: &str, strict: bool) -> String {
    let reader = |what: &str, part: &str, strict: bool| {
        let unnamed = if strict {
            "IF named IS NULL THEN PERFORM cupel.no_tenant(); END IF;\n    "
        } else {
            ""
        };
        format!(
            "CREATE OR REPLACE FUNCTION cupel.current_{what}_id() RETURNS {kind}
  LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
  AS $$ DECLARE
    seal CONSTANT text := pg_catalog.current_setting('app.current_seal', true);
    body CONSTANT text := pg_catalog.left(seal, -65);
    named {kind};
  BEGIN
    SELECT {part} INTO named FROM cupel.seal_keys k
      WHERE {OPENS};
    {unnamed}RETURN named;
  END $$;
"
        )
    };
    [
        keys(),
        reader("org", "pg_catalog.split_part(body, '.', 3)", strict),
        reader("workspace", "nullif(pg_catalog.split_part(body, '.', 4), '-')", false),
        owned_by_guard(&[
            "FUNCTION cupel.current_org_id()",
            "FUNCTION cupel.current_workspace_id()",
        ]),
    ]
    .concat()
}

/// The seal is opened once, and what was in it is kept in a setting that only a superuser, and by its
/// grant the guard, can write. Of those `backtrace_functions` is the one that takes any text and does
/// nothing with it: it names C functions in whose errors a backtrace is logged. Its alphabet has no
/// hyphen, and an id has no underscore.
///
/// `bind` and `unbind` are for a session between transactions, `enter` is for one transaction. All refuse
/// where the statement began later than the transaction, so that no statement inside one can turn to
/// another organization; only administration goes from one to the next. They are procedures: no
/// expression calls them.
fn register(kind: &str, strict: bool) -> String {
    let entered = "pg_catalog.current_setting('backtrace_functions')";
    let reader = |what: &str, part: u8, strict: bool| {
        let text = format!(
            "CASE WHEN pg_catalog.starts_with({entered}, 'cupel_') THEN nullif(pg_catalog.translate(
      pg_catalog.split_part(pg_catalog.substr({entered}, 7), ',', {part}), '_', '-'), '') END"
        );
        inlined(what, kind, &text, strict)
    };
    let began = "pg_catalog.now() OPERATOR(pg_catalog.=) pg_catalog.statement_timestamp()";
    let open = |what: &str, may: &str, local: bool| {
        format!(
            "CREATE OR REPLACE PROCEDURE cupel.{what}(seal text)
  LANGUAGE plpgsql SECURITY DEFINER
  AS $$ DECLARE
    body CONSTANT text := pg_catalog.left(seal, -65);
    entered text;
  BEGIN
    IF NOT ({may}) THEN
      RAISE EXCEPTION 'an organization is entered where a transaction begins'
        USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT pg_catalog.set_config('backtrace_functions', pg_catalog.translate(pg_catalog.concat('cupel_',
        pg_catalog.split_part(body, '.', 3), ',', nullif(pg_catalog.split_part(body, '.', 4), '-')),
        '-', '_'), {local}) INTO entered FROM cupel.seal_keys k
      WHERE {OPENS};
    IF entered IS NULL THEN
      RAISE EXCEPTION 'the seal does not open' USING ERRCODE = 'insufficient_privilege',
        HINT = 'its key is unknown, it has expired, or it was made for another session';
    END IF;
  END $$;
"
        )
    };
    let procedures = format!(
        "{enter}{bind}CREATE OR REPLACE PROCEDURE cupel.unbind()
  LANGUAGE plpgsql SECURITY DEFINER
  AS $$ BEGIN
    IF NOT ({began}) THEN
      RAISE EXCEPTION 'a session is bound between transactions'
        USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_catalog.set_config('backtrace_functions', '', false);
  END $$;
REVOKE ALL ON PROCEDURE cupel.enter(text), cupel.bind(text), cupel.unbind() FROM PUBLIC;
",
        enter = open("enter", &format!("{began} OR cupel.is_admin()"), true),
        bind = open("bind", began, false),
    );
    let guard = ident(GUARD);
    [
        keys(),
        reader("org", 1, strict),
        reader("workspace", 2, false),
        procedures,
        owned_by_guard(&[
            "PROCEDURE cupel.enter(text)",
            "PROCEDURE cupel.bind(text)",
            "PROCEDURE cupel.unbind()",
        ]),
        format!(
            "GRANT EXECUTE ON FUNCTION cupel.is_admin() TO {guard};
GRANT SET ON PARAMETER backtrace_functions TO {guard};
GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO {guard};\n"
        ),
    ]
    .concat()
}

/// Hands what opens seals to the guard.
fn owned_by_guard(routines: &[&str]) -> String {
    let guard = ident(GUARD);
    let mut sql =
        format!("GRANT {guard} TO CURRENT_USER;\nGRANT CREATE ON SCHEMA cupel TO {guard};\n");
    for routine in routines {
        sql += &format!("ALTER {routine} OWNER TO {guard};\n");
    }
    sql += &format!("REVOKE CREATE ON SCHEMA cupel FROM {guard};\n");
    sql += &format!("GRANT EXECUTE ON FUNCTION cupel.no_tenant() TO {guard};\n");
    sql
}
