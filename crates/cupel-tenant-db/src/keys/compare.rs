use super::swap::{self, when};
use super::{NewIndex, NewReference, Plan, Swap, beside, lead, named};
use crate::Error;
use crate::pieces::Piece;
use crate::schema::ident;
use crate::shape::{Index, Reference, Referrer, Shape};

/// Compares the keys of every declared table with what isolation needs.
///
/// # Errors
///
/// [`Error::TableUnfit`] names the constraint that it cannot change.
pub(crate) fn plan(shapes: &[Shape]) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let of_orgs = || shapes.iter().filter(|it| it.declared.is_of_orgs());
    for shape in of_orgs() {
        for index in shape.indexes.iter().filter(|it| it.valid && lacks(shape, it)) {
            let others = |it: &&Referrer| {
                it.index == index.name && !of_orgs().any(|shape| *shape.name() == it.table)
            };
            if let Some(Referrer { constraint, table, .. }) = shape.referrers.iter().find(others) {
                let what = described(index);
                return Err(unfit(
                    shape,
                    format!(
                        "has {what}, and foreign key {constraint} of {table} refers to it; declare {table} as an organization's, or drop the foreign key"
                    ),
                ));
            }
            index_of(shape, index, &mut plan)?;
        }
        lead::of(shape, &mut plan);
    }
    for shape in of_orgs() {
        for reference in &shape.references {
            let to = of_orgs().find(|it| *it.name() == reference.to);
            let Some(to) = to.filter(|to| !carries(shape, to, reference)) else { continue };
            reference_of(shape, to, reference, &mut plan)?;
        }
    }
    // A key stays for as long as something refers to it.
    plan.swaps.sort_by_key(|it| it.to.is_none());
    Ok(plan)
}

/// Whether the index tells of other organizations' rows, or does not begin with the organization.
fn lacks(shape: &Shape, index: &Index) -> bool {
    let org = &shape.declared.org_column;
    if index.unique || index.exclusion {
        !index.columns.contains(org)
    } else {
        index.method == "btree" && index.columns.first() != Some(org)
    }
}

fn described(index: &Index) -> String {
    let what = match (index.primary, index.constraint.is_some()) {
        (true, _) => "primary key",
        (false, true) => "constraint",
        (false, false) => "index",
    };
    format!("{what} {}", index.name)
}

fn index_of(shape: &Shape, index: &Index, plan: &mut Plan) -> Result<(), Error> {
    let what = described(index);
    // How an index starts that PostgreSQL writes out: pg_get_indexdef.
    let keys = index.definition.split_once(" USING btree (").map(|(_, keys)| keys);
    let Some(keys) = keys.filter(|_| !index.exclusion) else {
        let (column, by_hand) = (&shape.declared.org_column, swap::by_hand(shape, index));
        return Err(unfit(
            shape,
            format!(
                "has {what} without {column}, which the server cannot build beside it; while nobody works with the table, run: {by_hand}"
            ),
        ));
    };
    let keys = format!("{}, {keys}", ident(&shape.declared.org_column));
    for piece in pieces(shape, &index.name, &index.pieces) {
        plan.indexes.push(NewIndex {
            table: shape.name().clone(),
            name: beside(&piece.name),
            what: what.clone(),
            keys: keys.clone(),
            unique: index.unique,
            on: piece.table,
            tree: None,
        });
    }
    plan.swaps.push(Swap::of_index(shape, index, what, &keys));
    Ok(())
}

/// Where something of a table is built: on the table, or on the leaves of one that is partitioned.
fn pieces(shape: &Shape, name: &str, pieces: &[Piece]) -> Vec<Piece> {
    if shape.partitioned {
        return pieces.to_vec();
    }
    vec![Piece { table: shape.name().clone(), name: name.to_owned() }]
}

/// Whether the key leads to a row of the same organization.
fn carries(from: &Shape, to: &Shape, reference: &Reference) -> bool {
    let mut pairs = reference.columns.iter().zip(&reference.to_columns);
    pairs.any(|(here, there)| *here == from.declared.org_column && *there == to.declared.org_column)
}

fn reference_of(
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
    if to.partitioned {
        return refuse(&format!(
            "and {} is partitioned: its key cannot be changed while something refers to it",
            reference.to
        ));
    }
    let list = |first: &String, names: &[String]| {
        let all: Vec<String> = std::iter::once(first).chain(names).map(|it| ident(it)).collect();
        all.join(", ")
    };
    refer_to(to, reference, plan);
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
        });
    }
    plan.swaps.push(Swap::of_reference(from, reference, &definition));
    Ok(())
}

/// Sees to it that there is a unique index on the columns that the new foreign key refers to.
fn refer_to(to: &Shape, reference: &Reference, plan: &mut Plan) {
    let org = &to.declared.org_column;
    let mut wanted: Vec<&String> = std::iter::once(org).chain(&reference.to_columns).collect();
    wanted.sort_unstable();
    let is_wanted = |columns: &[String], more: Option<&String>| {
        let mut all: Vec<&String> = columns.iter().chain(more).collect();
        all.sort_unstable();
        all == wanted
    };
    let there = to.indexes.iter().any(|it| {
        it.referable
            && (is_wanted(&it.columns, None) || lacks(to, it) && is_wanted(&it.columns, Some(org)))
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

fn unfit(shape: &Shape, problem: String) -> Error {
    Error::TableUnfit { table: shape.name().to_string(), problem }
}
