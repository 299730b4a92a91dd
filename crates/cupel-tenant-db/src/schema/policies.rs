use super::{TableKind, TableName, ident};

/// The condition on the organization: an index condition, evaluated once per statement.
const ORG: &str = "org_id = (SELECT cupel.current_org_id())";

/// Whether the scope is not narrowed to a workspace. One value per statement.
const WHOLE_ORG: &str = "(SELECT cupel.current_workspace_id()) IS NULL";

/// What isolates one table: the floor, the access policy, what the kind adds, the flags and the rights.
///
/// Policies that permit are OR-ed, so that anybody's later policy would open the table; the floor
/// restricts, for PUBLIC, and is AND-ed with whatever there is.
pub(crate) fn isolate(name: &TableName, kind: TableKind, app: &str, admin: Option<&str>) -> String {
    let table = name.quoted();
    let app = ident(app);
    let mut sql = String::new();
    for policy in [
        "floor",
        "access",
        "workspace_read",
        "workspace_insert",
        "workspace_update",
        "workspace_delete",
    ] {
        sql += &format!("DROP POLICY IF EXISTS cupel_{policy} ON {table};\n");
    }
    if kind != TableKind::Global {
        sql += &format!(
            "CREATE POLICY cupel_floor ON {table} AS RESTRICTIVE FOR ALL TO PUBLIC
  USING ({ORG}) WITH CHECK ({ORG});
CREATE POLICY cupel_access ON {table} AS PERMISSIVE FOR ALL TO {app}
  USING ({ORG}) WITH CHECK ({ORG});
"
        );
    }
    sql += &workspace_policies(&table, kind);
    sql += &rights(name, kind, &app, admin);
    sql
}

fn workspace_policies(table: &str, kind: TableKind) -> String {
    let own = "workspace_id = (SELECT cupel.current_workspace_id())";
    let (read, write) = match kind {
        TableKind::Global | TableKind::Org => return String::new(),
        TableKind::Shared => (None, WHOLE_ORG.to_owned()),
        TableKind::Workspace => (
            Some(format!("{WHOLE_ORG} OR workspace_id IS NULL OR {own}")),
            format!("{WHOLE_ORG} OR {own}"),
        ),
    };
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
            quoted = super::literal(&table),
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
        super::literal(&name.quoted())
    )
}
