mod granted;
mod triggers;

use std::collections::HashMap;

pub(crate) use granted::Ungranted;
pub(super) use granted::ungranted;
use sqlx::PgConnection;
pub(crate) use triggers::{ComparedTrigger, ThereTrigger};

use super::super::Question;
use super::{Oid, Roles};
use crate::schema::{self, Grant, Made, Purpose, Recorded, Routine, Whole};
use crate::{ColumnType, ContextMode};

/// The functions, procedures and triggers of the schemas of ours: those that are there, beside those that this
/// version makes.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) compared: Vec<Compared>,
    pub(crate) triggers: Vec<ComparedTrigger>,
    /// What the migration grants in the schema `cupel`, where it is recorded for whom it was.
    pub(crate) grants: Vec<Grant>,
    /// The schemas that another version than this one made last, as far as it left word.
    pub(crate) of_another: Vec<&'static str>,
    /// What the database says of itself, if it can be read.
    pub(crate) recorded: Option<Recorded>,
}

/// A routine that a migration or adoption makes.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) made: Made,
    /// The one that is there, if there is one of its name and arguments.
    pub(crate) there: Option<There>,
    /// In what they differ.
    pub(crate) differs: Vec<Part>,
    /// Whether it decides whose rows are seen or written.
    pub(crate) decides: bool,
    /// Whether the application may call it.
    pub(crate) granted: bool,
}

/// A routine that is there.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct There {
    pub(crate) oid: Oid,
    /// With the types of its arguments, as ALTER ROUTINE takes it.
    pub(crate) signature: String,
    owner: Oid,
    /// Whether the planner asks a function of somebody's about it.
    supported: bool,
    #[sqlx(flatten)]
    routine: Routine,
}

/// What makes a routine what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Body,
    Definer,
    Language,
    Leakproof,
    Owner,
    Parallel,
    Result,
    Settings,
    Strict,
    Support,
    Volatility,
}

impl Part {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Definer => "whose rights it runs with",
            Self::Language => "language",
            Self::Leakproof => "LEAKPROOF",
            Self::Owner => "owner",
            Self::Parallel => "PARALLEL",
            Self::Result => "result",
            Self::Settings => "settings",
            Self::Strict => "STRICT",
            Self::Support => "support function",
            Self::Volatility => "volatility",
        }
    }
}

/// What a migration could have made, with the statements that make it.
struct Candidate {
    sql: String,
    made: Vec<Made>,
    /// What the application is granted of it.
    grants: String,
}

impl Candidate {
    fn of(whole: &Whole, app: &str, admin: Option<&str>) -> Self {
        let sql = schema::installation(whole, app, admin);
        let grants = schema::grant_schema(app, Purpose::App, app, whole.mode);
        Self { made: schema::routines(&sql), sql, grants }
    }

    /// What an adoption makes, while it lasts.
    fn of_adoption() -> Self {
        let sql = schema::SHADOWS.to_owned();
        Self { made: schema::routines(&sql), grants: sql.clone(), sql }
    }
}

/// Reads them, whatever rights the asking role has; `None` where no migration was run. Nothing of the database
/// is called: what it says of itself is read from the body of the function that says it.
pub(super) async fn read(
    conn: &mut PgConnection,
    question: &Question,
    roles: &Roles,
    schemas: &HashMap<String, Oid>,
) -> Result<Option<Installed>, sqlx::Error> {
    let migrated: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = 'cupel' AND c.relname = 'tenant_tables')",
    )
    .fetch_one(&mut *conn)
    .await?;
    if !migrated {
        return Ok(None);
    }
    let there = there(conn).await?;
    let recorded = there.iter().find(|it| it.routine.full_name() == "cupel.settings");
    let recorded = recorded.and_then(|it| Recorded::parse(&it.routine.body));
    let candidates = candidates(recorded.as_ref(), question);
    let texts: Vec<&str> = candidates.iter().map(|it| it.sql.as_str()).collect();
    let (of_migration, of_adoption): (Option<bool>, Option<bool>) = sqlx::query_as(
        "SELECT left(obj_description(to_regnamespace('cupel'), 'pg_namespace'), 32)
             <> ALL (SELECT md5(t) FROM unnest($1::text[]) t),
           obj_description(to_regnamespace('cupel_shadow'), 'pg_namespace') <> $2",
    )
    .bind(&texts)
    .bind(schema::definition(schema::SHADOWS))
    .fetch_one(&mut *conn)
    .await?;
    let of_another = schema::SCHEMAS.into_iter().zip([of_migration, of_adoption]);
    let of_another = of_another.filter(|it| it.1 == Some(true)).map(|it| it.0).collect();
    let made = candidates.first().map(|it| schema::triggers(&it.sql)).unwrap_or_default();
    let triggers = triggers::compare(conn, made).await?;
    let grants = recorded.as_ref().and_then(|_| candidates.first());
    let grants = grants.map(|it| schema::grants(&it.sql)).unwrap_or_default();
    let compared = candidates.into_iter().map(|it| compare(it, &there, roles, schemas));
    let differing = |it: &Vec<Compared>| it.iter().filter(|it| !it.is_as_made()).count();
    let mut compared = compared.min_by_key(differing).unwrap_or_default();
    if schemas.contains_key("cupel_shadow") {
        compared.extend(compare(Candidate::of_adoption(), &there, roles, schemas));
    }
    Ok(Some(Installed { compared, triggers, grants, of_another, recorded }))
}

