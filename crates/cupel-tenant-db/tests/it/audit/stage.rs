//! One schema that is right, and what a case breaks in it.

use cupel_tenant::{Finding, Severity};
use cupel_tenant_db::{Audit, AuditReport};
use cupel_testkit::Postgres;
use sqlx::{AssertSqlSafe, Connection, Either, PgConnection, Row};
use uuid::Uuid;

use crate::bed::{as_role, empty};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A rule, a schema that breaks it, one that nearly does, and an attack that shows the difference.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) rule: &'static str,
    pub(crate) object: &'static str,
    pub(crate) severity: Severity,
    pub(crate) broken: &'static str,
    pub(crate) near: &'static str,
    pub(crate) attack: &'static [(Who, &'static str)],
    pub(crate) shows: Shows,
    /// What `{bait}` stands for in the attack.
    pub(crate) bait: &'static str,
    /// Tables that are declared as shared.
    pub(crate) shared: &'static [&'static str],
    /// The first version of the server that has what the case is about: those before refuse its schema.
    pub(crate) from: i32,
    /// The first version of the server in which the attack no longer works.
    pub(crate) until: i32,
    /// Whether the fixes of the report put it right.
    pub(crate) fixed: bool,
}

/// What is common to most.
pub(crate) const CASE: Case = Case {
    rule: "",
    object: "public.items",
    severity: Severity::Critical,
    broken: "",
    near: "",
    attack: &[],
    shows: Shows::Theirs,
    bait: "",
    shared: &[],
    from: 0,
    until: i32::MAX,
    fixed: true,
};

/// Who runs a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The application for organization `a`, the attacker.
    A,
    /// Administration, if the case made its role.
    Admin,
    /// The application for organization `b`.
    B,
    /// The application without a context.
    Nobody,
    /// The superuser.
    Root,
}

/// How an attack shows that it worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// The last step gave the other organization's text.
    Theirs,
    /// The last step gave true.
    Changed,
    /// The last two steps came out differently.
    Differ,
}

/// A table in which nothing is wrong, with a row of each organization.
const BASE: &str = "CREATE ROLE {app} LOGIN PASSWORD '{app}';
CREATE ROLE {own}; CREATE ROLE {grp};
DO $$ BEGIN EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CONNECT ON DATABASE %I TO {app}', current_database()); END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
CREATE TABLE items (org_id text NOT NULL, id int NOT NULL, n int, note text, PRIMARY KEY (org_id, id));
{isolate items}
INSERT INTO items VALUES ('a', 1, 1, 'mine'), ('b', 2, 3, 'theirs');
";

/// A role for administration, which reads every organization's rows.
const ADMIN: &str =
    "CREATE ROLE {adm} LOGIN BYPASSRLS PASSWORD '{adm}'; GRANT SELECT ON items TO {adm};
DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO {adm}', current_database()); END $$;";

pub(crate) const ISOLATES: &str =
    "org_id = (SELECT nullif(current_setting('app.current_org_id', true), ''))";

fn isolate(table: &str) -> String {
    format!(
        "ALTER TABLE {table} OWNER TO {{own}};
         ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
         CREATE POLICY floor ON {table} AS RESTRICTIVE USING ({ISOLATES}) WITH CHECK ({ISOLATES});
         CREATE POLICY access ON {table} USING ({ISOLATES}) WITH CHECK ({ISOLATES});
         GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {{app}};"
    )
}

/// A database with the base schema, and roles that no other has.
pub(crate) struct Stage {
    pub(crate) root_url: String,
    pub(crate) app: String,
    suffix: String,
}

impl Stage {
    pub(crate) async fn start() -> Outcome<Self> {
        Self::on(None).await
    }

    /// The same on a server of its own, if there is one.
    async fn on(server: Option<&Postgres>) -> Outcome<Self> {
        Self::at(match server {
            Some(server) => server.database().await?,
            None => empty().await?,
        })
        .await
    }

    /// The same in an empty database.
    pub(crate) async fn at(root_url: String) -> Outcome<Self> {
        let suffix = Uuid::new_v4().simple().to_string().chars().take(12).collect::<String>();
        let app = format!("app_{suffix}");
        let stage = Self { root_url, app, suffix };
        stage.root(BASE).await?;
        Ok(stage)
    }

