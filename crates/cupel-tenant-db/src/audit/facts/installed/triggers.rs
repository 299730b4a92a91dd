use sqlx::PgConnection;

use crate::schema::MadeTrigger;

/// A trigger or rewrite rule on a table of ours: what a migration makes, and what is there.
#[derive(Debug)]
pub(crate) struct ComparedTrigger {
    /// `None` if no migration makes it.
    pub(crate) made: Option<MadeTrigger>,
    /// `None` if it is gone.
    pub(crate) there: Option<ThereTrigger>,
}

/// One that is there.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ThereTrigger {
    /// As DROP takes it: `TRIGGER` or `RULE`.
    pub(crate) kind: String,
    /// With its schema, quoted where needed.
    pub(crate) table: String,
    pub(crate) name: String,
    /// As the server writes it out.
    definition: String,
    /// As the catalog says it: `O` in ordinary sessions, `R` in those that replay, `A` in both, `D` never.
    enabled: String,
}

impl ThereTrigger {
    /// Whether it is what the migration makes.
    pub(crate) fn does_the_same(&self, made: &MadeTrigger) -> bool {
        self.definition == made.definition
    }

    /// Whether it fires wherever the migration has it fire.
    pub(crate) fn fires(&self, made: &MadeTrigger) -> bool {
        self.enabled == "A" || self.enabled == "O" && !made.always
    }
}

/// Compares those that fire with those that are made. A foreign key's own are not looked at.
pub(super) async fn compare(
    conn: &mut PgConnection,
    made: Vec<MadeTrigger>,
) -> Result<Vec<ComparedTrigger>, sqlx::Error> {
    let mut there: Vec<ThereTrigger> = sqlx::query_as(
        "SELECT o.kind, format('%I.%I', n.nspname, c.relname) AS \"table\", o.name, o.definition, o.enabled
         FROM (
           SELECT t.tgrelid, 'TRIGGER', t.tgname::text, pg_get_triggerdef(t.oid), t.tgenabled::text
           FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal
           UNION ALL
           SELECT r.ev_class, 'RULE', r.rulename::text, pg_get_ruledef(r.oid), r.ev_enabled::text
           FROM pg_catalog.pg_rewrite r WHERE r.ev_type <> '1'
         ) o(relation, kind, name, definition, enabled)
         JOIN pg_catalog.pg_class c ON c.oid = o.relation
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY ($1) ORDER BY 2, 1 DESC, 3",
    )
    .bind(crate::schema::SCHEMAS)
    .fetch_all(conn)
    .await?;
    let compared = made.into_iter().map(|made| {
        let same = |it: &ThereTrigger| {
            it.kind == "TRIGGER" && (&it.table, &it.name) == (&made.table, &made.name)
        };
        let there = there.iter().position(same).map(|at| there.remove(at));
        ComparedTrigger { made: Some(made), there }
    });
    let mut compared: Vec<ComparedTrigger> = compared.collect();
    let added = there.into_iter().filter(|it| it.enabled != "D");
    compared.extend(added.map(|it| ComparedTrigger { made: None, there: Some(it) }));
    Ok(compared)
}
