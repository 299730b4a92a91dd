//! Single statements through a scope, outside a transaction.

use std::time::Instant;

use async_stream::try_stream;
use cupel_tenant::TenantScope;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{AssertSqlSafe, Describe, Either, Execute, Executor, Postgres, Row, SqlStr};

use crate::context::ORG_STATE;
use crate::error::is_disconnect;
use crate::pool::{Bound, Session};
use crate::watched::Watched;
use crate::{Error, ScopedDb, TenantDb};

/// An answer, row by row.
type Answer<'e> = BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>;

/// `&ScopedDb` is an sqlx executor for one statement at a time.
///
/// A SELECT of the usual kind takes one round trip where a session of the pool is still bound to the
/// scope by an earlier one, and two where it has to be bound; no other scope is served by it before it is
/// bound anew. Whatever could leave something in a session, and whatever writes, runs in a transaction of
/// its own. Behind a pooler everything does.
///
/// On a session that is bound, rows are handed out as they come. What runs in a transaction of its own answers once
/// that is stored, so all of its rows are held until then: read many of them in a
/// [`TenantTx`](crate::TenantTx), which holds none.
impl<'c> Executor<'c> for &'c ScopedDb {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> Answer<'e>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (query, _) = Watched::new(query);
        if self.may_be_bound(&query) {
            self.read(query)
        } else {
            stream::once(self.transact(query)).try_flatten().boxed()
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let mut answer = self.fetch_many(query);
        async move {
            let mut first = None;
            // To its end: an error may come after rows.
            while let Some(item) = answer.try_next().await? {
                if let Either::Right(row) = item {
                    first.get_or_insert(row);
                }
            }
            Ok(first)
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        async move {
            let mut tx = self.begin().await.map_err(outside)?;
            let statement = tx.prepare_with(sql, parameters).await?;
            tx.rollback().await.map_err(outside)?;
            Ok(statement)
        }
        .boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        async move {
            let mut tx = self.begin().await.map_err(outside)?;
            let description = tx.describe(sql).await?;
            tx.rollback().await.map_err(outside)?;
            Ok(description)
        }
        .boxed()
    }
}

/// What stood between the statement and the server, as the error of an executor.
fn outside(error: Error) -> sqlx::Error {
    sqlx::Error::Configuration(error.into())
}

impl ScopedDb {
    fn may_be_bound(&self, query: &Watched) -> bool {
        !self.db().is_behind_pooler() && query.only_reads()
    }

    /// Runs a statement that only reads, on a session that is bound to the scope.
    fn read<'e>(&'e self, query: Watched) -> Answer<'e> {
        try_stream! {
            let mut session = self.db().lend_bound_to(self.scope()).await.map_err(outside)?;
            let mut answer = session.connection().fetch_many(query);
            let mut failed = None;
            while let Some(item) = answer.next().await {
                match item {
                    Ok(item) => yield item,
                    Err(error) => failed = Some(error),
                }
            }
            drop(answer);
            // Heard to its end. Dropped before, the session is closed.
            match failed {
                None => session.give_back(),
                Some(error) => {
                    if !is_disconnect(&error) {
                        session.give_back();
                    }
                    Err(error)?;
                }
            }
        }
        .boxed()
    }

    /// Runs a statement in a transaction of its own, and answers once it is stored.
    async fn transact<'e>(&'e self, query: Watched) -> Result<Answer<'e>, sqlx::Error> {
        let mut tx = self.begin().await.map_err(outside)?;
        let answer: Vec<_> = tx.fetch_many(query).try_collect().await?;
        tx.commit().await.map_err(outside)?;
        Ok(stream::iter(answer.into_iter().map(Ok)).boxed())
    }
}

impl TenantDb {
    /// Lends a session that is bound to the scope, of an organization that is let in.
    async fn lend_bound_to(&self, scope: &TenantScope) -> Result<Session, Error> {
        self.column_type().check(scope)?;
        let bound = Bound::from(scope);
        let mut spare = self.pool().max();
        loop {
            let mut session = self.pool().lend_bound(&bound).await?;
            let asked = Instant::now();
            match self.bind(&mut session, &bound, scope).await {
                Err(error) if is_disconnect(&error) && spare > 0 => spare -= 1,
                Err(error) => return Err(Error::statement("binding a session")(error)),
                Ok(None) => return Ok(session),
                Ok(Some(answer)) => {
                    self.states().hear(scope.org_id(), asked, answer.as_deref())?;
                    return Ok(session);
                }
            }
        }
    }

    /// Binds the session, and asks for the state of the organization; neither where it is not needed.
    /// Returns the answer, if it asked.
    async fn bind(
        &self,
        session: &mut Session,
        bound: &Bound,
        scope: &TenantScope,
    ) -> Result<Option<Option<String>>, sqlx::Error> {
        let ask = !self.states().is_believed(scope.org_id());
        let mut statements = Vec::new();
        let binds = !session.is_bound_to(bound);
        if binds {
            // Whatever happens on the way, it is bound to nobody that we know of.
            session.set_bound(None);
            let place = self.place(session.backend());
            statements.push(self.context().bind(scope, place).map_err(outside)?);
        }
        if ask {
            statements.push(ORG_STATE.to_owned());
        }
        if statements.is_empty() {
            if session.may_be_dead() {
                sqlx::Connection::ping(session.connection()).await?;
            }
            return Ok(None);
        }
        let statements = AssertSqlSafe(statements.join("; "));
        let rows = session.connection().fetch_all(statements).await?;
        if binds {
            session.set_bound(Some((bound.clone(), self.context().binds_for())));
        }
        // The state is the last that was asked for.
        rows.last().filter(|_| ask).map(|row| row.try_get(0)).transpose()
    }
}
