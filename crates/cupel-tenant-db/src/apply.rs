//! Making the database as the migration wants it, and changing nothing that is.

use cupel_tenant::Changes;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::migration::{lacks, met_another};
use crate::schema::{self, TableName};
use crate::{ColumnType, Error, Migration, SealKey, Table, TableKind};

/// The advisory lock that migrations of one database take: the bytes of "cupel-db".
const LOCK: i64 = 0x6375_7065_6c2d_6462;

/// Refuses declarations that do not fit their tables. Reads only.
pub(crate) async fn check_tables(
    conn: &mut PgConnection,
    tables: &[Table],
    column_type: ColumnType,
) -> Result<(), Error> {
    for table in tables {
        let name = table.parsed()?;
        if let Some(problem) = misfit(conn, &name, table.kind(), column_type).await? {
            return Err(Error::TableUnfit { table: name.to_string(), problem });
        }
    }
    Ok(())
}

async fn misfit(
    conn: &mut PgConnection,
    name: &TableName,
    kind: TableKind,
    column_type: ColumnType,
) -> Result<Option<&'static str>, Error> {
    let oid: Option<sqlx::postgres::types::Oid> = sqlx::query_scalar(
        "SELECT oid FROM pg_catalog.pg_class
         WHERE oid = pg_catalog.to_regclass($1) AND relkind IN ('r', 'p')",
    )
    .bind(name.quoted())
    .fetch_optional(&mut *conn)
    .await
    .map_err(Error::statement("looking at the tables"))?;
    let Some(oid) = oid else {
        return Ok(Some("does not exist; create it before the migration"));
    };
    let columns: Vec<(String, String, bool, bool)> = sqlx::query_as(
        "SELECT a.attname::text, pg_catalog.format_type(a.atttypid, NULL), a.attnotnull,
                coalesce(c.collisdeterministic, true)
         FROM pg_catalog.pg_attribute a
         LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
         WHERE a.attrelid = $1 AND NOT a.attisdropped AND a.attname IN ('org_id', 'workspace_id')",
    )
    .bind(oid)
    .fetch_all(conn)
    .await
    .map_err(Error::statement("looking at the columns"))?;
    let column = |wanted: &str| columns.iter().find(|(name, ..)| name == wanted);
    let wrong_type =
        |(_, kind, _, exact): &(String, String, bool, bool)| kind != column_type.as_str() || !exact;
    let org = column(schema::ORG_COLUMN);
    Ok(match (kind, org) {
        (TableKind::Global, Some(_)) => {
            Some("is declared global and has a column org_id; declare whose its rows are")
        }
        (TableKind::Global, None) => None,
        (_, None) => Some("has no column org_id; add it, NOT NULL"),
        (_, Some(org)) if wrong_type(org) => Some(
            "has an org_id of another type than the database's (text COLLATE \"C\", or uuid); change it",
        ),
        (_, Some((_, _, false, _))) => Some("lets org_id be NULL; make it NOT NULL"),
        (TableKind::Workspace, _) => match column(schema::WORKSPACE_COLUMN) {
            None => Some("has no column workspace_id; add it, or declare the table as an org's"),
            Some(workspace) if wrong_type(workspace) => {
                Some("has a workspace_id of another type than the database's; change it")
            }
            Some(_) => None,
        },
        _ => None,
    })
}

/// Brings the schema `cupel`, the tables and the rights about, in one transaction.
pub(crate) async fn objects(
    conn: &mut PgConnection,
    migration: &Migration,
    app: &str,
    admin: Option<&str>,
    changes: &mut Changes,
) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        let mut made = Changes::none();
        let mut tx = conn.begin().await.map_err(Error::statement("the migration"))?;
        let outcome = apply(&mut tx, migration, app, admin, &mut made).await;
        let outcome = match outcome {
            Ok(()) => tx.commit().await,
            Err(error) => {
                let _ = tx.rollback().await;
                Err(error)
            }
        };
        match outcome {
            Ok(()) => {
                made.iter().for_each(|change| changes.push(change));
                return Ok(());
            }
            Err(error) => {
                tries += 1;
                if tries > 10 || !met_another(&error) {
                    let needs = if migration.is_sealed() {
                        "the ownership of the tables and the database, and for a register a superuser"
                    } else {
                        "the ownership of the tables and the database"
                    };
                    return Err(lacks(needs)(error));
                }
            }
        }
    }
}

