//! The short statements that put what was built in the place of what was there.

use super::beside;
use crate::schema::{TableName, ident, literal};
use crate::shape::{Index, Reference, Referrer, Shape};

/// What puts one key, index or foreign key in its place, in one transaction.
#[derive(Debug)]
pub(crate) struct Swap {
    pub(crate) table: TableName,
    /// The table that a foreign key refers to.
    pub(super) to: Option<TableName>,
    /// The key or index that it replaces; none of a foreign key.
    index: Option<String>,
    pub(crate) what: String,
    sql: String,
    /// The foreign keys that refer to the key, and are defined anew with it.
    along: Vec<Along>,
    /// Whether the old one lets organizations tell of each other.
    pub(super) tells: bool,
}

/// A foreign key that is dropped before the key that it refers to, and comes back after it.
#[derive(Debug)]
struct Along {
    table: TableName,
    name: String,
    definition: String,
}

/// What is said of a foreign key that came with its key and whose rows are to be validated.
pub(crate) const UNVALIDATED: &str = "cupel: to be validated by the end of the adoption";

impl Swap {
    /// For an index whose keys, and what comes after them, are written so.
    pub(super) fn of_index(shape: &Shape, index: &Index, what: String, keys: &str) -> Self {
        let sql = match (shape.partitioned, &index.constraint) {
            (false, Some(_)) => {
                let (table, name) = (shape.name().quoted(), ident(&index.name));
                format!(
                    "ALTER TABLE {table} DROP CONSTRAINT {name}, {}",
                    promote(index, &index.name)
                )
            }
            (false, None) => {
                let name = format!("{}.{}", ident(&shape.name().schema), ident(&index.name));
                format!("DROP INDEX {name};\n{}", rename(shape.name(), &index.name))
            }
            (true, Some(definition)) => of_partitioned_constraint(shape, index, definition),
            (true, None) => of_partitioned_index(shape, index, keys),
        };
        Self::of_key(shape, index, what, sql)
    }

    /// For an exclusion constraint of a table without rows.
    pub(super) fn of_exclusion(shape: &Shape, index: &Index, what: String) -> Self {
        Self::of_key(shape, index, what, redefined(shape, index))
    }

    fn of_key(shape: &Shape, index: &Index, what: String, sql: String) -> Self {
        Self {
            table: shape.name().clone(),
            to: None,
            index: Some(index.name.clone()),
            what,
            sql,
            along: Vec::new(),
            tells: index.unique || index.exclusion,
        }
    }

    /// The statements for tables that nobody works with.
    pub(crate) fn at_once(&self) -> String {
        self.sql(|it| it.add(""))
    }

    /// The statements for tables in use: what takes long is left for later.
    pub(crate) fn in_use(&self) -> String {
        self.sql(|it| {
            let (table, name) = (it.table.quoted(), ident(&it.name));
            let mark = literal(UNVALIDATED);
            format!("{};\nCOMMENT ON CONSTRAINT {name} ON {table} IS {mark}", it.add(" NOT VALID"))
        })
    }

    fn sql(&self, add: impl Fn(&Along) -> String) -> String {
        let drop = self.along.iter().map(Along::drop);
        let add = self.along.iter().map(add);
        let all: Vec<String> = drop.chain([self.sql.clone()]).chain(add).collect();
        all.join(";\n")
    }

    /// Every table that it changes.
    pub(super) fn tables(&self) -> impl Iterator<Item = &TableName> {
        let along = self.along.iter().map(|it| &it.table);
        std::iter::once(&self.table).chain(&self.to).chain(along)
    }

    /// Whether it replaces the key that the foreign key relies on.
    pub(super) fn is_relied_on(&self, to: &Shape, from: &Shape, reference: &Reference) -> bool {
        let relies = |it: &Referrer| {
            it.constraint == reference.name
                && it.table == *from.name()
                && self.index.as_ref() == Some(&it.index)
        };
        self.table == *to.name() && to.referrers.iter().any(relies)
    }

    /// Has the foreign key defined so once the key is replaced.
    pub(super) fn take_along(&mut self, from: &Shape, reference: &Reference, definition: &str) {
        self.along.push(Along {
            table: from.name().clone(),
            name: reference.name.clone(),
            definition: definition.to_owned(),
        });
    }

    /// What has changed once it is done.
    pub(crate) fn done(&self) -> String {
        let along = |it: &Along| format!(", and foreign key {} of {}", it.name, it.table);
        let along: String = self.along.iter().map(along).collect();
        format!("{} of {}{along} carries the organization", self.what, self.table)
    }

    /// Whether it is of a key or index of the table, and of no foreign key.
    pub(crate) fn is_index_of(&self, table: &TableName) -> bool {
        self.to.is_none() && self.table == *table
    }

