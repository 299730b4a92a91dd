use super::{NewIndex, Plan, Swap, beside, lead, references, swap};
use crate::Error;
use crate::pieces::Piece;
use crate::schema::ident;
use crate::shape::{Index, Referrer, Shape};

/// Compares the keys of every declared table with what isolation needs.
///
/// # Errors
///
/// [`Error::TableUnfit`] names the constraint that it cannot change.
pub(crate) fn plan(shapes: &[Shape]) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    let of_orgs = || shapes.iter().filter(|it| it.declared.is_of_orgs());
    for shape in of_orgs() {
        if let Some(index) = shape.indexes.iter().find(|it| it.crosses) {
            return Err(unfit(
                shape,
                format!(
                    "has {}, which compares rows of different organizations; drop it",
                    described(index)
                ),
            ));
        }
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
            let Some(to) = to.filter(|to| !references::carries(shape, to, reference)) else {
                continue;
            };
            references::compare(shape, to, reference, &mut plan)?;
        }
    }
    // A key stays for as long as something refers to it.
    plan.swaps.sort_by_key(|it| it.to.is_none());
    Ok(plan)
}

/// Whether the index tells of other organizations' rows, or does not begin with the organization.
pub(super) fn lacks(shape: &Shape, index: &Index) -> bool {
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
    if index.exclusion && index.takes_org && !shape.has_rows {
        plan.swaps.push(Swap::of_exclusion(shape, index, what));
        return Ok(());
    }
    // How an index starts that PostgreSQL writes out: pg_get_indexdef.
    let keys = index.definition.split_once(" USING btree (").map(|(_, keys)| keys);
    let Some(keys) = keys.filter(|_| !index.exclusion) else {
        let (column, by_hand) = (&shape.declared.org_column, swap::by_hand(shape, index));
        return Err(unfit(
            shape,
            format!(
                "has {what} without {column}, which the server cannot build beside it; it reads all rows under a lock, so while nobody works with the table, run: {by_hand}"
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
pub(super) fn pieces(shape: &Shape, name: &str, pieces: &[Piece]) -> Vec<Piece> {
    if shape.partitioned {
        return pieces.to_vec();
    }
    vec![Piece { table: shape.name().clone(), name: name.to_owned() }]
}

pub(super) fn unfit(shape: &Shape, problem: String) -> Error {
    Error::TableUnfit { table: shape.name().to_string(), problem }
}
