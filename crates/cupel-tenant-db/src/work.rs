//! What a migration has to do, from what the tables are.

use crate::schema::{self, Declared, TableName};
use crate::shape::Shape;
use crate::{ColumnType, Error, TableKind, keys};

/// What of the declared tables is to be done.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// What gives them the columns and keys that they lack.
    pub(crate) prepare: String,
    /// Those that are to be isolated.
    pub(crate) tables: Vec<Declared>,
    /// Those that are not yet, because an adoption has begun.
    pub(crate) in_shadow: Vec<Declared>,
}

impl Work {
    /// What a migration is to do to tables of these shapes.
    ///
    /// # Errors
    ///
    /// [`Error::TableUnfit`], and [`Error::NeedsAdoption`] for a table with rows.
    pub(crate) fn of(shapes: &[Shape], column_type: ColumnType) -> Result<Self, Error> {
        let mut work = Self::default();
        let shape = |name: &TableName| shapes.iter().find(|it| it.name() == name);
        let in_shadow = |name: &TableName| shape(name).is_some_and(|it| it.in_shadow);
        for shape in shapes.iter().filter(|it| it.declared.is_of_orgs() && !it.in_shadow) {
            work.prepare += &column(shape, column_type)?;
            work.prepare += &workspace_column(shape);
        }
        let mut plan = keys::plan(shapes)?;
        plan.leave(in_shadow);
        if let Some((table, constraint)) =
            plan.leave(|name| shape(name).is_some_and(|it| it.has_rows))
        {
            let column = shape(&table).map(|it| it.declared.org_column.clone()).unwrap_or_default();
            return Err(Error::NeedsAdoption { table: table.to_string(), constraint, column });
        }
        work.prepare += &plan.at_once();
        for shape in shapes {
            let list = if shape.in_shadow { &mut work.in_shadow } else { &mut work.tables };
            list.push(shape.declared.clone());
        }
        Ok(work)
    }
}

/// What the column of the workspace lacks, in a table without rows.
fn workspace_column(shape: &Shape) -> String {
    let is_nullable = shape.workspace.as_ref().is_some_and(|it| !it.not_null);
    if shape.declared.kind != TableKind::Separate || !is_nullable {
        return String::new();
    }
    let column = schema::ident(&shape.declared.workspace_column);
    format!(
        "ALTER TABLE {} ALTER COLUMN {column} SET DEFAULT cupel.shared_workspace(),
  ALTER COLUMN {column} SET NOT NULL;\n",
        shape.name().quoted()
    )
}

/// What the column of the organization lacks, in a table without rows.
fn column(shape: &Shape, column_type: ColumnType) -> Result<String, Error> {
    let (table, column) = (shape.name().quoted(), &shape.declared.org_column);
    let quoted = schema::ident(column);
    let unfit = |problem| Err(Error::TableUnfit { table: shape.name().to_string(), problem });
    match &shape.org {
        None if shape.has_rows => unfit(format!(
            "has no column {column}; `cupel adopt` adds it and fills it from its parent"
        )),
        None => Ok(format!(
            "ALTER TABLE {table} ADD COLUMN {quoted} {} NOT NULL DEFAULT cupel.current_org_id();\n",
            schema::column_of(column_type)
        )),
        Some(org) if org.not_null => Ok(String::new()),
        Some(_) if shape.has_rows => {
            unfit(format!("lets {column} be NULL; make it NOT NULL, or have `cupel adopt` do so"))
        }
        Some(_) => Ok(format!("ALTER TABLE {table} ALTER COLUMN {quoted} SET NOT NULL;\n")),
    }
}
