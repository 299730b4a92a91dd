//! Exclusion constraints without the organization: each tells an organization what another has.

use std::error::Error as StdError;

use cupel_tenant_db::{Adoption, ColumnType, Error, Migration, Table, TenantDb};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::bed::{TestResult, as_role, empty, scope, sql};

/// A constraint that asks for btree_gist itself, one that does not, and one of another access method.
const CONSTRAINTS: [&str; 3] = [
    "EXCLUDE USING gist (room WITH =, during WITH &&) WHERE (room > 0) DEFERRABLE",
    "EXCLUDE USING gist (during WITH &&)",
    "EXCLUDE (room WITH =)",
];

struct Bookings {
    owner: String,
    app: String,
    column_type: ColumnType,
    constraint: &'static str,
}

impl Bookings {
    /// An empty table with the constraint, and with btree_gist if that is wanted.
    async fn with(
        constraint: &'static str,
        column_type: ColumnType,
        app: &str,
    ) -> Result<Self, Box<dyn StdError>> {
        let owner = empty().await?;
        let mut conn = PgConnection::connect(&owner).await?;
        if constraint.contains("gist (room") {
            conn.execute("CREATE EXTENSION btree_gist").await?;
        }
        let kind = match column_type {
            ColumnType::Uuid => "uuid",
            _ => "text COLLATE \"C\"",
        };
        let table = format!(
            "CREATE TABLE bookings (org_id {kind} NOT NULL, id int, room int, during int4range,
               PRIMARY KEY (org_id, id), CONSTRAINT alone {constraint})"
        );
        conn.execute(AssertSqlSafe(table)).await?;
        conn.close().await?;
        Ok(Self { app: as_role(&owner, app)?, owner, column_type, constraint })
    }

    fn migration(&self) -> Migration {
        Migration::new(&self.owner)
            .app_url(&self.app)
            .column_type(self.column_type)
            .tables([Table::org("bookings")])
    }

    /// What the second organization is told when it books what the first has booked, and when it books twice.
    async fn told(&self) -> Result<[Option<String>; 2], Box<dyn StdError>> {
        let orgs = match self.column_type {
            ColumnType::Uuid => [1, 2].map(|n| format!("0192d4c6-5b1a-7c3e-9f00-00000000000{n}")),
            _ => ["acme", "globex"].map(str::to_owned),
        };
        let db = TenantDb::builder(&self.app).allow_critical_findings(true).connect().await?;
        let mut answers = Vec::new();
        for (org, id) in [(&orgs[0], 1), (&orgs[1], 2), (&orgs[1], 3)] {
            let mut tx = db.begin(&scope(org)).await?;
            let booked =
                sqlx::query("INSERT INTO bookings SELECT cupel.current_org_id(), $1, 7, '[1,5)'")
                    .bind(id)
                    .execute(&mut tx)
                    .await;
            let code = |error: &sqlx::Error| Some(error.as_database_error()?.code()?.into_owned());
            answers.push(booked.as_ref().err().and_then(code));
            match booked {
                Ok(_) => tx.commit().await?,
                Err(_) => tx.rollback().await?,
            }
        }
        sql(&self.owner, "DELETE FROM bookings").await?;
        let [None, foreign, own] = &answers[..] else { return Err(format!("{answers:?}").into()) };
        Ok([foreign.clone(), own.clone()])
    }

    async fn definition(&self) -> Result<String, Box<dyn StdError>> {
        let mut owner = PgConnection::connect(&self.owner).await?;
        let text = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'alone'";
        Ok(sqlx::query_scalar(text).fetch_one(&mut owner).await?)
    }
}

/// exclusion_violation: PostgreSQL documentation, appendix A.
const TAKEN: &str = "23P01";

