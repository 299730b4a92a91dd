use aws_lc_rs::digest;

use super::{Declared, TableKind, TableName, ident, literal};

/// What isolates one table: the policies, the flags and the rights.
pub(crate) fn isolate(table: &Declared, app: &str, admin: Option<&str>) -> String {
    let mut sql = drop_policies(&table.name);
    sql += &policies(&table.name.quoted(), table, &ident(app));
    sql += &rights(&table.name, table.kind, &ident(app), admin);
    sql += &super::surroundings::close_children(table, app);
    sql
}

/// Remembers what was declared, and the policies that it became, as the server writes them out.
pub(crate) fn record(table: &Declared, sql: &str) -> String {
    let Declared { name, kind, org_column, workspace_column, .. } = table;
    format!(
        "INSERT INTO cupel.tenant_tables
  (schema_name, table_name, kind, definition, policies, org_column, workspace_column)
  VALUES ({}, {}, '{}', '{}', cupel.policies_of({}::pg_catalog.regclass), {}, {})
  ON CONFLICT (schema_name, table_name) DO UPDATE
  SET kind = excluded.kind, definition = excluded.definition, policies = excluded.policies,
    org_column = excluded.org_column, workspace_column = excluded.workspace_column;\n",
        literal(&name.schema),
        literal(&name.table),
        kind.as_str(),
        definition(sql),
        literal(&name.quoted()),
        literal(org_column),
        literal(workspace_column)
    )
}

/// A digest of the statements that isolate a table.
pub(crate) fn definition(sql: &str) -> String {
    let digest = digest::digest(&digest::SHA256, sql.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every policy of ours, so that a table that is declared otherwise keeps none of before.
fn drop_policies(name: &TableName) -> String {
    let table = name.quoted();
    [
        "floor",
        "access",
        "shadow",
        "shadow_read",
        "shadow_insert",
        "shadow_update",
        "shadow_delete",
        "workspace_read",
        "workspace_insert",
        "workspace_update",
        "workspace_delete",
    ]
    .map(|policy| format!("DROP POLICY IF EXISTS cupel_{policy} ON {table};\n"))
    .concat()
}

/// The floor, the access policy, and what the kind adds.
///
/// Policies that permit are OR-ed, so that anybody's later policy would open the table; the floor
/// restricts, for PUBLIC, and is AND-ed with whatever there is. The table that they are put on and the role are
/// quoted.
pub(crate) fn policies(table: &str, declared: &Declared, app: &str) -> String {
    if !declared.is_of_orgs() {
        return String::new();
    }
    // An index condition, evaluated once per statement.
    let org = format!("{} = (SELECT cupel.current_org_id())", ident(&declared.org_column));
    format!(
        "CREATE POLICY cupel_floor ON {table} AS RESTRICTIVE FOR ALL TO PUBLIC
  USING ({org}) WITH CHECK ({org});
CREATE POLICY cupel_access ON {table} AS PERMISSIVE FOR ALL TO {app}
  USING ({org}) WITH CHECK ({org});
{}",
        workspace_policies(table, declared)
    )
}

/// What a scope reaches of its organization's rows, in terms of where a row's workspace stands, which the
/// statement's is, and what stands for none.
pub(super) struct Reach<'a> {
    pub(super) column: String,
    pub(super) current: &'a str,
    pub(super) shared: &'a str,
}

impl Reach<'_> {
    /// The conditions to read and to write, of one value per statement each. A read without one reaches
    /// everything; where there are none, so does a write.
    pub(super) fn of(&self, kind: TableKind) -> Option<(Option<String>, String)> {
        let Self { column, current, shared } = self;
        let whole_org = format!("(SELECT {current}) IS NULL");
        let own = format!("{column} = (SELECT {current})");
        match kind {
            TableKind::Global | TableKind::Org => None,
            TableKind::Shared => Some((None, whole_org)),
            TableKind::Workspace => Some((
                Some(format!("{whole_org} OR {column} IS NULL OR {own}")),
                format!("{whole_org} OR {own}"),
            )),
            TableKind::Separate => Some((
                // Not OR: of these, an index takes both values in one condition.
                Some(format!("{column} = ANY (ARRAY[{shared}, (SELECT {current})])")),
                format!("{column} = (SELECT coalesce({current}, {shared}))"),
            )),
        }
    }
}

fn workspace_policies(table: &str, declared: &Declared) -> String {
    let reach = Reach {
        column: ident(&declared.workspace_column),
        current: "cupel.current_workspace_id()",
        shared: "cupel.shared_workspace()",
    };
    let Some((read, write)) = reach.of(declared.kind) else { return String::new() };
    let read = read.map_or_else(String::new, |read| {
        format!(
            "CREATE POLICY cupel_workspace_read ON {table} AS RESTRICTIVE FOR SELECT TO PUBLIC
  USING ({read});\n"
        )
    });
    format!(
        "{read}CREATE POLICY cupel_workspace_insert ON {table} AS RESTRICTIVE FOR INSERT TO PUBLIC
  WITH CHECK ({write});
CREATE POLICY cupel_workspace_update ON {table} AS RESTRICTIVE FOR UPDATE TO PUBLIC
  USING ({write}) WITH CHECK ({write});
CREATE POLICY cupel_workspace_delete ON {table} AS RESTRICTIVE FOR DELETE TO PUBLIC
  USING ({write});\n"
    )
}

/// Row-level security does not cover TRUNCATE; a trigger of the application's would run as whoever
/// touches the row next; REFERENCES lets a constraint tell which keys exist.
fn rights(name: &TableName, kind: TableKind, app: &str, admin: Option<&str>) -> String {
    let table = name.quoted();
    let schema = ident(&name.schema);
    let mut sql = String::new();
    if kind != TableKind::Global {
        sql += &format!(
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;\n"
        );
    }
    let wanted =
        if kind == TableKind::Global { "SELECT" } else { "SELECT, INSERT, UPDATE, DELETE" };
    sql += &format!("REVOKE ALL ON {table} FROM PUBLIC;\n");
    sql += &format!("REVOKE ALL ON {table} FROM {app};\n");
    sql +=
        &format!("GRANT USAGE ON SCHEMA {schema} TO {app};\nGRANT {wanted} ON {table} TO {app};\n");
    if let Some(admin) = admin {
        let admin = ident(admin);
        sql += &format!(
            "GRANT USAGE ON SCHEMA {schema} TO {admin};
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {admin};\n"
        );
    }
    // A serial column draws from a sequence that has rights of its own.
    for role in [Some(app.to_owned()), admin.map(ident)].into_iter().flatten() {
        sql += &format!(
            "DO $cupel$ DECLARE s regclass; BEGIN
  FOR s IN SELECT d.objid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid
    WHERE d.refobjid = {quoted}::regclass AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
      AND c.relkind = 'S'
  LOOP EXECUTE format('GRANT USAGE ON SEQUENCE %s TO {escaped}', s); END LOOP;
END $cupel$;\n",
            quoted = literal(&table),
            escaped = role.replace('\'', "''").replace('%', "%%"),
        );
    }
    sql
}

/// Asks how one table stands: whether it is there, and the policies it has.
pub(crate) fn policies_of(name: &TableName) -> String {
    format!(
        "SELECT c.relrowsecurity, c.relforcerowsecurity, cupel.policies_of(c.oid)
FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass({})",
        literal(&name.quoted())
    )
}
