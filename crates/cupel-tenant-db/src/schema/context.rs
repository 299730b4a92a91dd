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
    format!("{NO_TENANT}{functions}")
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

/// Where the keys are, and the function that opens a seal with them.
///
/// The message authentication code is HMAC-SHA256 (RFC 2104), from the two padded keys. It is compared
/// by a digest of each side, so that the time tells nothing of where they differ. Only then is the text
/// believed: that it was made for this backend, or with a nonce for one that a pooler chose, and that
/// this transaction began before it expired. Anything else opens to NULL, which no policy lets through.
/// What is called stands in `pg_catalog` or is named in full, whatever the search path.
fn keys_and_opener() -> String {
    format!(
        r#"CREATE TABLE IF NOT EXISTS cupel.seal_keys (
  id text PRIMARY KEY,
  inner_pad bytea NOT NULL,
  outer_pad bytea NOT NULL
);
REVOKE ALL ON cupel.seal_keys FROM PUBLIC;
GRANT USAGE ON SCHEMA cupel TO {guard};
GRANT SELECT ON cupel.seal_keys TO {guard};
CREATE OR REPLACE FUNCTION cupel.open_seal(seal text) RETURNS text[]
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ BEGIN
    RETURN (
      SELECT CASE WHEN s.part[1] = 'v1' AND cardinality(s.part) = 7
          AND sha256(convert_to(s.part[7], 'UTF8')) = sha256(convert_to(encode(sha256(k.outer_pad
            || sha256(k.inner_pad || convert_to(left(seal, -65), 'UTF8'))), 'hex'), 'UTF8'))
        THEN CASE WHEN (s.part[5] = pg_backend_pid()::text OR starts_with(s.part[5], 'n'))
            AND s.part[6]::bigint >= extract(epoch FROM transaction_timestamp())
          THEN ARRAY[s.part[3], nullif(s.part[4], '-')] END END
      FROM (SELECT string_to_array(seal, '.')) s(part) JOIN cupel.seal_keys k ON k.id = s.part[2]);
  END $$;
REVOKE ALL ON FUNCTION cupel.open_seal(text) FROM PUBLIC;
"#,
        guard = ident(GUARD)
    )
}

/// The seal is a setting, opened by each statement that needs it.
fn sealed(kind: &str, strict: bool) -> String {
    let reader = |what: &str, part: u8, strict: bool| {
        let text = format!("(cupel.open_seal({}))[{part}]", setting("app.current_seal"));
        let text = if strict { format!("coalesce({text}, cupel.no_tenant())") } else { text };
        format!(
            "CREATE OR REPLACE FUNCTION cupel.current_{what}_id() RETURNS {kind}
  LANGUAGE plpgsql STABLE SECURITY DEFINER
  AS $$ BEGIN RETURN {text}; END $$;
"
        )
    };
    [
        keys_and_opener(),
        reader("org", 1, strict),
        reader("workspace", 2, false),
        owned_by_guard(false),
    ]
    .concat()
}

/// The seal is opened once, and what was in it is kept in a setting that only a superuser, and by its
/// grant the guard, can write. Of those `backtrace_functions` is the one that takes any text and does
/// nothing with it: it names C functions in whose errors a backtrace is logged. Its alphabet has no
/// hyphen, and an id has no underscore.
fn register(kind: &str, strict: bool) -> String {
    let entered = "pg_catalog.current_setting('backtrace_functions')";
    let reader = |what: &str, part: u8, strict: bool| {
        let text = format!(
            "CASE WHEN pg_catalog.starts_with({entered}, 'cupel_') THEN nullif(pg_catalog.translate(
      pg_catalog.split_part(pg_catalog.substr({entered}, 7), ',', {part}), '_', '-'), '') END"
        );
        inlined(what, kind, &text, strict)
    };
    [
        keys_and_opener(),
        reader("org", 1, strict),
        reader("workspace", 2, false),
        ENTER.to_owned(),
        owned_by_guard(true),
    ]
    .concat()
}

/// `enter` is for a transaction, and refuses where an organization is entered already, so that a statement
/// inside a transaction cannot turn to another; only administration goes from one to the next. `bind` and
/// `unbind` are for a session between transactions, and refuse inside one: there the statement began later
/// than the transaction.
const ENTER: &str = r#"CREATE OR REPLACE FUNCTION cupel.opened(seal text) RETURNS text
  LANGUAGE plpgsql STABLE
  AS $$ DECLARE entered text[] := cupel.open_seal(seal); BEGIN
    IF pg_catalog.starts_with(pg_catalog.current_setting('backtrace_functions'), 'cupel_')
      AND NOT cupel.is_admin() THEN
      RAISE EXCEPTION 'an organization is entered already' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF entered IS NULL THEN
      RAISE EXCEPTION 'the seal does not open' USING ERRCODE = 'insufficient_privilege',
        HINT = 'its key is unknown, it has expired, or it was made for another session';
    END IF;
    RETURN 'cupel_' || pg_catalog.translate(
      pg_catalog.concat_ws(',', entered[1], entered[2]), '-', '_');
  END $$;
CREATE OR REPLACE FUNCTION cupel.enter(seal text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  AS $$ BEGIN
    PERFORM pg_catalog.set_config('backtrace_functions', cupel.opened(seal), true);
  END $$;
CREATE OR REPLACE FUNCTION cupel.bind(seal text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  AS $$ BEGIN
    PERFORM cupel.unbind();
    PERFORM pg_catalog.set_config('backtrace_functions', cupel.opened(seal), false);
  END $$;
CREATE OR REPLACE FUNCTION cupel.unbind() RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  AS $$ BEGIN
    IF pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp() THEN
      RAISE EXCEPTION 'a session is bound between transactions'
        USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_catalog.set_config('backtrace_functions', '', false);
  END $$;
REVOKE ALL ON FUNCTION cupel.opened(text), cupel.enter(text), cupel.bind(text), cupel.unbind()
  FROM PUBLIC;
"#;

/// Hands the functions that open seals to the guard, and gives it what they need.
fn owned_by_guard(register: bool) -> String {
    let guard = ident(GUARD);
    let functions: &[&str] = if register {
        &["open_seal(text)", "opened(text)", "enter(text)", "bind(text)", "unbind()"]
    } else {
        &["open_seal(text)", "current_org_id()", "current_workspace_id()"]
    };
    let mut sql =
        format!("GRANT {guard} TO CURRENT_USER;\nGRANT CREATE ON SCHEMA cupel TO {guard};\n");
    for function in functions {
        sql += &format!("ALTER FUNCTION cupel.{function} OWNER TO {guard};\n");
    }
    sql += &format!("REVOKE CREATE ON SCHEMA cupel FROM {guard};\n");
    sql += &format!("GRANT EXECUTE ON FUNCTION cupel.no_tenant() TO {guard};\n");
    if register {
        sql += &format!(
            "GRANT EXECUTE ON FUNCTION cupel.is_admin() TO {guard};
GRANT SET ON PARAMETER backtrace_functions TO {guard};
GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO {guard};\n"
        );
    }
    sql
}