    /// Fills in the roles, and what isolates a table.
    pub(crate) fn text(&self, sql: &str) -> String {
        let mut text = sql.to_owned();
        while let Some((before, rest)) = text.split_once("{isolate ") {
            let (table, after) = rest.split_once('}').unwrap_or((rest, ""));
            text = format!("{before}{}{after}", isolate(table));
        }
        text.replace("{admin}", ADMIN)
            .replace("{isolates}", ISOLATES)
            .replace("{app}", &self.app)
            .replace("{own}", &format!("own_{}", self.suffix))
            .replace("{grp}", &format!("grp_{}", self.suffix))
            .replace("{adm}", &format!("adm_{}", self.suffix))
    }

    pub(crate) async fn root(&self, sql: &str) -> Outcome<()> {
        let mut conn = PgConnection::connect(&self.root_url).await?;
        sqlx::raw_sql(AssertSqlSafe(self.text(sql))).execute(&mut conn).await?;
        conn.close().await?;
        Ok(())
    }

    /// The version of the server, as 150018: the one that `CUPEL_POSTGRES_VERSION` asks for.
    pub(crate) async fn version(&self) -> Outcome<i32> {
        let mut conn = self.connect(Who::Root).await?;
        let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int4")
            .fetch_one(&mut conn)
            .await?;
        match std::env::var("CUPEL_POSTGRES_VERSION") {
            Ok(asked) => {
                let (major, minor) = (version / 10_000, version % 10_000);
                if asked == major.to_string() || asked == format!("{major}.{minor}") {
                    return Ok(version);
                }
                Err(format!("the server is {version}, and {asked} was asked for").into())
            }
            _ => Ok(version),
        }
    }

    pub(crate) async fn audit(&self, shared: &[&str]) -> Outcome<AuditReport> {
        let audit = Audit::new(&self.root_url).app_role(&self.app).admin_role(&self.text("{adm}"));
        Ok(audit.shared(shared.iter().copied()).run().await?)
    }

    /// Connects as somebody, in a session that begins as theirs.
    pub(crate) async fn connect(&self, who: Who) -> Outcome<PgConnection> {
        let url = match who {
            Who::Admin => as_role(&self.root_url, &self.text("{adm}"))?,
            Who::Root => self.root_url.clone(),
            _ => as_role(&self.root_url, &self.app)?,
        };
        let mut conn = PgConnection::connect(&url).await?;
        let context = match who {
            Who::A => "SET app.current_org_id = 'a'",
            Who::B => "SET app.current_org_id = 'b'",
            Who::Admin | Who::Nobody | Who::Root => "SELECT",
        };
        sqlx::raw_sql(context).execute(&mut conn).await?;
        Ok(conn)
    }

    /// Runs an attack, and says whether it worked.
    pub(crate) async fn attack(&self, case: &Case) -> Outcome<bool> {
        let mut sessions: Vec<(Who, PgConnection)> = Vec::new();
        let mut results = Vec::new();
        for (who, sql) in case.attack {
            if !sessions.iter().any(|it| it.0 == *who) {
                sessions.push((*who, self.connect(*who).await?));
            }
            let Some((_, conn)) = sessions.iter_mut().find(|it| it.0 == *who) else { continue };
            results.push(run(conn, &self.text(&sql.replace("{bait}", case.bait))).await?);
        }
        let last = results.last().ok_or("no step")?;
        Ok(match case.shows {
            Shows::Theirs => last.contains("theirs"),
            Shows::Changed => last.starts_with("true") || last.starts_with('t'),
            Shows::Differ => results.len() < 2 || results.get(results.len() - 2) != Some(last),
        })
    }
}

