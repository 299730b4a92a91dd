use cupel_tenant::{Control, Observed, TenantScope};
use sqlx::{AssertSqlSafe, Executor};

use super::reads::owner_reads;
use super::tally::{Count, meaning};
use super::{Seen, Turn};
use crate::Error;
use crate::error::sqlstate;
use crate::schema::ident;

/// Every role that row security does not bind, or that owns a table of organizations.
const POWERFUL: &str = "SELECT r.rolname::text FROM pg_catalog.pg_roles r
    WHERE r.rolsuper OR r.rolbypassrls OR r.oid IN (
      SELECT c.relowner FROM cupel.tenant_tables t
      JOIN pg_catalog.pg_class c ON c.oid = to_regclass(format('%I.%I', t.schema_name, t.table_name))
      WHERE t.kind <> 'global')";

pub(super) async fn become_another(turn: &Turn<'_>) -> Seen {
    let mut tx = turn.as_attacker().await?;
    let roles: Vec<String> = sqlx::query_scalar(POWERFUL)
        .fetch_all(&mut tx)
        .await
        .map_err(Error::statement("an attack"))?;
    let me: String = sqlx::query_scalar("SELECT session_user::text")
        .fetch_one(&mut tx)
        .await
        .map_err(Error::statement("an attack"))?;
    tx.rollback().await?;
    let mut observed = Observed::refused(format!("{} roles refused", roles.len()));
    for role in roles {
        match become_one(turn, &role).await?.as_deref() {
            None => observed = Observed::reached(format!("became {role}")),
            Some("42501") => {}
            Some(code) if !matches!(observed, Observed::Reached(_)) => {
                observed = Observed::unclear(format!("{role}: {}", meaning(code)));
            }
            Some(_) => {}
        }
    }
    let control = match become_one(turn, &me).await? {
        None => Control::held("SET ROLE to itself works"),
        Some(code) => Control::failed(format!("refused itself: {}", meaning(&code))),
    };
    Ok(Some((observed, control)))
}

/// Returns the SQLSTATE of the refusal; `None` if the role was taken.
async fn become_one(turn: &Turn<'_>, role: &str) -> Result<Option<String>, Error> {
    let mut tx = turn.as_attacker().await?;
    let result = tx.execute(AssertSqlSafe(format!("SET LOCAL ROLE {}", ident(role)))).await;
    tx.rollback().await?;
    match result {
        Ok(_) => Ok(None),
        Err(error) => match sqlstate(&error) {
            Some(code) => Ok(Some(code)),
            None => Err(Error::statement("an attack")(error)),
        },
    }
}

/// Takes each protection of each table away. Row security is the owner's to take, and the owner's
/// counterpart here is that it reads what is protected.
pub(super) async fn disable(turn: &Turn<'_>) -> Seen {
    let scope = TenantScope::org(turn.attacker.clone());
    let mut observed = None;
    for change in [
        "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE {} NO FORCE ROW LEVEL SECURITY",
        "DO $cupel$ DECLARE p name; BEGIN
           FOR p IN SELECT polname FROM pg_catalog.pg_policy WHERE polrelid = $name${}$name$::regclass LOOP
             EXECUTE pg_catalog.format('DROP POLICY %I ON %s', p, $name${}$name$::regclass);
           END LOOP;
           IF p IS NULL THEN RAISE insufficient_privilege; END IF; END $cupel$",
        "CREATE POLICY cupel_hole ON {} USING (true)",
    ] {
        let tally = turn
            .tally(&scope, Count::Answer, |table| {
                let sql = change.replace("{}", &table.name.quoted());
                Some(vec![sql, "SELECT 1::bigint".to_owned()])
            })
            .await?;
        let seen = tally.observed("opened");
        if matches!(seen, Observed::Reached(_)) || observed.is_none() {
            observed = Some(seen);
        }
    }
    let control = owner_reads(turn).await?;
    Ok(observed.map(|observed| (observed, control)))
}

pub(super) async fn registry(turn: &Turn<'_>) -> Seen {
    let mut observed = Observed::refused("refused: insufficient privilege");
    for sql in [
        "SELECT * FROM cupel.organizations",
        "SELECT * FROM cupel.access_log",
        "UPDATE cupel.organizations SET state = state",
        "INSERT INTO cupel.access_log (actor, reason, access, expires) VALUES ('a', 'r', 'read only', now())",
        "DELETE FROM cupel.tenant_tables",
    ] {
        let mut tx = turn.as_attacker().await?;
        match tx.execute(sql).await {
            Ok(_) => observed = Observed::reached(format!("accepted: {sql}")),
            Err(error) => match sqlstate(&error).as_deref() {
                Some("42501") => {}
                Some(code) if !matches!(observed, Observed::Reached(_)) => {
                    observed = Observed::unclear(format!("{}: {sql}", meaning(code)));
                }
                Some(_) => {}
                None => return Err(Error::statement("an attack")(error)),
            },
        }
        tx.rollback().await?;
    }
    let mut tx = turn.as_victim().await?;
    let own = tx.fetch_optional("SELECT cupel.org_state()").await;
    tx.rollback().await?;
    let control = match own {
        Ok(_) => Control::held("owner asks for its own state"),
        Err(_) => Control::failed("owner cannot ask for its own state"),
    };
    Ok(Some((observed, control)))
}

/// A table of organizations is isolated or it is a leak that waits for a grant.
pub(super) async fn undeclared(turn: &Turn<'_>) -> Seen {
    let declared = turn.stage.tables.iter().filter(|it| it.is_declared_of_orgs()).count();
    let readable = turn.stage.tables.iter().find(|it| !it.is_declared_of_orgs());
    let observed = match (readable, turn.stage.undeclared.first()) {
        (Some(table), _) => {
            Observed::reached(format!("{} can be read and is not declared", table.name))
        }
        (None, Some(table)) => Observed::unclear(format!("{} is not declared", table.name)),
        (None, None) => {
            Observed::refused(format!("all {declared} tables of organizations are declared"))
        }
    };
    Ok(Some((observed, owner_reads(turn).await?)))
}