async fn there(conn: &mut PgConnection) -> Result<Vec<There>, sqlx::Error> {
    // Of a procedure's arguments the server says which way they go.
    sqlx::query_as(
        "SELECT p.oid::int8, p.oid::regprocedure::text AS signature, p.proowner::int8 AS owner,
           p.prosupport <> 0 AS supported, n.nspname::text AS schema, p.proname::text AS name,
           CASE WHEN p.prokind = 'p' THEN replace(pg_get_function_arguments(p.oid), 'IN ', '')
             ELSE pg_get_function_arguments(p.oid) END AS arguments,
           pg_get_function_result(p.oid) AS returns, l.lanname::text AS language,
           p.provolatile::text AS volatility, p.proparallel::text AS parallel, p.prosecdef AS definer,
           p.proleakproof AS leakproof, p.proisstrict AS strict, coalesce(p.proconfig, '{}') AS settings,
           p.prosrc AS body
         FROM pg_catalog.pg_proc p
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         JOIN pg_catalog.pg_language l ON l.oid = p.prolang
         WHERE n.nspname = ANY ($1) ORDER BY 2",
    )
    .bind(schema::SCHEMAS)
    .fetch_all(conn)
    .await
}

/// What a migration could have made, strict or not: by what is recorded, and by whatever there is if that
/// cannot be read. The mode that the service is configured for goes before a record, and nobody's
/// administration is the application itself.
fn candidates(recorded: Option<&Recorded>, question: &Question) -> Vec<Candidate> {
    const MODES: [ContextMode; 3] =
        [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register];
    let mut wholes = Vec::new();
    for strict in [false, true] {
        match recorded.and_then(|it| it.whole(strict)) {
            Some(whole) => {
                wholes.push(Whole { mode: question.mode.unwrap_or(whole.mode), ..whole });
            }
            None => {
                let modes = MODES.into_iter().filter(|it| question.mode.is_none_or(|m| m == *it));
                for mode in modes {
                    for column_type in [ColumnType::Text, ColumnType::Uuid] {
                        wholes.push(Whole { column_type, mode, strict });
                    }
                }
            }
        }
    }
    let asked = &question.app_role;
    let app = recorded.and_then(|it| it.app.as_ref()).unwrap_or(asked);
    let admin = match recorded {
        Some(recorded) => recorded.admin.as_ref().filter(|it| *it != asked),
        None => question.admin_role.as_ref(),
    };
    wholes.iter().map(|it| Candidate::of(it, app, admin.map(String::as_str))).collect()
}

fn compare(
    candidate: Candidate,
    there: &[There],
    roles: &Roles,
    schemas: &HashMap<String, Oid>,
) -> Vec<Compared> {
    let Candidate { made, grants, .. } = candidate;
    let deciding = schema::deciding(&made);
    let compared = made.into_iter().map(|made| {
        let same = |it: &&There| {
            let (is, should) = (&it.routine, &made.routine);
            (&is.schema, &is.name, &is.arguments)
                == (&should.schema, &should.name, &should.arguments)
        };
        let there = there.iter().find(same);
        let owner = schemas.get(&made.routine.schema).copied().unwrap_or_default();
        let differs = there.map(|it| differences(&made, it, roles, owner)).unwrap_or_default();
        let decides = deciding.contains(&made.routine.name);
        let granted = grants.contains(&format!("{}(", made.routine.full_name()));
        Compared { made, there: there.cloned(), differs, decides, granted }
    });
    compared.collect()
}

fn differences(made: &Made, there: &There, roles: &Roles, owner: Oid) -> Vec<Part> {
    let (is, should) = (&there.routine, &made.routine);
    // Whoever ran a migration since is a superuser, or has the rights of who ran the first.
    let owned = match &made.owner {
        Some(owner) => *owner == schema::ident(roles.name(there.owner)),
        None => roles.inherits(there.owner, owner),
    };
    let parts = [
        (is.body == should.body, Part::Body),
        (is.definer == should.definer, Part::Definer),
        (is.language == should.language, Part::Language),
        (is.leakproof == should.leakproof, Part::Leakproof),
        (owned, Part::Owner),
        (is.parallel == should.parallel, Part::Parallel),
        (is.returns == should.returns, Part::Result),
        (is.settings == should.settings, Part::Settings),
        (is.strict == should.strict, Part::Strict),
        (!there.supported, Part::Support),
        (is.volatility == should.volatility, Part::Volatility),
    ];
    parts.into_iter().filter(|it| !it.0).map(|it| it.1).collect()
}

impl Compared {
    pub(crate) fn is_as_made(&self) -> bool {
        self.there.is_some() && self.differs.is_empty()
    }
}

impl Installed {
    pub(crate) fn find(&self, routine: Oid) -> Option<&Compared> {
        self.compared.iter().find(|it| it.there.as_ref().is_some_and(|it| it.oid == routine))
    }
}