/// Runs statements, and returns what came of them: the rows as text, how many were written, or the error.
pub(crate) async fn run(conn: &mut PgConnection, sql: &str) -> Outcome<String> {
    use futures::TryStreamExt;
    let mut text = String::new();
    let mut stream = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_many(conn);
    loop {
        match stream.try_next().await {
            Ok(Some(Either::Right(row))) => {
                text += &format!("{}\n", row.try_get::<Option<String>, _>(0)?.unwrap_or_default());
            }
            Ok(Some(Either::Left(done))) => text += &format!("({})\n", done.rows_affected()),
            Ok(None) => return Ok(text),
            Err(sqlx::Error::Database(error)) => {
                return Ok(format!("{} {}", error.code().unwrap_or_default(), error.message()));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn found<'a>(report: &'a AuditReport, case: &Case) -> Option<&'a Finding> {
    report.findings.iter().find(|it| {
        it.rule == case.rule && it.severity >= case.severity && it.object.ends_with(case.object)
    })
}

/// Plays every case, and fails with all that went wrong.
pub(crate) async fn play(cases: &[Case]) -> Outcome<()> {
    play_on(None, cases).await
}

/// The same on a server that is configured for them.
pub(crate) async fn play_on(server: Option<&Postgres>, cases: &[Case]) -> Outcome<()> {
    let mut wrong = Vec::new();
    for case in cases {
        let name = format!("{} {}", case.rule, case.broken.lines().next().unwrap_or_default());
        if let Err(error) = one(server, case, &name, &mut wrong).await {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn one(
    server: Option<&Postgres>,
    case: &Case,
    name: &str,
    wrong: &mut Vec<String>,
) -> Outcome<()> {
    let stage = Stage::on(server).await?;
    let version = stage.version().await?;
    if version < case.from {
        // What is refused is no hole; `scripts/versions` plays the case where it is one.
        if stage.root(case.broken).await.is_ok() {
            wrong.push(format!("{name}: {version} has this too"));
        }
        return Ok(());
    }
    stage.root(case.broken).await?;
    let report = stage.audit(case.shared).await?;
    let real = version < case.until;
    let case = &Case { severity: if real { case.severity } else { Severity::Medium }, ..*case };
    match found(&report, case) {
        Some(finding) if finding.severity != case.severity => {
            wrong.push(format!("{name}: {} is {}", finding.object, finding.severity));
        }
        Some(_) => {}
        None => {
            let list = report
                .findings
                .iter()
                .map(|it| format!("{} {} {}", it.rule, it.severity, it.object));
            wrong.push(format!("{name}: missed; {:?}", list.collect::<Vec<_>>()));
        }
    }
    let attacks = !case.attack.is_empty() && real;
    if case.severity >= Severity::High && case.attack.is_empty() {
        wrong.push(format!("{name}: nothing shows that it is real"));
    }
    if attacks && !stage.attack(case).await? {
        wrong.push(format!("{name}: the attack does not work"));
    }
    let near = Stage::on(server).await?;
    near.root(case.near).await?;
    let report = near.audit(case.shared).await?;
    if let Some(finding) = found(&report, &Case { object: "", ..*case }) {
        wrong.push(format!("{name}: the near miss has {finding:?}"));
    }
    if attacks && near.attack(case).await? {
        wrong.push(format!("{name}: the attack works on the near miss"));
    }
    if case.fixed { fix(server, case, attacks, name, wrong).await } else { Ok(()) }
}

/// Runs the fixes of the report on a schema that was not attacked: the finding and the hole are gone.
async fn fix(
    server: Option<&Postgres>,
    case: &Case,
    attacks: bool,
    name: &str,
    wrong: &mut Vec<String>,
) -> Outcome<()> {
    let stage = Stage::on(server).await?;
    stage.root(case.broken).await?;
    let fixes = stage.audit(case.shared).await?.fix_sql();
    let mut conn = stage.connect(Who::Root).await?;
    sqlx::raw_sql(AssertSqlSafe(fixes.as_str()))
        .execute(&mut conn)
        .await
        .map_err(|error| format!("the fix fails: {error}\n{fixes}"))?;
    if let Some(finding) = found(&stage.audit(case.shared).await?, case) {
        wrong.push(format!("{name}: the fix leaves {finding:?}: {fixes}"));
    }
    if attacks && stage.attack(case).await? {
        wrong.push(format!("{name}: the attack works in spite of the fix: {fixes}"));
    }
    Ok(())
}

#[tokio::test]
async fn audit_of_a_schema_that_is_right_finds_nothing() -> Outcome<()> {
    let stage = Stage::start().await?;
    let mut findings = stage.audit(&[]).await?.findings;
    findings.retain(|it| it.severity > Severity::Info);
    assert!(findings.is_empty(), "{findings:#?}");
    Ok(())
}
