//! What keys and indexes lack so that each carries the organization, and the statements that make them so.

mod compare;
mod lead;
mod references;
mod swap;

use aws_lc_rs::digest;

pub(crate) use compare::plan;
pub(crate) use swap::{Swap, UNVALIDATED};

use crate::schema::{TableName, ident};

/// What has to change in the keys of the declared tables, in the order in which it must.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Indexes to build; in use, without blocking.
    pub(crate) indexes: Vec<NewIndex>,
    /// Foreign keys to add and to check.
    pub(crate) references: Vec<NewReference>,
    /// What puts them in the place of the old.
    pub(crate) swaps: Vec<Swap>,
}

#[derive(Debug)]
pub(crate) struct NewIndex {
    /// The declared table.
    pub(crate) table: TableName,
    /// Where it is built: there, or on one of its leaves.
    pub(crate) on: TableName,
    pub(crate) name: String,
    /// What is to be said of it.
    pub(crate) what: String,
    /// After `CREATE [UNIQUE] INDEX [CONCURRENTLY] name ON table USING btree (`.
    keys: String,
    unique: bool,
    /// Its place in the index of a whole partitioned table, where it is made for one that there was not.
    pub(crate) tree: Option<Tree>,
}

/// The place of an index in that of a partitioned table.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Whether it is of a table that holds rows.
    is_leaf: bool,
    /// Whether it is made already.
    pub(crate) is_there: bool,
    /// The index that it is a part of, quoted; that of the whole table is of none.
    part_of: Option<String>,
}

#[derive(Debug)]
pub(crate) struct NewReference {
    /// The declared table.
    pub(crate) table: TableName,
    /// Where it is added: there, or on one of its leaves.
    pub(crate) on: TableName,
    to: TableName,
    /// The name of the one that it replaces.
    pub(crate) replaces: String,
    /// Its name until it takes the other's place.
    pub(crate) name: String,
    /// After `ADD CONSTRAINT name `.
    definition: String,
    /// Counts the rows that break it.
    pub(crate) violations: String,
    /// Whether it is not built beside the other, but comes with the key that it refers to.
    pub(crate) with_key: bool,
}

impl Plan {
    /// The statements for tables that nobody works with yet.
    pub(crate) fn at_once(&self) -> String {
        let indexes = self.indexes.iter().map(NewIndex::at_once);
        let references = self.references.iter().filter(|it| !it.with_key);
        let references = references.map(|it| format!("{};\n", it.add(false)));
        let swaps = self.swaps.iter().map(|it| format!("{};\n", it.at_once()));
        indexes.chain(references).chain(swaps).collect()
    }

    /// Takes out what is of tables that have rows, and returns the first of it that lets organizations tell
    /// of each other: the table, and the constraint or index in words.
    pub(crate) fn leave(
        &mut self,
        has_rows: impl Fn(&TableName) -> bool,
    ) -> Option<(TableName, String)> {
        let mut left = None;
        self.swaps.retain(|it| {
            let stays = !it.tables().any(&has_rows);
            if !stays && it.tells {
                left.get_or_insert_with(|| (it.table.clone(), it.what.clone()));
            }
            stays
        });
        self.references.retain(|it| !has_rows(&it.table) && !has_rows(&it.to));
        self.indexes.retain(|it| !has_rows(&it.table));
        left
    }
}

impl NewIndex {
    pub(crate) fn create(&self, concurrently: bool) -> String {
        let unique = if self.unique { "UNIQUE " } else { "" };
        let how = if concurrently { "CONCURRENTLY " } else { "" };
        let only = if self.holds_rows() { "" } else { "ONLY " };
        let (name, on) = (ident(&self.name), self.on.quoted());
        format!("CREATE {unique}INDEX {how}{name} ON {only}{on} USING btree ({}", self.keys)
    }

    /// Whether it is more than the sum of its parts.
    pub(crate) fn holds_rows(&self) -> bool {
        self.tree.as_ref().is_none_or(|it| it.is_leaf)
    }

    /// Makes it part of the index of what its table is a partition of.
    pub(crate) fn attach(&self) -> Option<String> {
        let whole = self.tree.as_ref()?.part_of.as_ref()?;
        let (schema, name) = (ident(&self.on.schema), ident(&self.name));
        Some(format!("ALTER INDEX {whole} ATTACH PARTITION {schema}.{name}"))
    }

    fn at_once(&self) -> String {
        let is_there = self.tree.as_ref().is_some_and(|it| it.is_there);
        let create = (!is_there).then(|| self.create(false));
        create.into_iter().chain(self.attach()).map(|it| format!("{it};\n")).collect()
    }
}

impl NewReference {
    pub(crate) fn add(&self, not_valid: bool) -> String {
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {} {}{}",
            self.on.quoted(),
            ident(&self.name),
            self.definition,
            if not_valid { " NOT VALID" } else { "" }
        )
    }

    pub(crate) fn validate(&self) -> String {
        format!("ALTER TABLE {} VALIDATE CONSTRAINT {}", self.on.quoted(), ident(&self.name))
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