async fn apply(
    conn: &mut PgConnection,
    migration: &Migration,
    app: &str,
    admin: Option<&str>,
    changes: &mut Changes,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *conn).await?;
    let sql = migration.install_sql(app, admin);
    if installed(conn).await? != Some(fingerprint(conn, &sql).await?) {
        sqlx::raw_sql(AssertSqlSafe(sql.as_str())).execute(&mut *conn).await?;
        let print = fingerprint(conn, &sql).await?;
        sqlx::raw_sql(AssertSqlSafe(format!(
            "COMMENT ON SCHEMA cupel IS {}",
            schema::literal(&print)
        )))
        .execute(&mut *conn)
        .await?;
        changes.push("installed schema cupel");
    }
    if migration.is_sealed() {
        keep_keys(conn, migration.keys(), changes).await?;
    }
    let mut declared = Vec::new();
    for table in migration.declared() {
        // Checked before the transaction was opened.
        let Ok(name) = table.parsed() else { continue };
        if isolate(conn, &name, table.kind(), app, admin).await? {
            changes.push(format!("isolated {name}"));
        }
        declared.push(name.to_string());
    }
    let gone: Vec<(String,)> = sqlx::query_as(
        "DELETE FROM cupel.tenant_tables WHERE schema_name || '.' || table_name <> ALL ($1)
         RETURNING schema_name || '.' || table_name",
    )
    .bind(&declared)
    .fetch_all(&mut *conn)
    .await?;
    for (name,) in gone {
        changes.push(format!("took {name} off the declared tables; its policies stay"));
    }
    harden(conn, admin, migration.is_sealed(), changes).await
}

async fn isolate(
    conn: &mut PgConnection,
    name: &TableName,
    kind: TableKind,
    app: &str,
    admin: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let sql = schema::isolate(name, kind, app, admin);
    let recorded: Option<(bool, String)> = sqlx::query_as(
        "SELECT definition = md5($3), policies FROM cupel.tenant_tables
         WHERE schema_name = $1 AND table_name = $2",
    )
    .bind(&name.schema)
    .bind(&name.table)
    .bind(&sql)
    .fetch_optional(&mut *conn)
    .await?;
    let state = schema::policies_of(name);
    let (on, forced, policies): (bool, bool, String) =
        sqlx::query_as(AssertSqlSafe(state.as_str())).fetch_one(&mut *conn).await?;
    let rights: bool = sqlx::query_scalar(
        "SELECT has_table_privilege($1, $3::regclass, 'SELECT')
            AND ($4 OR has_table_privilege($1, $3::regclass, 'INSERT')
                AND has_table_privilege($1, $3::regclass, 'UPDATE')
                AND has_table_privilege($1, $3::regclass, 'DELETE'))
            AND NOT has_table_privilege($1, $3::regclass, 'TRUNCATE, REFERENCES, TRIGGER')
            AND ($2::text IS NULL OR has_table_privilege($2, $3::regclass, 'DELETE'))",
    )
    .bind(app)
    .bind(admin)
    .bind(name.quoted())
    .bind(kind == TableKind::Global)
    .fetch_one(&mut *conn)
    .await?;
    let flags = kind == TableKind::Global || (on && forced);
    if flags && rights && recorded == Some((true, policies)) {
        return Ok(false);
    }
    sqlx::raw_sql(AssertSqlSafe(sql.as_str())).execute(&mut *conn).await?;
    let (_, _, policies): (bool, bool, String) =
        sqlx::query_as(AssertSqlSafe(state.as_str())).fetch_one(&mut *conn).await?;
    sqlx::query(
        "INSERT INTO cupel.tenant_tables (schema_name, table_name, kind, definition, policies)
         VALUES ($1, $2, $3, md5($4), $5)
         ON CONFLICT (schema_name, table_name) DO UPDATE
         SET kind = excluded.kind, definition = excluded.definition, policies = excluded.policies",
    )
    .bind(&name.schema)
    .bind(&name.table)
    .bind(kind.as_str())
    .bind(&sql)
    .bind(&policies)
    .execute(conn)
    .await?;
    Ok(true)
}