    /// For a foreign key that is to be defined so, and that may have been built beside.
    pub(super) fn of_reference(
        from: &Shape,
        reference: &Reference,
        definition: &str,
        is_built: bool,
    ) -> Self {
        let (table, old) = (from.name().quoted(), ident(&reference.name));
        let mut sql = format!("ALTER TABLE {table} DROP CONSTRAINT {old}");
        let renamed = |table: &TableName, name: &str| {
            format!(
                ";\nALTER TABLE {} RENAME CONSTRAINT {} TO {}",
                table.quoted(),
                ident(&beside(name)),
                ident(name)
            )
        };
        if from.partitioned {
            // Found on every leaf and valid, none is checked again.
            let pieces = reference.pieces.iter().filter(|_| is_built);
            sql.extend(pieces.map(|it| renamed(&it.table, &it.name)));
            sql += &format!(";\nALTER TABLE {table} ADD CONSTRAINT {old} {definition}");
        } else {
            sql += &renamed(from.name(), &reference.name);
        }
        Self {
            table: from.name().clone(),
            to: Some(reference.to.clone()),
            index: None,
            what: format!("foreign key {}", reference.name),
            sql,
            along: Vec::new(),
            tells: true,
        }
    }
}

impl Along {
    fn drop(&self) -> String {
        format!("ALTER TABLE {} DROP CONSTRAINT {}", self.table.quoted(), ident(&self.name))
    }

    fn add(&self, end: &str) -> String {
        let (table, name) = (self.table.quoted(), ident(&self.name));
        format!("ALTER TABLE {table} ADD CONSTRAINT {name} {}{end}", self.definition)
    }
}

/// A partitioned table takes no index as its constraint. One that is made by its definition takes over what fits
/// on the leaves, where that stands on a constraint as well, and builds nothing.
fn of_partitioned_constraint(shape: &Shape, index: &Index, definition: &str) -> String {
    let (table, name) = (shape.name().quoted(), ident(&index.name));
    let mut sql = format!("ALTER TABLE {table} DROP CONSTRAINT {name};\n");
    for piece in &index.pieces {
        sql += &format!("ALTER TABLE {} {};\n", piece.table.quoted(), promote(index, &piece.name));
    }
    sql + &format!(
        "ALTER TABLE {table} ADD CONSTRAINT {name} {}",
        carrying(shape, index, definition)
    )
}

/// The definition of a constraint, with the organization before its columns.
fn carrying(shape: &Shape, index: &Index, definition: &str) -> String {
    let with = if index.exclusion { " WITH =" } else { "" };
    definition.replacen('(', &format!("({}{with}, ", ident(&shape.declared.org_column)), 1)
}

/// What makes a constraint carry the organization that cannot be built beside the old one.
pub(super) fn by_hand(shape: &Shape, index: &Index) -> String {
    let sql = redefined(shape, index);
    // It has the operator classes for the types of columns that organizations have.
    let extension = "CREATE EXTENSION IF NOT EXISTS btree_gist; ";
    match index.method.as_str() {
        // These take one column.
        "hash" => sql.replacen("USING hash", "USING btree", 1),
        "spgist" => format!("{extension}{}", sql.replacen("USING spgist", "USING gist", 1)),
        "gist" if !index.takes_org => format!("{extension}{sql}"),
        _ => sql,
    }
}

fn redefined(shape: &Shape, index: &Index) -> String {
    let (table, name) = (shape.name().quoted(), ident(&index.name));
    let definition = carrying(shape, index, index.constraint.as_deref().unwrap_or_default());
    format!("ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition}")
}

fn of_partitioned_index(shape: &Shape, index: &Index, keys: &str) -> String {
    let (table, name) = (shape.name(), ident(&index.name));
    let mut sql = format!("DROP INDEX {}.{name};\n", ident(&table.schema));
    for piece in &index.pieces {
        sql += &format!("{};\n", rename(&piece.table, &piece.name));
    }
    let unique = if index.unique { "UNIQUE " } else { "" };
    sql + &format!("CREATE {unique}INDEX {name} ON {} USING btree ({keys}", table.quoted())
}

/// After `ALTER TABLE …`: makes what was built beside `name` the constraint of that name.
fn promote(index: &Index, name: &str) -> String {
    let kind = if index.primary { "PRIMARY KEY" } else { "UNIQUE" };
    let when = when(index.deferrable, index.deferred);
    format!("ADD CONSTRAINT {} {kind} USING INDEX {}{when}", ident(name), ident(&beside(name)))
}

fn rename(table: &TableName, name: &str) -> String {
    format!(
        "ALTER INDEX {}.{} RENAME TO {}",
        ident(&table.schema),
        ident(&beside(name)),
        ident(name)
    )
}

/// When a constraint is checked, as the end of its definition.
pub(super) fn when(deferrable: bool, deferred: bool) -> &'static str {
    match (deferrable, deferred) {
        (false, _) => "",
        (true, false) => " DEFERRABLE",
        (true, true) => " DEFERRABLE INITIALLY DEFERRED",
    }
}
