//! Bringing isolation to tables that are in use.

mod keys;
mod rows;
mod status;
mod steps;

use std::fmt;
use std::sync::Arc;

use cupel_tenant::Changes;
pub use status::{Adopted, Phase, Violations};
use steps::Steps;

use crate::keys::Swap;
use crate::schema;
use crate::shape::Shape;
use crate::work::Work;
use crate::{Error, Migration, apply};

/// Isolation for tables that have rows, while a service works with them.
///
/// It goes in phases. In the *shadow*, the condition that will be enforced is asked of every statement,
/// whichever role it comes from, and where it does not hold that is counted and logged: nobody is blocked.
/// [`status`](Self::status) tells the counts. [`validate`](Self::validate) brings the keys, references and
/// indexes that carry the organization, beside those that there are. [`enforce`](Self::enforce) puts them in
/// their place and the policies in force, once nothing is counted any more.
///
/// What takes long takes locks that nobody waits for: indexes are built `CONCURRENTLY`, constraints are added
/// `NOT VALID` and validated. What takes a strong lock is short, waits for it for half of the server's
/// `deadlock_timeout`, two seconds at the most, and tries again. Stopped or failed at any point, it goes on from there when it is run again. While one phase runs,
/// no other phase and no migration of the database does: [`Migration::LOCK`].
///
/// From the enforcement on, keys begin with the organization: `ON CONFLICT (id)` becomes
/// `ON CONFLICT (org_id, id)`. Until then, services connect with
/// [`allow_critical_findings`](crate::TenantDbBuilder::allow_critical_findings).
///
/// # What is counted
///
/// A statement is counted once for each table whose rows it looked at, or wrote, while it named no
/// organization or another one. A query that asks for one organization by a condition of its own is not
/// counted for what that leaves out. In tables with workspaces, one that names the row's organization is counted too
/// if it is outside what its workspace may read or write: an UPDATE that finds such a row and leaves one behind,
/// once for each. One that a plan has read all rows for, to join them, is: it counts
/// rather too much than too little, and the server's log shows the statement.
///
/// # Examples
///
/// ```no_run
/// use cupel_tenant_db::{Adoption, Migration, Table};
///
/// # async fn example() -> Result<(), cupel_tenant_db::Error> {
/// let migration = Migration::new("postgres://postgres:…@localhost/shop")
///     .app_url("postgres://shop_app:…@localhost/shop")
///     .tables([Table::org("orders"), Table::org("order_lines").child_of("orders")]);
/// let adoption = Adoption::of(migration).on_step(|step| println!("{step}"));
/// adoption.shadow().await?;
/// // … once a corrected service is everywhere
/// adoption.validate().await?;
/// adoption.forget().await?;
/// // … some days later
/// for table in adoption.status().await? {
///     println!("{}: {} violations", table.table, table.violations.total());
/// }
/// adoption.enforce().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "an adoption does nothing until one of its phases is run"]
pub struct Adoption {
    migration: Migration,
    tell: Arc<dyn Fn(&AdoptionStep) + Send + Sync>,
    despite_violations: bool,
}

/// What an adoption is at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdoptionStep {
    /// The table, with its schema.
    pub table: String,
    /// What is being done to it.
    pub action: String,
    /// How many rows are done, and of how many, where it goes by rows.
    pub rows: Option<(u64, u64)>,
}

impl fmt::Display for AdoptionStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.action)?;
        match self.rows {
            Some((done, all)) => write!(f, ", {done} of {all} rows"),
            None => Ok(()),
        }
    }
}

impl Adoption {
    /// The adoption of what a migration declares. Tables that are isolated already stay as they are.
    pub fn of(migration: Migration) -> Self {
        Self { migration, tell: Arc::new(|_| {}), despite_violations: false }
    }

    /// Has every step told as it begins.
    pub fn on_step(self, tell: impl Fn(&AdoptionStep) + Send + Sync + 'static) -> Self {
        Self { tell: Arc::new(tell), ..self }
    }

    /// Says whether to enforce although violations were counted: the statements will then see no rows, or
    /// be refused.
    pub fn despite_violations(self, despite_violations: bool) -> Self {
        Self { despite_violations, ..self }
    }

    /// Begins to count what enforcement would block, in every declared table that is not isolated yet.
    /// Returns what changed.
    ///
    /// A child without a column for the organization gets it now, empty, and until [`validate`](Self::validate)
    /// has filled it whoever looks at its rows is counted.
    ///
    /// # Errors
    ///
    /// As [`Migration::run`]; [`Error::TableInUse`] if a table is locked all the time.
    pub async fn shadow(&self) -> Result<Changes, Error> {
        let mut opened = self.migration.open().await?;
        opened.make_roles().await?;
        apply::objects(&mut opened, &self.migration, None).await?;
        let (app, admin) = (opened.app().to_owned(), opened.admin().map(str::to_owned));
        let shapes = std::mem::take(&mut opened.shapes);
        let mut steps = self.steps(&mut opened.conn).await?;
        steps.short(&schema::shadows()).await?;
        let mut changes = Vec::new();
        for shape in shapes.iter().filter(|it| is_to_adopt(it) && !it.in_shadow) {
            steps.tell(shape, "beginning its shadow");
            let column = match &shape.org {
                Some(_) => String::new(),
                None => format!(
                    "ALTER TABLE {} ADD COLUMN {column} {kind};
ALTER TABLE {0} ALTER COLUMN {column} SET DEFAULT cupel_shadow.org_id()::{plain};\n",
                    shape.name().quoted(),
                    column = schema::ident(&shape.declared.org_column),
                    kind = schema::column_of(self.migration.type_of_columns()),
                    plain = self.migration.type_of_columns().as_str(),
                ),
            };
            let shadow =
                schema::cast_shadow(&shape.declared, shape.row_security, &app, admin.as_deref());
            steps.short(&format!("{column}{shadow}")).await?;
            changes.push(format!("{} is in its shadow", shape.name()));
        }
        changes.into_iter().for_each(|change| opened.changes.push(change));
        Ok(opened.close().await)
    }

