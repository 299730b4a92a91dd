//! Foreign keys, so that each leads to a row of the same organization.

use super::compare::{lacks, pieces, unfit};
use super::swap::when;
use super::{NewIndex, NewReference, Plan, Swap, beside, named};
use crate::Error;
use crate::schema::ident;
use crate::shape::{Reference, Shape};

/// Whether the key leads to a row of the same organization.
pub(super) fn carries(from: &Shape, to: &Shape, reference: &Reference) -> bool {
    let mut pairs = reference.columns.iter().zip(&reference.to_columns);
    pairs.any(|(here, there)| *here == from.declared.org_column && *there == to.declared.org_column)
}

/// Plans the foreign key with the organization in it, in the place of one without.
///
/// # Errors
///
/// [`Error::TableUnfit`] names the foreign key that it cannot change.
pub(super) fn compare(
    from: &Shape,
    to: &Shape,
    reference: &Reference,
    plan: &mut Plan,
) -> Result<(), Error> {
    let (org, to_org) = (&from.declared.org_column, &to.declared.org_column);
    let refuse = |why: &str| {
        Err(unfit(
            from,
            format!("has foreign key {} without {org}, {why}; change it by hand", reference.name),
        ))
    };
    if reference.columns.contains(org) || reference.to_columns.contains(to_org) {
        return refuse("and it pairs the organization with another column");
    }
    if reference.full_match {
        return refuse("and it is MATCH FULL");
    }
    if matches!(reference.on_update.as_str(), "n" | "d") {
        return refuse("and ON UPDATE SET would empty the organization too");
    }
    let list = |first: &String, names: &[String]| {
        let all: Vec<String> = std::iter::once(first).chain(names).map(|it| ident(it)).collect();
        all.join(", ")
    };
    let columns = reference.columns.iter().map(|it| ident(it)).collect::<Vec<_>>().join(", ");
    let on_delete = match reference.on_delete.as_str() {
        "c" => " ON DELETE CASCADE".to_owned(),
        "r" => " ON DELETE RESTRICT".to_owned(),
        // The organization stays: PostgreSQL 15 names the columns that go.
        "n" => format!(" ON DELETE SET NULL ({columns})"),
        "d" => format!(" ON DELETE SET DEFAULT ({columns})"),
        _ => String::new(),
    };
    let on_update = match reference.on_update.as_str() {
        "c" => " ON UPDATE CASCADE",
        "r" => " ON UPDATE RESTRICT",
        _ => "",
    };
    let when = when(reference.deferrable, reference.deferred);
    let matching = reference.columns.iter().zip(&reference.to_columns);
    let matching: Vec<String> =
        matching.map(|(here, there)| format!("c.{} = p.{}", ident(here), ident(there))).collect();
    let matching = matching.join(" AND ");
    let definition = format!(
        "FOREIGN KEY ({}) REFERENCES {} ({}){on_delete}{on_update}{when}",
        list(org, &reference.columns),
        reference.to.quoted(),
        list(to_org, &reference.to_columns),
    );
    let both = from.partitioned && to.partitioned;
    if both && (from.has_rows || to.has_rows) {
        return Err(unfit(
            from,
            format!(
                "has foreign key {name} without {org}, and both {from} and {to} are partitioned: the server adds none between them without reading all rows under a lock; drop it, go on, and run in the end: ALTER TABLE {table} ADD CONSTRAINT {quoted} {definition}",
                name = reference.name,
                from = from.name(),
                to = reference.to,
                table = from.name().quoted(),
                quoted = ident(&reference.name),
            ),
        ));
    }
    // The key of a partitioned table is dropped and defined anew as a whole, and what refers to it with it.
    let with_key = to.partitioned && !is_referable(to, reference);
    if with_key {
        let relies = |it: &&mut Swap| it.is_relied_on(to, from, reference);
        let Some(key) = plan.swaps.iter_mut().find(relies) else {
            return refuse(&format!("and no key of {} is to be changed for it", reference.to));
        };
        key.take_along(from, reference, &definition);
    } else {
        refer_to(to, reference, plan);
        plan.swaps.push(Swap::of_reference(from, reference, &definition, !both));
    }
    if both {
        return Ok(());
    }
    for piece in pieces(from, &reference.name, &reference.pieces) {
        plan.references.push(NewReference {
            table: from.name().clone(),
            to: reference.to.clone(),
            replaces: reference.name.clone(),
            name: beside(&piece.name),
            definition: definition.clone(),
            violations: format!(
                "SELECT count(*) FROM {} c JOIN {} p ON {matching} WHERE c.{} IS DISTINCT FROM p.{}",
                piece.table.quoted(),
                reference.to.quoted(),
                ident(org),
                ident(to_org)
            ),
            on: piece.table,
            with_key,
        });
    }
    Ok(())
}

/// Whether a unique index is there that the new foreign key can refer to.
fn is_referable(to: &Shape, reference: &Reference) -> bool {
    to.indexes.iter().any(|it| it.referable && is_wanted(to, reference, &it.columns, None))
}

/// Whether the columns, and one more, are those that the new foreign key refers to.
fn is_wanted(to: &Shape, reference: &Reference, columns: &[String], more: Option<&String>) -> bool {
    let org = &to.declared.org_column;
    let mut columns: Vec<&String> = columns.iter().chain(more).collect();
    let mut wanted: Vec<&String> = std::iter::once(org).chain(&reference.to_columns).collect();
    columns.sort_unstable();
    wanted.sort_unstable();
    columns == wanted
}

/// Sees to it that there is a unique index on the columns that the new foreign key refers to.
fn refer_to(to: &Shape, reference: &Reference, plan: &mut Plan) {
    let org = &to.declared.org_column;
    let there = is_referable(to, reference)
        || to.indexes.iter().any(|it| {
            it.referable && lacks(to, it) && is_wanted(to, reference, &it.columns, Some(org))
        });
    let table = to.name();
    let name = named(&format!("{}_{org}_{}_key", table.table, reference.to_columns.join("_")), 63);
    if there || plan.indexes.iter().any(|it| it.table == *table && it.name == name) {
        return;
    }
    let columns: Vec<String> =
        std::iter::once(org).chain(&reference.to_columns).map(|it| ident(it)).collect();
    plan.indexes.push(NewIndex {
        what: format!("index {name}, for foreign key {}", reference.name),
        keys: format!("{})", columns.join(", ")),
        unique: true,
        table: table.clone(),
        on: table.clone(),
        tree: None,
        name,
    });
}
