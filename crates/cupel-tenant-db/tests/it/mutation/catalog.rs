//! What the catalogs say that a migration made, each with a statement that takes it away.

use cupel_tenant_db::ContextMode;
use sqlx::PgConnection;

/// One thing that is taken away, and what the attacks say of it.
pub(super) struct Mutation {
    pub(super) sql: String,
    pub(super) opens: Opens,
}

/// When the attacks notice.
pub(super) enum Opens {
    /// By itself: something is reached, or the rightful owner's half fails.
    Alone,
    /// Together with what else holds it, which is taken away by this and opens nothing alone.
    With(String),
    /// Not by what the application's role can do.
    Never(&'static str),
}

use Opens::{Alone, Never, With};

/// What the catalogs say that there is to take away.
pub(super) async fn mutations(
    owner: &mut PgConnection,
    mode: ContextMode,
) -> Result<Vec<Mutation>, sqlx::Error> {
    let mut all = Vec::new();
    // Policies and tables are the same in the two contexts that are sealed.
    if mode != ContextMode::Sealed {
        all.extend(of_policies(owner).await?);
        all.extend(of_tables(owner).await?);
    }
    all.extend(of_routines(owner, mode).await?);
    all.extend(of_rights(owner).await?);
    let mut add = |sql: String, opens| all.push(Mutation { sql, opens });
    add(
        "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC".to_owned(),
        match mode {
            ContextMode::Plain => Alone,
            _ => Never("without a seal no setting is honoured"),
        },
    );
    let refer = "GRANT REFERENCES ON public.pipelines TO cupel_app".to_owned();
    add("GRANT CREATE ON SCHEMA public TO PUBLIC".to_owned(), With(refer));
    let database: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut *owner).await?;
    for right in ["CREATE", "TEMPORARY"] {
        let held = Never(
            "what is made there stands in nobody's way: sessions with temporary tables are closed",
        );
        add(format!("GRANT {right} ON DATABASE {database} TO PUBLIC"), held);
    }
    Ok(all)
}

async fn of_policies(owner: &mut PgConnection) -> Result<Vec<Mutation>, sqlx::Error> {
    let policies: Vec<(String, String, bool, bool)> = sqlx::query_as(
        "SELECT polrelid::regclass::text, polname::text, polqual IS NOT NULL,
           polwithcheck IS NOT NULL
         FROM pg_policy WHERE polname LIKE 'cupel%' ORDER BY 1, 2",
    )
    .fetch_all(&mut *owner)
    .await?;
    let mut all = Vec::new();
    let mut add = |sql: String, opens| all.push(Mutation { sql, opens });
    for (table, policy, reads, writes) in &policies {
        // The floor and the access policy each hold where the other lets everything through. What keeps workspaces apart
        // has no second.
        let without = |other: &str| {
            With(format!("ALTER POLICY {other} ON {table} USING (true) WITH CHECK (true)"))
        };
        let weakened = || match policy.as_str() {
            "cupel_floor" => without("cupel_access"),
            "cupel_access" => without("cupel_floor"),
            _ => Alone,
        };
        let gone = || match policy.as_str() {
            // Nothing lets the owner in any more, either.
            "cupel_access" => Alone,
            _ => weakened(),
        };
        add(format!("DROP POLICY {policy} ON {table}"), gone());
        add(
            format!(
                "ALTER POLICY {policy} ON {table} RENAME TO {policy}_2;
                 ALTER POLICY {policy}_2 ON {table} TO cupel_admin"
            ),
            gone(),
        );
        // An update passes both of its conditions, so that each holds where the other is gone.
        let half = |other: &str| match policy.as_str() {
            "cupel_workspace_update" => {
                With(format!("ALTER POLICY {policy} ON {table} {other} (true)"))
            }
            _ => weakened(),
        };
        if *reads {
            add(format!("ALTER POLICY {policy} ON {table} USING (true)"), half("WITH CHECK"));
        }
        if *writes {
            add(format!("ALTER POLICY {policy} ON {table} WITH CHECK (true)"), half("USING"));
        }
    }
    Ok(all)
}

async fn of_tables(owner: &mut PgConnection) -> Result<Vec<Mutation>, sqlx::Error> {
    let tables: Vec<(String, bool)> = sqlx::query_as(
        "SELECT format('%I.%I', schema_name, table_name), EXISTS (SELECT FROM pg_constraint k
           WHERE k.contype = 'f' AND k.confrelid = format('%I.%I', schema_name, table_name)::regclass)
         FROM cupel.tenant_tables ORDER BY 1",
    )
    .fetch_all(&mut *owner)
    .await?;
    let mut all = Vec::new();
    let mut add = |sql: String, opens| all.push(Mutation { sql, opens });
    for (table, is_referred_to) in &tables {
        add(format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"), Alone);
        add(
            format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"),
            Never("it binds the owner, whose role no attack has"),
        );
        for to in ["cupel_app", "PUBLIC"] {
            add(
                format!("GRANT TRUNCATE ON {table} TO {to}"),
                if *is_referred_to {
                    Never("a reference keeps it from being emptied")
                } else {
                    Alone
                },
            );
            add(
                format!("GRANT REFERENCES ON {table} TO {to}"),
                With("GRANT CREATE ON SCHEMA public TO PUBLIC".to_owned()),
            );
            add(format!("GRANT TRIGGER ON {table} TO {to}"), Alone);
        }
    }
    Ok(all)
}

/// Sessions are bound to their scope, and by another procedure.
const SPARE: &str = "it serves administration, and where a pooler gives out sessions";

fn is_spare(routine: &str) -> bool {
    routine.starts_with("cupel.enter(")
}