    /// Tells how far each declared table is, and what was counted, also while a phase is running.
    ///
    /// # Errors
    ///
    /// As [`Migration::run`]. Nothing is written.
    pub async fn status(&self) -> Result<Vec<Adopted>, Error> {
        let mut opened = self.migration.open_to_read().await?;
        let status = status::read(&mut opened).await;
        opened.close().await;
        status
    }

    /// Counts anew from now on, for instance once a new version of the service is everywhere.
    ///
    /// # Errors
    ///
    /// As [`Migration::run`].
    pub async fn forget(&self) -> Result<Changes, Error> {
        let mut opened = self.migration.open().await?;
        let shapes = std::mem::take(&mut opened.shapes);
        let mut steps = self.steps(&mut opened.conn).await?;
        let mut changes = Vec::new();
        for shape in shapes.iter().filter(|it| it.in_shadow) {
            steps.short(&schema::forget(shape.name())).await?;
            changes.push(format!("counting anew for {}", shape.name()));
        }
        changes.into_iter().for_each(|change| opened.changes.push(change));
        Ok(opened.close().await)
    }

    /// Fills the columns of children, and brings the keys, references and indexes that carry the
    /// organization, beside those that there are. Nobody who writes rows that belong to their parents'
    /// organization is blocked. From then on a child's rows have an organization, so a service that writes some
    /// without is to be corrected first.
    ///
    /// # Errors
    ///
    /// As [`Migration::run`]; [`Error::TableUnfit`] names the rows, or the constraint, that the data breaks.
    pub async fn validate(&self) -> Result<Changes, Error> {
        let mut opened = self.migration.open().await?;
        self.bring(&mut opened).await?;
        Ok(opened.close().await)
    }

    /// Validates, and then isolates one table after the other.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate); [`Error::StillViolated`] if violations were counted.
    pub async fn enforce(&self) -> Result<Changes, Error> {
        let mut opened = self.migration.open().await?;
        if !self.despite_violations {
            status::refuse_violations(&mut opened).await?;
        }
        self.bring(&mut opened).await?;
        let (app, admin) = (opened.app().to_owned(), opened.admin().map(str::to_owned));
        let shapes = std::mem::take(&mut opened.shapes);
        let plan = crate::keys::plan(&shapes)?;
        let mut steps = self.steps(&mut opened.conn).await?;
        let in_shadow = || shapes.iter().filter(|it| it.in_shadow);
        let mut changes = Vec::new();
        for swap in plan.swaps.iter().filter(|it| !in_shadow().any(|of| it.is_index_of(of.name())))
        {
            changes.push(steps.swap(swap).await?);
        }
        for shape in in_shadow() {
            let keys: Vec<&Swap> =
                plan.swaps.iter().filter(|it| it.is_index_of(shape.name())).collect();
            steps.enforce(shape, &app, admin.as_deref(), &keys).await?;
            changes.extend(keys.iter().map(|it| it.done()));
            changes.push(format!("isolated {}", shape.name()));
        }
        steps.short(schema::SHADOWLESS).await?;
        changes.into_iter().for_each(|change| opened.changes.push(change));
        // The rest: what stands around the tables, and what PUBLIC has.
        opened.reread(&self.migration).await?;
        let mut steps = Steps::new(&mut opened.conn, &*self.tell).await?;
        let finished = steps.finish(&opened.shapes).await?;
        finished.into_iter().for_each(|change| opened.changes.push(change));
        let work = Work::of(&opened.shapes, self.migration.type_of_columns())?;
        apply::objects(&mut opened, &self.migration, Some(&work)).await?;
        Ok(opened.close().await)
    }

    /// What [`validate`](Self::validate) does, on a connection that is open.
    async fn bring(&self, opened: &mut crate::migration::Opened) -> Result<(), Error> {
        let mut shapes = std::mem::take(&mut opened.shapes);
        let mut steps = self.steps(&mut opened.conn).await?;
        let mut changes = steps.columns(&shapes).await?;
        opened.reread(&self.migration).await?;
        shapes = std::mem::take(&mut opened.shapes);
        let plan = crate::keys::plan(&shapes)?;
        let mut steps = self.steps(&mut opened.conn).await?;
        changes.extend(steps.build(&plan).await?);
        changes.extend(steps.finish(&shapes).await?);
        opened.shapes = shapes;
        changes.into_iter().for_each(|change| opened.changes.push(change));
        Ok(())
    }

    async fn steps<'a>(&'a self, conn: &'a mut sqlx::PgConnection) -> Result<Steps<'a>, Error> {
        Steps::new(conn, &*self.tell).await
    }
}

/// Whether the table is still to be isolated.
fn is_to_adopt(shape: &Shape) -> bool {
    shape.declared.is_of_orgs() && !shape.enforced
}

impl fmt::Debug for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adoption").field("migration", &self.migration).finish_non_exhaustive()
    }
}
