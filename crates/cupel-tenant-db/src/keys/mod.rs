//! What keys and indexes lack so that each carries the organization, and the statements that make them so.

mod compare;

use aws_lc_rs::digest;

pub(crate) use compare::plan;

use crate::schema::{TableName, ident};

/// What has to change in the keys of the declared tables, in the order in which it must.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Indexes to build; in use, without blocking.
    pub(crate) indexes: Vec<NewIndex>,
    /// Foreign keys to add and to check.
    pub(crate) references: Vec<NewReference>,
    /// What the new ones replace.
    pub(crate) swaps: Vec<Swap>,
}

#[derive(Debug)]
pub(crate) struct NewIndex {
    pub(crate) table: TableName,
    pub(crate) name: String,
    /// What is to be said of it.
    pub(crate) what: String,
    /// After `CREATE [UNIQUE] INDEX [CONCURRENTLY] `.
    rest: String,
    unique: bool,
}

#[derive(Debug)]
pub(crate) struct NewReference {
    pub(crate) table: TableName,
    to: TableName,
    /// The name of the one that it replaces, and will take.
    pub(crate) replaces: String,
    /// Its name until then.
    pub(crate) name: String,
    /// After `ADD CONSTRAINT name `.
    definition: String,
    /// Counts the rows that break it.
    pub(crate) violations: String,
}

/// One short statement that puts the new in the place of the old.
#[derive(Debug)]
pub(crate) struct Swap {
    pub(crate) table: TableName,
    pub(crate) what: String,
    pub(crate) sql: String,
    unique: bool,
}

impl Plan {
    /// The statements for tables that nobody works with yet.
    pub(crate) fn at_once(&self) -> String {
        let indexes = self.indexes.iter().map(|it| format!("{};\n", it.create(false)));
        let references =
            self.references.iter().map(|it| format!("{};\n{};\n", it.add(false), it.replace()));
        let swaps = self.swaps.iter().map(|it| format!("{};\n", it.sql));
        indexes.chain(references).chain(swaps).collect()
    }

    /// Takes out what is of tables that have rows, and returns the first of it that lets organizations tell
    /// of each other: the table, and the constraint or index in words.
    pub(crate) fn leave(
        &mut self,
        has_rows: impl Fn(&TableName) -> bool,
    ) -> Option<(TableName, String)> {
        let mut left = None;
        let mut leave = |table: &TableName, what: String| {
            left.get_or_insert_with(|| (table.clone(), what));
        };
        self.references.retain(|it| {
            let stays = !has_rows(&it.table) && !has_rows(&it.to);
            if !stays {
                leave(&it.table, format!("foreign key {}", it.replaces));
            }
            stays
        });
        self.swaps.retain(|it| {
            let stays = !has_rows(&it.table);
            if !stays && it.unique {
                leave(&it.table, it.what.clone());
            }
            stays
        });
        self.indexes.retain(|it| !has_rows(&it.table));
        left
    }
}

impl NewIndex {
    pub(crate) fn create(&self, concurrently: bool) -> String {
        let unique = if self.unique { "UNIQUE " } else { "" };
        let how = if concurrently { "CONCURRENTLY " } else { "" };
        format!("CREATE {unique}INDEX {how}{}{}", ident(&self.name), self.rest)
    }
}

impl NewReference {
    pub(crate) fn add(&self, not_valid: bool) -> String {
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {} {}{}",
            self.table.quoted(),
            ident(&self.name),
            self.definition,
            if not_valid { " NOT VALID" } else { "" }
        )
    }

    pub(crate) fn validate(&self) -> String {
        format!("ALTER TABLE {} VALIDATE CONSTRAINT {}", self.table.quoted(), ident(&self.name))
    }

    /// Drops the old one and takes its name.
    pub(crate) fn replace(&self) -> String {
        let (table, old, new) = (self.table.quoted(), ident(&self.replaces), ident(&self.name));
        format!(
            "ALTER TABLE {table} DROP CONSTRAINT {old};
ALTER TABLE {table} RENAME CONSTRAINT {new} TO {old}"
        )
    }
}

/// The name of what will take the place of `name`, until it does.
pub(crate) fn beside(name: &str) -> String {
    format!("{}_cupel", named(name, 57))
}

/// The name, in so many bytes at most: a longer one ends in a digest of it.
fn named(name: &str, bytes: usize) -> String {
    if name.len() <= bytes {
        return name.to_owned();
    }
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    let digest: String = digest.as_ref().iter().take(4).map(|it| format!("{it:02x}")).collect();
    let end = (0..bytes - 9).rev().find(|end| name.is_char_boundary(*end));
    format!("{}_{digest}", name.get(..end.unwrap_or(0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_different() {
        let (one, other) = ("ä".repeat(40), format!("{}b", "ä".repeat(40)));
        let (one, other) = (beside(&one), beside(&other));
        assert!(one != other && one.len() <= 63 && other.len() <= 63, "{one} {other}");
        assert_eq!(beside("runs_pkey"), "runs_pkey_cupel");
    }
}
