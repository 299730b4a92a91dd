//! Making the database as the migration wants it, and changing nothing that is.

use cupel_tenant::Changes;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::login::{lacks, met_another};
use crate::migration::Opened;
use crate::schema::{self, Declared};
use crate::work::Work;
use crate::{Error, Migration, SealKey};

/// Brings the schema `cupel`, the tables and the rights about, in one transaction. Without work it is the
/// schema alone, and nobody notices.
pub(crate) async fn objects(
    opened: &mut Opened,
    migration: &Migration,
    work: Option<&Work>,
) -> Result<(), Error> {
    let (app, admin) = (opened.app().to_owned(), opened.admin().map(str::to_owned));
    let mut tries = 0;
    loop {
        let mut made = Changes::none();
        let mut tx = opened.conn.begin().await.map_err(Error::statement("the migration"))?;
        let outcome = apply(&mut tx, migration, work, &app, admin.as_deref(), &mut made).await;
        let outcome = match outcome {
            Ok(()) => tx.commit().await,
            Err(error) => {
                let _ = tx.rollback().await;
                Err(error)
            }
        };
        match outcome {
            Ok(()) => {
                made.iter().for_each(|change| opened.changes.push(change));
                return Ok(());
            }
            Err(error) => {
                tries += 1;
                if tries > 10 || !met_another(&error) {
                    let needs = if migration.is_sealed() {
                        "the ownership of the tables and the database, the right to grant the role cupel_guard (whoever made it has it), and for a register a superuser"
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
    work: Option<&Work>,
    app: &str,
    admin: Option<&str>,
    changes: &mut Changes,
) -> Result<(), sqlx::Error> {
    install(conn, migration, app, admin, changes).await?;
    if let Some(work) = work {
        tables(conn, work, app, admin, changes).await?;
        surround(conn, app, changes).await?;
        harden(conn, admin, migration.is_sealed(), changes).await?;
    }
    Ok(())
}

async fn install(
    conn: &mut PgConnection,
    migration: &Migration,
    app: &str,
    admin: Option<&str>,
    changes: &mut Changes,
) -> Result<(), sqlx::Error> {
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
    Ok(())
}

async fn tables(
    conn: &mut PgConnection,
    work: &Work,
    app: &str,
    admin: Option<&str>,
    changes: &mut Changes,
) -> Result<(), sqlx::Error> {
    // After the functions that columns may draw from, before the policies that need the columns.
    if !work.prepare.is_empty() {
        sqlx::raw_sql(AssertSqlSafe(work.prepare.as_str())).execute(&mut *conn).await?;
        changes.push("made keys, references and indexes carry the organization");
    }
    let mut declared = Vec::new();
    for table in &work.tables {
        if isolate(conn, table, app, admin).await? {
            changes.push(format!("isolated {}", table.name));
        }
        declared.push(table.name.to_string());
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
    Ok(())
}

/// Has views read as whoever asks, and new tables be nobody's until they are declared.
async fn surround(
    conn: &mut PgConnection,
    app: &str,
    changes: &mut Changes,
) -> Result<(), sqlx::Error> {
    for (what, question, sql) in [
        (
            "had views read with the rights of whoever asks",
            schema::owners_views(app),
            schema::invokers(app),
        ),
        (
            "took what new tables would be granted",
            schema::given_by_default(app),
            schema::give_nothing(app),
        ),
    ] {
        let found: bool = sqlx::query_scalar(AssertSqlSafe(format!("SELECT EXISTS ({question})")))
            .fetch_one(&mut *conn)
            .await?;
        if found {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await?;
            changes.push(what);
        }
    }
    Ok(())
}

pub(crate) async fn isolate(
    conn: &mut PgConnection,
    table: &Declared,
    app: &str,
    admin: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let sql = schema::isolate(table, app, admin);
    let name = &table.name;
    let recorded: Option<(bool, String)> = sqlx::query_as(
        "SELECT definition = $3, policies FROM cupel.tenant_tables
         WHERE schema_name = $1 AND table_name = $2",
    )
    .bind(&name.schema)
    .bind(&name.table)
    .bind(schema::definition(&sql))
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
    .bind(!table.is_of_orgs())
    .fetch_one(&mut *conn)
    .await?;
    let closed: bool = sqlx::query_scalar(AssertSqlSafe(schema::children_are_closed(name)))
        .bind(app)
        .fetch_one(&mut *conn)
        .await?;
    let flags = !table.is_of_orgs() || (on && forced && closed);
    if flags && rights && recorded == Some((true, policies)) {
        return Ok(false);
    }
    sqlx::raw_sql(AssertSqlSafe(format!("{sql}{}", schema::record(table, &sql))))
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

/// The statements that the schema is made of, with what is there: functions and rights, and in the register context
/// those of its guard outside the schema.
async fn fingerprint(conn: &mut PgConnection, sql: &str) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT md5($1) || md5(concat_ws(E'\\n',
            (SELECT string_agg(concat_ws(' ', p.proname, p.prosrc, p.provolatile, p.prosecdef,
                    p.proowner, p.proconfig, p.proacl, p.proparallel, p.proleakproof, p.proisstrict,
                    p.prolang), E'\\n' ORDER BY p.proname)
             FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid),
            (SELECT string_agg(concat_ws(' ', c.relname, c.relacl), E'\\n' ORDER BY c.relname)
             FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'),
            n.nspacl,
            (SELECT string_agg(concat_ws(' ', EXISTS (SELECT FROM pg_catalog.pg_parameter_acl a, aclexplode(a.paracl) e
                    WHERE a.parname = 'backtrace_functions' AND e.grantee = p.proowner),
                EXISTS (SELECT FROM pg_catalog.pg_proc s, aclexplode(s.proacl) e
                    WHERE s.oid = 'pg_catalog.set_config(text, text, boolean)'::regprocedure
                      AND e.grantee = p.proowner)), ' ' ORDER BY p.oid)
             FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid AND p.proname = 'enter')))
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
