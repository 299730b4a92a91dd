//! The rows of tables that are adopted: whose they are, and whether anybody could reach them.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Executor, PgConnection};

use super::steps::Steps;
use crate::schema::ident;
use crate::shape::{Reference, Shape};
use crate::{ColumnType, Error};

/// How long a batch may take: whoever writes one of its rows waits for the whole of it.
const BATCH: Duration = Duration::from_millis(50);
/// How many pages the first batch has, and the most that any has.
const PAGES: (i64, i64) = (8, 1_000);
/// How often it is told how far it is.
const TELL: Duration = Duration::from_secs(1);

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
        let to = ident(&parent.1);
        let fill = format!(
            "UPDATE {table} c SET {column} = p.{to} FROM {parent} p
             WHERE {matching} AND c.{column} IS NULL AND p.{to} IS NOT NULL",
            parent = parent.0,
            matching = matching.join(" AND "),
        );
        let mut done = 0;
        let mut batch = PAGES.0;
        loop {
            let before = done;
            // As it is now; rows that are filled move behind the last page, and are filled.
            let pages = self.pages(&table).await?;
            let mut told = Instant::now();
            let mut first = 0;
            while first < pages {
                let last = first + batch;
                let sql = format!("{fill} AND c.ctid >= '({first},0)' AND c.ctid < '({last},0)'");
                let begun = Instant::now();
                done += self
                    .conn
                    .execute(AssertSqlSafe(sql))
                    .await
                    .map_err(Error::statement("filling the organization in"))?
                    .rows_affected();
                batch = next_batch(batch, begun.elapsed());
                if first == 0 || told.elapsed() > TELL {
                    told = Instant::now();
                    let action = "taking the organization from the parent's rows".to_owned();
                    self.tell_of(shape.name(), action, Some((done, all.max(done))));
                }
                first = last;
            }
            // Somebody may have written more meanwhile.
            if done == before {
                let column = &shape.declared.org_column;
                return Ok(Some(format!("filled {column} of {done} rows of {}", shape.name())));
            }
        }
    }

    /// How many pages the table has, or the largest of its partitions.
    async fn pages(&mut self, table: &str) -> Result<i64, Error> {
        sqlx::query_scalar(
            "SELECT max(pg_catalog.pg_relation_size(c.oid)) / current_setting('block_size')::int8 + 1
             FROM pg_catalog.pg_class c WHERE c.oid = $1::pg_catalog.regclass
               OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1::pg_catalog.regclass))",
        )
        .bind(table)
        .fetch_one(&mut *self.conn)
        .await
        .map_err(Error::statement("looking at the tables"))
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
                "has rows without {column} ({empty} of them); give each its organization, or delete them"
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
                "has rows whose {column} is no organization's id (1 to 53 of a-z, 0-9 and '-'), so that no scope would reach them ({odd} of them); change it"
            ));
        }
        Ok(())
    }
}

/// How many pages come next, after so many took so long.
fn next_batch(pages: i64, took: Duration) -> i64 {
    match took {
        _ if took > BATCH => (pages / 2).max(1),
        _ if took < BATCH / 2 => (pages * 2).min(PAGES.1),
        _ => pages,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_while_they_are_quick_and_shrink_when_they_are_slow() {
        let slow = BATCH + Duration::from_millis(1);
        assert_eq!(next_batch(8, Duration::ZERO), 16);
        assert_eq!(next_batch(PAGES.1, Duration::ZERO), PAGES.1);
        assert_eq!(next_batch(8, BATCH), 8);
        assert_eq!(next_batch(8, slow), 4);
        assert_eq!(next_batch(1, slow), 1, "it goes on");
    }
}
