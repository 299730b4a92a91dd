//! An index that begins with the organization, where a table has none.

use super::{NewIndex, Plan, Tree, named};
use crate::pieces::Partition;
use crate::schema::{TableName, ident};
use crate::shape::Shape;

/// Where no index begins with the organization, every query would read every organization's rows.
pub(super) fn of(shape: &Shape, plan: &mut Plan) {
    let org = &shape.declared.org_column;
    let leads = shape.indexes.iter().any(|it| it.valid && it.columns.first() == Some(org));
    if leads || plan.indexes.iter().any(|it| it.table == *shape.name()) {
        return;
    }
    if shape.partitioned {
        tree(shape, plan);
    } else {
        plan.indexes.push(on(shape, shape.name(), None, None));
    }
}

/// The server builds no index of a partitioned table `CONCURRENTLY`. One that is made on it alone holds nothing
/// and is not valid; it becomes so once every partition has its own and that is made part of it. Partitions that
/// come meanwhile get theirs by themselves.
fn tree(shape: &Shape, plan: &mut Plan) {
    // None can be made on a foreign table, and without it that of the whole is never valid.
    if shape.partitions.iter().any(|it| it.is_foreign) {
        return;
    }
    let mut made: Vec<(&Partition, String)> = Vec::with_capacity(shape.partitions.len());
    let mut all: Vec<(NewIndex, bool)> = Vec::with_capacity(shape.partitions.len());
    for partition in &shape.partitions {
        let whole = made.iter().find(|(it, _)| Some(&it.table) == partition.of.as_ref());
        let lead = partition.lead.as_ref();
        let is_part = match whole {
            Some((_, name)) => lead.is_some_and(|it| it.part_of.as_ref() == Some(name)),
            None => lead.is_some(),
        };
        let tree = Tree {
            is_leaf: partition.is_leaf,
            is_there: lead.is_some(),
            part_of: whole.map(|(it, name)| format!("{}.{}", ident(&it.table.schema), ident(name))),
        };
        let index = on(shape, &partition.table, lead.map(|it| it.name.clone()), Some(tree));
        made.push((partition, index.name.clone()));
        all.push((index, is_part));
    }
    // Where nothing is missing and the whole is not valid, the last that was missing is gone with its partition:
    // the server looks again as one is attached, even if it was.
    let is_whole = all.iter().all(|(_, is_part)| *is_part);
    let missing = all.into_iter().filter(|(_, is_part)| is_whole || !is_part);
    plan.indexes.extend(missing.map(|(index, _)| index));
}

/// The index of a table or partition, which may be there.
fn on(shape: &Shape, table: &TableName, there: Option<String>, tree: Option<Tree>) -> NewIndex {
    let org = &shape.declared.org_column;
    let name = there.unwrap_or_else(|| named(&format!("{}_{org}_idx", table.table), 63));
    NewIndex {
        table: shape.name().clone(),
        on: table.clone(),
        what: format!("index {name}"),
        keys: format!("{})", ident(org)),
        unique: false,
        tree,
        name,
    }
}