async fn of_routines(
    owner: &mut PgConnection,
    mode: ContextMode,
) -> Result<Vec<Mutation>, sqlx::Error> {
    let routines: Vec<(String, String, bool, bool)> = sqlx::query_as(
        "SELECT oid::regprocedure::text, pg_get_functiondef(oid), prokind = 'p', prosecdef
         FROM pg_proc WHERE pronamespace = 'cupel'::regnamespace ORDER BY 1",
    )
    .fetch_all(&mut *owner)
    .await?;
    let mut all = Vec::new();
    let mut add = |sql: String, opens| all.push(Mutation { sql, opens });
    for (routine, definition, is_procedure, definer) in routines {
        add(
            definition
                .replace("$function$ ", "$function$ /* */ ")
                .replace("$procedure$ ", "$procedure$ /* */ "),
            Never("it does what it did"),
        );
        let opens_seals = definition.contains("cupel.seal_keys");
        let used = || if is_spare(&routine) { Never(SPARE) } else { Alone };
        if opens_seals || routine.starts_with("cupel.current_") {
            add(
                format!(
                    "ALTER ROUTINE {routine} SECURITY {}",
                    if definer { "INVOKER" } else { "DEFINER" }
                ),
                // The keys are not the application's to read; what reads no keys reads what everybody may.
                if definer { used() } else { Never("it reads nothing that is not everybody's") },
            );
            add(
                format!("ALTER ROUTINE {routine} SET search_path = public"),
                Never("what is called is named in full, or comes from the server"),
            );
            if !is_procedure {
                add(format!("ALTER ROUTINE {routine} IMMUTABLE"), Alone);
            }
        }
        if opens_seals {
            add(format!("ALTER ROUTINE {routine} OWNER TO cupel_admin"), used());
        }
    }
    if mode == ContextMode::Plain {
        add(
            "CREATE OR REPLACE FUNCTION cupel.current_org_id() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
               AS $$ SELECT 'acme-2'::text $$"
                .to_owned(),
            Alone,
        );
    }
    Ok(all)
}

/// Every right that was granted to a role, taken away from it, where that takes effect. The one on a parameter is of the
/// whole server, which other tests use.
async fn of_rights(owner: &mut PgConnection) -> Result<Vec<Mutation>, sqlx::Error> {
    let rights: Vec<(String, String, String)> = sqlx::query_as(
        "WITH granted(kind, object, oid, role, privilege, to_owner) AS (
           SELECT 'TABLE', c.oid::regclass::text, c.oid, a.grantee, a.privilege_type, a.grantee = c.relowner
           FROM pg_class c, aclexplode(c.relacl) a
           WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ('public'::regnamespace, 'cupel'::regnamespace)
           UNION ALL
           SELECT 'ROUTINE', p.oid::regprocedure::text, p.oid, a.grantee, a.privilege_type, a.grantee = p.proowner
           FROM pg_proc p, aclexplode(p.proacl) a
           WHERE p.pronamespace = 'cupel'::regnamespace OR p.proname = 'set_config'
           UNION ALL
           SELECT 'SCHEMA', n.nspname::text, n.oid, a.grantee, a.privilege_type, a.grantee = n.nspowner
           FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'cupel')
         SELECT format('REVOKE %s ON %s %s FROM %s', privilege, kind, object, role::regrole), object, role::regrole::text
         FROM granted WHERE NOT to_owner AND role <> 0 AND role::regrole::text LIKE 'cupel%'
           -- What administration has by way of the application's role it keeps.
           AND NOT (role::regrole::text = 'cupel_admin' AND EXISTS (SELECT FROM granted g WHERE (g.kind, g.oid, g.privilege)
             = (granted.kind, granted.oid, granted.privilege) AND g.role::regrole::text = 'cupel_app'))
         ORDER BY 1",
    )
    .fetch_all(&mut *owner)
    .await?;
    let rights = rights.into_iter().map(|(sql, object, role)| {
        let rarely =
            ["no_tenant", "policies_of", "session_is_clean", "settings", "shared_workspace"];
        let opens = match role.as_str() {
            "cupel_admin" => Never("administration's own statement is refused"),
            "cupel_app" if is_spare(&object) => Never(SPARE),
            "cupel_app" if object.contains("unbind") => {
                Never("a session that cannot be taken from its scope is closed")
            }
            "cupel_app" if rarely.iter().any(|it| object.contains(it)) => {
                Never("what asks for it is not what is attacked")
            }
            _ if object.contains("no_tenant") || object.contains("is_admin") => {
                Never("what asks for it is not what is attacked")
            }
            _ => Alone,
        };
        Mutation { sql, opens }
    });
    Ok(rights.collect())
}

/// Every key that carries the organization, made to span organizations; and every reference, made to lead to any
/// organization's row.
pub(super) async fn weaker_keys(owner: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT format('ALTER TABLE %s ADD CONSTRAINT weak UNIQUE (%I)', i.indrelid::regclass, a.attname)
         FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[1]
         WHERE i.indisprimary AND i.indrelid IN (SELECT format('%I.%I', schema_name, table_name)::regclass
           FROM cupel.tenant_tables)
         UNION ALL
         SELECT format('ALTER TABLE %s ADD CONSTRAINT weak UNIQUE (%I);
             ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %4$I FOREIGN KEY (%I) REFERENCES %1$s (%2$I)',
           k.confrelid::regclass, t.attname, k.conrelid::regclass, k.conname, f.attname)
         FROM pg_constraint k
         JOIN pg_attribute f ON f.attrelid = k.conrelid AND f.attnum = k.conkey[2]
         JOIN pg_attribute t ON t.attrelid = k.confrelid AND t.attnum = k.confkey[2]
         WHERE k.contype = 'f' ORDER BY 1",
    )
    .fetch_all(owner)
    .await
}
