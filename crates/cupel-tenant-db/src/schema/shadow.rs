//! The shadow phase: the condition that will be enforced is asked of every statement, and where it does not
//! hold it is counted and nobody is blocked.

use super::policies::Reach;
use super::{Declared, TableName, ident, literal};

/// What is counted, each in a sequence of its own: by statements that name no organization, or another than
/// the row's, or the row's and not its workspace.
pub(crate) const COUNTED: [&str; 6] = [
    "read_unbound",
    "read_foreign",
    "read_outside",
    "write_unbound",
    "write_foreign",
    "write_outside",
];

/// The function that counts, and its counters. Whoever works with a table in its shadow runs it, whatever
/// the role; a schema of its own keeps it out of what a migration takes from PUBLIC.
///
/// A sequence counts whether or not the transaction commits. One that may write nothing cannot draw from it;
/// there, the server's statistics count that the sequence was looked at. What is counted is logged with its
/// statement at the first, second, fourth, eighth time and so on. Whatever goes wrong with the counting, the
/// statement goes on.
///
/// A policy asks for it in a sub-select, which runs once in a statement and only if a row needs it.
pub(crate) const SHADOWS: &str = "CREATE SCHEMA IF NOT EXISTS cupel_shadow;
REVOKE ALL ON SCHEMA cupel_shadow FROM PUBLIC;
CREATE TABLE IF NOT EXISTS cupel_shadow.tables (
  schema_name name NOT NULL,
  table_name name NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  forgotten bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0}',
  PRIMARY KEY (schema_name, table_name)
);
COMMENT ON COLUMN cupel_shadow.tables.forgotten IS 'what had been counted when counting began anew';
REVOKE ALL ON cupel_shadow.tables FROM PUBLIC;
CREATE OR REPLACE FUNCTION cupel_shadow.org_id() RETURNS text
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ BEGIN
    RETURN cupel.current_org_id()::text;
  EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
  END $$;
CREATE OR REPLACE FUNCTION cupel_shadow.workspace_id() RETURNS text
  LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ BEGIN
    RETURN cupel.current_workspace_id()::text;
  EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
  END $$;
CREATE OR REPLACE FUNCTION cupel_shadow.shared_workspace() RETURNS text
  LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ BEGIN RETURN cupel.shared_workspace()::text; END $$;
CREATE OR REPLACE FUNCTION cupel_shadow.note(tenant_table text, act text, org text) RETURNS boolean
  LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ DECLARE
    counter CONSTANT regclass := to_regclass(format('cupel_shadow.%I', concat(
      left(encode(sha256(convert_to(tenant_table, 'UTF8')), 'hex'), 32), '_', act, '_', org)));
    n bigint;
  BEGIN
    IF counter IS NULL OR current_setting('cupel.adopting', true) = 'on' THEN
      RETURN true;
    END IF;
    IF current_setting('transaction_read_only')::boolean THEN
      EXECUTE format('SELECT FROM %s', counter);
      RETURN true;
    END IF;
    n := nextval(counter);
    IF n & (n - 1) = 0 THEN
      RAISE LOG 'cupel: % of % by a statement that names %', act, tenant_table,
        CASE org WHEN 'unbound' THEN 'no organization' WHEN 'foreign' THEN 'another organization'
          ELSE 'another workspace, or none' END;
    END IF;
    RETURN true;
  EXCEPTION WHEN OTHERS THEN
    RETURN true;
  END $$;
CREATE OR REPLACE FUNCTION cupel_shadow.dear() RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 9
  AS $$ BEGIN RETURN true; END $$;
GRANT EXECUTE ON FUNCTION cupel_shadow.org_id(), cupel_shadow.workspace_id(), cupel_shadow.shared_workspace(),
  cupel_shadow.note(text, text, text), cupel_shadow.dear() TO PUBLIC;
";

/// The same, and which version made it.
pub(crate) fn shadows() -> String {
    let version = literal(&super::definition(SHADOWS));
    format!("{SHADOWS}COMMENT ON SCHEMA cupel_shadow IS {version};\n")
}

/// Takes everything of it away, where no table is in its shadow any more.
pub(crate) const SHADOWLESS: &str = "DO $cupel$ BEGIN
  IF to_regclass('cupel_shadow.tables') IS NOT NULL THEN
    IF NOT EXISTS (SELECT FROM cupel_shadow.tables) THEN
      DROP SCHEMA cupel_shadow CASCADE;
    END IF;
  END IF;
END $cupel$";

