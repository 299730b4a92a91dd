use sqlx::{Executor, PgConnection};

use crate::pool::Session;
use crate::{Error, TenantDb};

/// A session as the application's role that acts for nobody: for the catalogs, and to see that without an
/// organization there is nothing to see. Dropped, it is closed; [`Look::done`] gives it back.
#[derive(Debug)]
pub(crate) struct Look {
    session: Session,
    behind_pooler: bool,
}

impl TenantDb {
    pub(crate) async fn look(&self) -> Result<Look, Error> {
        let mut session = self.pool().lend_tested().await?;
        let behind_pooler = self.is_behind_pooler();
        begin(session.connection(), behind_pooler).await?;
        Ok(Look { session, behind_pooler })
    }
}

impl Look {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.session.connection()
    }

    pub(crate) fn backend(&self) -> i32 {
        self.session.backend()
    }

    pub(crate) async fn done(mut self) -> Result<(), Error> {
        end(self.session.connection(), self.behind_pooler).await?;
        self.session.give_back();
        Ok(())
    }
}

/// Holds on to one backend, where a pooler would hand out another for each statement.
pub(crate) async fn begin(conn: &mut PgConnection, behind_pooler: bool) -> Result<(), Error> {
    if behind_pooler {
        conn.execute("BEGIN READ ONLY")
            .await
            .map_err(Error::statement("looking at the database"))?;
    }
    Ok(())
}

/// Lets the backend go, without the statements that were prepared on it: the next client's have the
/// same names.
pub(crate) async fn end(conn: &mut PgConnection, behind_pooler: bool) -> Result<(), Error> {
    if behind_pooler {
        conn.execute("DEALLOCATE ALL; COMMIT")
            .await
            .map_err(Error::statement("looking at the database"))?;
    }
    Ok(())
}