/// Has the database open seals with these keys and no others.
async fn keep_keys(
    conn: &mut PgConnection,
    keys: &[SealKey],
    changes: &mut Changes,
) -> Result<(), sqlx::Error> {
    let ids: Vec<&str> = keys.iter().map(SealKey::id).collect();
    let gone: Vec<String> =
        sqlx::query_scalar("DELETE FROM cupel.seal_keys WHERE id <> ALL ($1) RETURNING id")
            .bind(&ids)
            .fetch_all(&mut *conn)
            .await?;
    for id in gone {
        changes.push(format!("forgot seal key {id}"));
    }
    for key in keys {
        let [inner, outer] = key.pads();
        let written = sqlx::query(
            "INSERT INTO cupel.seal_keys AS k (id, inner_pad, outer_pad) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE
             SET inner_pad = excluded.inner_pad, outer_pad = excluded.outer_pad
             WHERE k.inner_pad <> excluded.inner_pad",
        )
        .bind(key.id())
        .bind(inner.as_slice())
        .bind(outer.as_slice())
        .execute(&mut *conn)
        .await?;
        if written.rows_affected() > 0 {
            changes.push(format!("stored seal key {}", key.id()));
        }
    }
    Ok(())
}

/// What the last migration left, in its own words.
async fn installed(conn: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let comment: Option<Option<String>> = sqlx::query_scalar(
        "SELECT pg_catalog.obj_description(oid, 'pg_namespace')
         FROM pg_catalog.pg_namespace WHERE nspname = 'cupel'",
    )
    .fetch_optional(conn)
    .await?;
    Ok(comment.flatten())
}

/// The statements that the schema is made of, with what is there: functions and rights.
async fn fingerprint(conn: &mut PgConnection, sql: &str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT md5($1) || md5(concat_ws(E'\\n',
            (SELECT string_agg(concat_ws(' ', p.proname, p.prosrc, p.provolatile, p.prosecdef,
                    p.proowner, p.proconfig, p.proacl), E'\\n' ORDER BY p.proname)
             FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid),
            (SELECT string_agg(concat_ws(' ', c.relname, c.relacl), E'\\n' ORDER BY c.relname)
             FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'),
            n.nspacl))
         FROM (SELECT 1) one
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'cupel'",
    )
    .bind(sql)
    .fetch_one(conn)
    .await
}

/// Takes from PUBLIC what it should not have, as far as the owner's role may.
async fn harden(
    conn: &mut PgConnection,
    admin: Option<&str>,
    sealed: bool,
    changes: &mut Changes,
) -> Result<(), sqlx::Error> {
    let (superuser, owns_database, open): (bool, bool, bool) = sqlx::query_as(
        "SELECT r.rolsuper, r.rolsuper OR pg_has_role(d.datdba, 'USAGE'),
            EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                    WHERE a.grantee = 0 AND a.privilege_type IN ('CREATE', 'TEMPORARY'))
            OR EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
                    WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE')
            OR r.rolsuper AND EXISTS (SELECT FROM pg_proc p,
                        aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                    WHERE a.grantee = 0 AND (
                      p.oid = 'pg_catalog.set_config(text, text, boolean)'::regprocedure
                      OR $1 AND p.oid = 'pg_catalog.pg_stat_get_activity(integer)'::regprocedure))
         FROM pg_database d, pg_roles r
         WHERE d.datname = current_database() AND r.rolname = current_user",
    )
    .bind(sealed)
    .fetch_one(&mut *conn)
    .await?;
    if open && owns_database {
        let owner: String =
            sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *conn).await?;
        // Whoever is not a superuser could neither revoke nor grant it.
        let sql =
            schema::hardening(superuser.then_some(owner.as_str()), admin, superuser && sealed);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await?;
        changes.push("took from PUBLIC what row-level security does not cover");
    }
    Ok(())
}