/// Puts the shadow on a table. Where row security was on before, its policies stay as they bind, and the
/// shadow restricts nothing; where it was off, the shadow is what lets everybody through.
///
/// The last term is never reached: it only makes the condition look dear, so that a query's own condition on
/// the organization is asked first, and what that leaves out is not counted.
pub(crate) fn cast_shadow(
    table: &Declared,
    had_row_security: bool,
    app: &str,
    admin: Option<&str>,
) -> String {
    let name = table.name.quoted();
    let org = format!("{}::text", ident(&table.org_column));
    let condition = |act: &str| {
        format!(
            "{org} = (SELECT cupel_shadow.org_id()) OR (SELECT cupel_shadow.note({}, '{act}',
      CASE WHEN cupel_shadow.org_id() IS NULL THEN 'unbound' ELSE 'foreign' END)) OR cupel_shadow.dear()",
            literal(&table.name.to_string())
        )
    };
    let counters = COUNTED.map(|counted| {
        let sequence = counter(&table.name, counted);
        format!(
            "CREATE SEQUENCE IF NOT EXISTS {sequence};
COMMENT ON SEQUENCE {sequence} IS {};\n",
            literal(&format!("{counted} of {}", table.name))
        )
    });
    let kind = if had_row_security { "RESTRICTIVE" } else { "PERMISSIVE" };
    let mut sql = counters.concat();
    sql += &format!(
        "INSERT INTO cupel_shadow.tables (schema_name, table_name) VALUES ({}, {}) ON CONFLICT DO NOTHING;\n",
        literal(&table.name.schema),
        literal(&table.name.table)
    );
    sql += &format!(
        "DROP POLICY IF EXISTS cupel_shadow ON {name};
CREATE POLICY cupel_shadow ON {name} AS {kind} FOR ALL TO PUBLIC
  USING ({}) WITH CHECK ({});
ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {name} FORCE ROW LEVEL SECURITY;\n",
        condition("read"),
        condition("write")
    );
    sql += &cast_on_workspaces(table, &org);
    for role in [Some(app), admin].into_iter().flatten() {
        sql += &format!(
            "GRANT USAGE ON SCHEMA {} TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role};\n",
            ident(&table.name.schema),
            role = ident(role)
        );
    }
    sql
}

/// What asks of the rows of the statement's own organization whether they are of its workspace. It restricts
/// nothing, and it asks beside the shadow: policies that permit are not all asked.
fn cast_on_workspaces(table: &Declared, org: &str) -> String {
    let reach = Reach {
        column: format!("{}::text", ident(&table.workspace_column)),
        current: "cupel_shadow.workspace_id()",
        shared: "cupel_shadow.shared_workspace()",
    };
    let Some((read, write)) = reach.of(table.kind) else { return String::new() };
    let (name, whose) = (table.name.quoted(), literal(&table.name.to_string()));
    let condition = |act: &str, reached: &str| {
        format!(
            "{org} IS DISTINCT FROM (SELECT cupel_shadow.org_id()) OR {reached}
    OR (SELECT cupel_shadow.note({whose}, '{act}', 'outside')) OR cupel_shadow.dear()"
        )
    };
    let write = condition("write", &write);
    let policies = [
        ("read", "SELECT", read.map(|read| format!("USING ({})", condition("read", &read)))),
        ("insert", "INSERT", Some(format!("WITH CHECK ({write})"))),
        ("update", "UPDATE", Some(format!("USING ({write}) WITH CHECK ({write})"))),
        ("delete", "DELETE", Some(format!("USING ({write})"))),
    ];
    let policy = |(act, command, asks): (&str, &str, Option<String>)| {
        asks.map_or_else(String::new, |asks| {
            format!(
                "DROP POLICY IF EXISTS cupel_shadow_{act} ON {name};
CREATE POLICY cupel_shadow_{act} ON {name} AS RESTRICTIVE FOR {command} TO PUBLIC {asks};\n"
            )
        })
    };
    policies.map(policy).concat()
}

/// Takes what counted away. The policy goes as the table is isolated.
pub(crate) fn lift_shadow(table: &TableName) -> String {
    let drop =
        COUNTED.map(|counted| format!("DROP SEQUENCE IF EXISTS {};\n", counter(table, counted)));
    format!(
        "{}DELETE FROM cupel_shadow.tables WHERE schema_name = {} AND table_name = {};\n",
        drop.concat(),
        literal(&table.schema),
        literal(&table.table)
    )
}

/// Asks since when is counted, and what was: in the order of [`COUNTED`], without what was forgotten.
pub(crate) fn counts(table: &TableName) -> String {
    let count = |(at, counted): (usize, &str)| {
        let sequence = literal(&counter(table, counted));
        format!(
            "coalesce(pg_catalog.pg_sequence_last_value({sequence}::pg_catalog.regclass), 0)
    + pg_catalog.pg_stat_get_numscans({sequence}::pg_catalog.regclass) - s.forgotten[{}]",
            at + 1
        )
    };
    let counts: Vec<String> = COUNTED.into_iter().enumerate().map(count).collect();
    format!(
        "SELECT extract(epoch FROM s.since)::float8, ARRAY[{}] FROM cupel_shadow.tables s
WHERE s.schema_name = {} AND s.table_name = {}",
        counts.join(", "),
        literal(&table.schema),
        literal(&table.table)
    )
}

/// Forgets what was counted until now.
pub(crate) fn forget(table: &TableName) -> String {
    format!(
        "UPDATE cupel_shadow.tables u SET since = clock_timestamp(),
  forgotten = (SELECT array_agg(c + f ORDER BY at) FROM ({}) q(since, counts),
    ROWS FROM (unnest(q.counts), unnest(u.forgotten)) WITH ORDINALITY x(c, f, at))
WHERE u.schema_name = {} AND u.table_name = {}",
        counts(table),
        literal(&table.schema),
        literal(&table.table)
    )
}

/// The sequence that counts, quoted.
fn counter(table: &TableName, counted: &str) -> String {
    let digest = super::definition(&table.to_string());
    let digest: String = digest.chars().take(32).collect();
    format!("cupel_shadow.{}", ident(&format!("{digest}_{counted}")))
}
