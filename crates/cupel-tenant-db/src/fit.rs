//! Whether the declared tables are such that they can be isolated.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::schema::{self, Declared, TableName};
use crate::shape::Shape;
use crate::{ColumnType, Error, Table, TableKind, keys};

/// Reads every declared table. Parents come with their children: a child needs its parent declared.
///
/// # Errors
///
/// [`Error::TableUnfit`] for a table that is not there, or whose columns no statement of ours puts right.
pub(crate) async fn shapes(
    conn: &mut PgConnection,
    tables: &[Table],
    column_type: ColumnType,
) -> Result<Vec<Shape>, Error> {
    let mut shapes = Vec::with_capacity(tables.len());
    for table in tables {
        let declared = table.parsed()?;
        let name = declared.name.to_string();
        let shape = Shape::read(conn, declared, column_type)
            .await
            .map_err(Error::statement("looking at the tables"))?;
        shapes.push(shape.ok_or_else(|| Error::TableUnfit {
            table: name,
            problem: "does not exist; create it before the migration".to_owned(),
        })?);
    }
    for at in 0..shapes.len() {
        let parent = shapes.get(at).and_then(|it| it.declared.parent.as_ref());
        let org = shapes.iter().find(|it| Some(it.name()) == parent);
        let org = org.map(|it| it.declared.org_column.clone());
        if let Some(shape) = shapes.get_mut(at) {
            shape.parent_org = org;
        }
    }
    for shape in &shapes {
        if let Some(problem) = misfit(shape, column_type, &shapes) {
            return Err(Error::TableUnfit { table: shape.name().to_string(), problem });
        }
    }
    Ok(shapes)
}

/// Refuses if a view that the application reads would fail once it reads with the application's own rights.
///
/// # Errors
///
/// [`Error::TableUnfit`] names the view.
pub(crate) async fn views(
    conn: &mut PgConnection,
    shapes: &[Shape],
    app: &str,
) -> Result<(), Error> {
    let declared: Vec<&Declared> = shapes.iter().map(|it| &it.declared).collect();
    let is_there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)")
            .bind(app)
            .fetch_one(&mut *conn)
            .await
            .map_err(Error::statement("looking at the role"))?;
    if !is_there {
        return Ok(());
    }
    let lost: Option<(String, String)> =
        sqlx::query_as(AssertSqlSafe(schema::lost_views(app, &declared)))
            .fetch_optional(conn)
            .await
            .map_err(Error::statement("looking at the views"))?;
    match lost {
        None => Ok(()),
        Some((view, relation)) => Err(Error::TableUnfit {
            problem: format!(
                "is read by view {view} with its owner's rights, and the role {app} may not read it; declare it, or grant SELECT on it, or revoke the view"
            ),
            table: relation,
        }),
    }
}

fn misfit(shape: &Shape, column_type: ColumnType, all: &[Shape]) -> Option<String> {
    let Declared { kind, org_column, workspace_column, .. } = &shape.declared;
    if *kind == TableKind::Global {
        return shape.org.as_ref().map(|_| {
            format!("is declared global and has a column {org_column}; declare whose its rows are")
        });
    }
    let is_other = |column: &crate::shape::ColumnShape| {
        column.type_name != column_type.as_str() || !column.exact
    };
    match &shape.org {
        None if shape.declared.parent.is_none() => {
            return Some(format!(
                "has no column {org_column}; add it, or name the table whose rows its rows belong to"
            ));
        }
        Some(org) if is_other(org) => {
            return Some(format!(
                "has a column {org_column} of another type than the database's (text COLLATE \"C\", or uuid); change it"
            ));
        }
        _ => {}
    }
    if kind.has_workspaces() {
        match &shape.workspace {
            None => {
                return Some(format!(
                    "has no column {workspace_column}; add it, or declare the table as an org's"
                ));
            }
            Some(workspace) if is_other(workspace) => {
                return Some(format!(
                    "has a column {workspace_column} of another type than the database's; change it"
                ));
            }
            Some(workspace)
                if *kind == TableKind::Separate && !workspace.not_null && shape.has_rows =>
            {
                return Some(format!(
                    "lets {workspace_column} be NULL; write '{}' where it is, which stands for the organization itself, and make it NOT NULL",
                    schema::shared(column_type)
                ));
            }
            Some(_) => {}
        }
    }
    let parent = shape.declared.parent.as_ref()?;
    childless(shape, parent, all)
}

/// Whether the table does not belong to its parent by exactly one foreign key.
fn childless(shape: &Shape, parent: &TableName, all: &[Shape]) -> Option<String> {
    if !all.iter().any(|it| it.name() == parent && it.declared.is_of_orgs()) {
        return Some(format!("belongs to {parent}, which is not declared as an organization's"));
    }
    // One that an adoption has built beside another will take its place.
    let is_beside =
        |name: &str| shape.references.iter().any(|other| keys::beside(&other.name) == name);
    let references = shape.references.iter().filter(|it| it.to == *parent);
    let keys = references.filter(|it| !is_beside(&it.name)).count();
    (keys != 1).then(|| {
        format!(
            "belongs to {parent}, and has {keys} foreign keys to it; exactly one says to which row"
        )
    })
}
