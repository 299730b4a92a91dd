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

/// The body of a function that opens a seal, and does `then` where it opens.
///
/// The message authentication code is HMAC-SHA256 (RFC 2104), from the two padded keys. It is compared
/// by a digest of each side, so that the time tells nothing of where they differ. Only then is the text
/// believed: that it was made for this backend, or with a nonce for one that a pooler chose, and that
/// this transaction began before it expired. `part` is then what the seal names: 3 the organization, 4 the
/// workspace.
///
/// It runs as the guard, in every statement or transaction. So it is one function without a setting of its
/// own, which would cost as much as the rest, and names in full whatever a search path could decide.
fn opening(seal: &str, then: &str, otherwise: &str) -> String {
    format!(
        r#"DECLARE
    seal CONSTANT text := {seal};
    part CONSTANT text[] := pg_catalog.string_to_array(seal, '.');
    key_in bytea; key_out bytea;
  BEGIN
    SELECT k.inner_pad, k.outer_pad INTO key_in, key_out FROM cupel.seal_keys k
      WHERE k.id OPERATOR(pg_catalog.=) part[2];
    IF part[1] OPERATOR(pg_catalog.=) 'v1' AND pg_catalog.cardinality(part) OPERATOR(pg_catalog.=) 7
      AND pg_catalog.sha256(pg_catalog.decode(pg_catalog.substr(part[7], 1, 64), 'hex'))
        OPERATOR(pg_catalog.=) pg_catalog.sha256(pg_catalog.sha256(key_out OPERATOR(pg_catalog.||)
          pg_catalog.sha256(key_in OPERATOR(pg_catalog.||)
            pg_catalog.convert_to(pg_catalog.left(seal, -65), 'UTF8')))) THEN
      IF (part[5] OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()::text
          OR pg_catalog.starts_with(part[5], 'n'))
        AND part[6]::float8 OPERATOR(pg_catalog.>=)
          pg_catalog.date_part('epoch', pg_catalog.transaction_timestamp()) THEN
        {then}
      END IF;
    END IF;
    {otherwise}
  END"#
    )
}

/// The seal is a setting, opened by each statement that needs it.
fn sealed(kind: &str, strict: bool) -> String {
    let reader = |what: &str, then: &str, strict: bool| {
        let otherwise =
            if strict { "PERFORM cupel.no_tenant(); RETURN NULL;" } else { "RETURN NULL;" };
        format!(
            "CREATE OR REPLACE FUNCTION cupel.current_{what}_id() RETURNS {kind}
  LANGUAGE plpgsql STABLE SECURITY DEFINER
  AS $$ {} $$;
",
            opening("pg_catalog.current_setting('app.current_seal', true)", then, otherwise)
        )
    };
    [
        keys(),
        reader("org", &format!("RETURN part[3]::{kind};"), strict),
        reader("workspace", &format!("RETURN nullif(part[4], '-')::{kind};"), false),
        owned_by_guard(false),
    ]
    .concat()
}

/// The seal is opened once, and what was in it is kept in a setting that only a superuser, and by its
/// grant the guard, can write. Of those `backtrace_functions` is the one that takes any text and does
/// nothing with it: it names C functions in whose errors a backtrace is logged. Its alphabet has no
/// hyphen, and an id has no underscore.
///
/// `enter` is for a transaction, and refuses where an organization is entered already, so that a statement
/// inside a transaction cannot turn to another; only administration goes from one to the next. It answers
/// the registry's state, if that is asked for. `bind` and `unbind` are for a session between transactions,
/// and refuse inside one: there the statement began later than the transaction.
fn register(kind: &str, strict: bool) -> String {
    let entered = "pg_catalog.current_setting('backtrace_functions')";
    let reader = |what: &str, part: u8, strict: bool| {
        let text = format!(
            "CASE WHEN pg_catalog.starts_with({entered}, 'cupel_') THEN nullif(pg_catalog.translate(
      pg_catalog.split_part(pg_catalog.substr({entered}, 7), ',', {part}), '_', '-'), '') END"
        );
        inlined(what, kind, &text, strict)
    };
    let write = |local: bool| {
        format!(
            "PERFORM pg_catalog.set_config('backtrace_functions', pg_catalog.translate(
          pg_catalog.concat('cupel_', part[3], ',', nullif(part[4], '-')), '-', '_'), {local});"
        )
    };
    let otherwise =
        "RAISE EXCEPTION 'the seal does not open' USING ERRCODE = 'insufficient_privilege',
      HINT = 'its key is unknown, it has expired, or it was made for another session';";
    let enter = opening(
        "sealed",
        &format!(
            "IF pg_catalog.starts_with({entered}, 'cupel_') AND NOT cupel.is_admin() THEN
          RAISE EXCEPTION 'an organization is entered already'
            USING ERRCODE = 'insufficient_privilege';
        END IF;
        {}
        IF ask THEN RETURN cupel.org_state(); END IF;
        RETURN NULL;",
            write(true)
        ),
        otherwise,
    );
    let bind =
        opening("sealed", &format!("PERFORM cupel.unbind(); {} RETURN;", write(false)), otherwise);
    let functions = format!(
        "CREATE OR REPLACE FUNCTION cupel.enter(sealed text, ask boolean) RETURNS text
  LANGUAGE plpgsql SECURITY DEFINER
  AS $$ {enter} $$;
CREATE OR REPLACE FUNCTION cupel.unbind() RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  AS $$ BEGIN
    IF pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp() THEN
      RAISE EXCEPTION 'a session is bound between transactions'
        USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pg_catalog.set_config('backtrace_functions', '', false);
  END $$;
CREATE OR REPLACE FUNCTION cupel.bind(sealed text) RETURNS void
  LANGUAGE plpgsql SECURITY DEFINER
  AS $$ {bind} $$;
REVOKE ALL ON FUNCTION cupel.enter(text, boolean), cupel.bind(text), cupel.unbind() FROM PUBLIC;
"
    );
    [
        keys(),
        reader("org", 1, strict),
        reader("workspace", 2, false),
        functions,
        owned_by_guard(true),
    ]
    .concat()
}

/// Hands the functions that open seals to the guard, and gives it what they need.
fn owned_by_guard(register: bool) -> String {
    let guard = ident(GUARD);
    let functions: &[&str] = if register {
        &["enter(text, boolean)", "bind(text)", "unbind()"]
    } else {
        &["current_org_id()", "current_workspace_id()"]
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
