//! The rows of tables that are adopted: whose they are, and whether anybody could reach them.

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use super::steps::Steps;
use crate::schema::ident;
use crate::shape::{Reference, Shape};
use crate::{ColumnType, Error};

/// How many rows are filled in one transaction.
const BATCH: u64 = 10_000;

impl Steps<'_> {
    /// Takes the organization of a child's rows from their parents', a batch at a time.
    pub(super) async fn fill(&mut self, shape: &Shape) -> Result<Option<String>, Error> {
        let Some((parent, reference)) = parent(shape) else { return Ok(None) };
        let (table, column) = (shape.name().quoted(), ident(&shape.declared.org_column));
        let empty = format!("SELECT count(*) FROM {table} WHERE {column} IS NULL");
        let all = count(self.conn, &empty).await?;
        if all == 0 {
            return Ok(None);
        }
        let matching: Vec<String> = reference
            .columns
            .iter()
            .zip(&reference.to_columns)
            .map(|(here, there)| format!("c.{} = p.{}", ident(here), ident(there)))
            .collect();
        let batch = format!(
            "UPDATE {table} c SET {column} = p.{to} FROM {parent} p
             WHERE {matching} AND c.{column} IS NULL AND p.{to} IS NOT NULL AND c.ctid = ANY (ARRAY(
               SELECT c.ctid FROM {table} c JOIN {parent} p ON {matching}
               WHERE c.{column} IS NULL AND p.{to} IS NOT NULL LIMIT {BATCH}))",
            to = ident(&parent.1),
            parent = parent.0,
            matching = matching.join(" AND "),
        );
        let mut done = 0;
        loop {
            let action = "taking the organization from the parent's rows".to_owned();
            self.tell_of(shape.name(), action, Some((done, all.max(done))));
            let filled = self
                .conn
                .execute(AssertSqlSafe(batch.as_str()))
                .await
                .map_err(Error::statement("filling the organization in"))?
                .rows_affected();
            done += filled;
            if filled == 0 {
                let column = &shape.declared.org_column;
                return Ok(Some(format!("filled {column} of {done} rows of {}", shape.name())));
            }
        }
    }

    /// Refuses rows without an organization, or of one that no scope can name.
    pub(super) async fn look_at_rows(&mut self, shape: &Shape) -> Result<(), Error> {
        let column = &shape.declared.org_column;
        let (table, quoted) = (shape.name().quoted(), ident(column));
        self.tell(shape, "looking whose its rows are");
        let unfit = |problem| Err(Error::TableUnfit { table: shape.name().to_string(), problem });
        let empty =
            count(self.conn, &format!("SELECT count(*) FROM {table} WHERE {quoted} IS NULL"))
                .await?;
        if empty > 0 {
            return unfit(format!(
                "has {empty} rows without {column}; give each its organization, or delete them"
            ));
        }
        if shape.org.as_ref().is_none_or(|it| it.type_name != ColumnType::Text.as_str()) {
            return Ok(());
        }
        // The grammar of an organization's id; a UUID of another grouping is no UUID elsewhere.
        let odd = count(
            self.conn,
            &format!(
                "SELECT count(*) FROM {table} WHERE {quoted} !~ '^[a-z0-9]([a-z0-9-]{{0,51}}[a-z0-9])?$'
                 OR replace({quoted}, '-', '') ~ '^[0-9a-f]{{32}}$'
                   AND {quoted} !~ '^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$'"
            ),
        )
        .await?;
        if odd > 0 {
            return unfit(format!(
                "has {odd} rows whose {column} is no organization's id (1 to 53 of a-z, 0-9 and '-'), so that no scope would reach them; change it"
            ));
        }
        Ok(())
    }
}

/// The parent's table, quoted, and its column of the organization, with the foreign key that leads there.
fn parent(shape: &Shape) -> Option<((String, String), &Reference)> {
    let parent = shape.declared.parent.as_ref()?;
    let reference = shape.references.iter().find(|it| it.to == *parent)?;
    Some(((parent.quoted(), shape.parent_org.clone()?), reference))
}

/// From the enforcement on, the default is the organization as the policies see it.
pub(super) fn settled_default(shape: &Shape) -> String {
    if !shape.shadow_default {
        return String::new();
    }
    format!(
        "ALTER TABLE {} ALTER COLUMN {} SET DEFAULT cupel.current_org_id();\n",
        shape.name().quoted(),
        ident(&shape.declared.org_column)
    )
}

pub(super) async fn count(conn: &mut PgConnection, sql: &str) -> Result<u64, Error> {
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(conn)
        .await
        .map_err(Error::statement("counting rows"))?;
    Ok(count.unsigned_abs())
}

/// The tables of organizations, each after the one that its rows belong to.
pub(super) fn parents_first(shapes: &[Shape]) -> Vec<&Shape> {
    let mut ordered: Vec<&Shape> = Vec::with_capacity(shapes.len());
    let mut waiting: Vec<&Shape> = shapes.iter().filter(|it| it.declared.is_of_orgs()).collect();
    loop {
        let is_free = |shape: &&Shape| {
            let parent = shape.declared.parent.as_ref();
            parent.is_none_or(|parent| ordered.iter().any(|it| it.name() == parent))
        };
        let (free, bound): (Vec<&Shape>, Vec<&Shape>) = waiting.into_iter().partition(is_free);
        if free.is_empty() {
            // A circle of parents, or a table that is its own: each as well as the other.
            ordered.extend(bound);
            return ordered;
        }
        ordered.extend(free);
        waiting = bound;
    }
}