#[tokio::test]
async fn a_constraint_of_a_table_without_rows_is_rebuilt_and_tells_nothing_any_more() -> TestResult
{
    for column_type in [ColumnType::Text, ColumnType::Uuid] {
        for constraint in CONSTRAINTS {
            let bookings = Bookings::with(constraint, column_type, "rebuilt_app").await?;
            // The control: with row security and without the organization in the constraint, it tells.
            let plain = bookings.definition().await?;
            if !constraint.contains("(during") {
                bookings.migration().run().await?;
            } else {
                let refused = bookings.migration().run().await;
                assert!(matches!(&refused, Err(Error::TableUnfit { .. })), "{refused:?}");
                sql(&bookings.owner, "CREATE EXTENSION btree_gist").await?;
                bookings.migration().run().await?;
            }
            let rebuilt = bookings.definition().await?;
            assert_eq!(rebuilt, plain.replacen('(', "(org_id WITH =, ", 1));
            assert!(bookings.migration().run().await?.is_empty(), "a second run changes nothing");
            let taken = Some(TAKEN.to_owned());
            assert_eq!(bookings.told().await?, [None, taken.clone()], "{constraint}");
            let old =
                format!("ALTER TABLE bookings DROP CONSTRAINT alone, ADD CONSTRAINT alone {plain}");
            sql(&bookings.owner, old.leak()).await?;
            assert_eq!(
                bookings.told().await?,
                [taken.clone(), taken],
                "the oracle of {constraint}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_constraint_of_a_table_with_rows_is_named_with_what_to_run() -> TestResult {
    for constraint in CONSTRAINTS {
        let bookings = Bookings::with(constraint, ColumnType::Text, "by_hand_app").await?;
        sql(&bookings.owner, "INSERT INTO bookings VALUES ('acme', 1, 1, '[1,5)')").await?;
        let adoption = Adoption::of(bookings.migration());
        adoption.shadow().await?;
        let before = bookings.definition().await?;
        let mut by_hand = String::new();
        for refused in
            [adoption.validate().await, adoption.enforce().await, bookings.migration().run().await]
        {
            let Err(Error::TableUnfit { table, problem }) = &refused else {
                return Err(format!("{}: {refused:?}", bookings.constraint).into());
            };
            let (why, sql) = problem.split_once("run: ").ok_or("no statement")?;
            assert_eq!(table, "public.bookings");
            assert!(why.starts_with("has constraint alone without org_id"), "{why}");
            by_hand = sql.to_owned();
        }
        assert_eq!(bookings.definition().await?, before, "it was left alone");
        assert_eq!(
            by_hand.contains("CREATE EXTENSION"),
            constraint.contains("(during"),
            "{by_hand}"
        );
        let taken = Some(TAKEN.to_owned());
        sql(&bookings.owner, "DELETE FROM bookings").await?;
        assert_eq!(bookings.told().await?, [taken.clone(), taken.clone()], "the oracle");
        sql(&bookings.owner, by_hand.leak()).await?;
        sql(&bookings.owner, "INSERT INTO bookings VALUES ('acme', 1, 1, '[1,5)')").await?;
        adoption.enforce().await?;
        sql(&bookings.owner, "DELETE FROM bookings").await?;
        assert_eq!(bookings.told().await?, [None, taken], "{constraint}");
    }
    Ok(())
}

#[tokio::test]
async fn a_constraint_by_an_access_method_of_one_column_is_named_with_another() -> TestResult {
    for constraint in ["EXCLUDE USING hash (room WITH =)", "EXCLUDE USING spgist (during WITH &&)"]
    {
        let bookings = Bookings::with(constraint, ColumnType::Uuid, "one_column_app").await?;
        let refused = bookings.migration().run().await;
        let Err(Error::TableUnfit { problem, .. }) = &refused else {
            return Err(format!("{constraint}: {refused:?}").into());
        };
        let (_, by_hand) = problem.split_once("run: ").ok_or("no statement")?;
        sql(&bookings.owner, by_hand.to_owned().leak()).await?;
        bookings.migration().run().await?;
        assert_eq!(bookings.told().await?, [None, Some(TAKEN.to_owned())], "{constraint}");
    }
    Ok(())
}
