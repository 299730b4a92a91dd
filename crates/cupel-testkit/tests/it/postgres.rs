use std::error::Error;

use cupel_testkit::Postgres;
use sqlx::Connection;
use sqlx::PgConnection;

#[tokio::test]
async fn databases_are_fresh_and_passwords_are_checked() -> Result<(), Box<dyn Error>> {
    let postgres = Postgres::shared().await?;
    let (first, second) = tokio::try_join!(postgres.database(), postgres.database())?;
    assert_ne!(first, second);

    let mut connection = PgConnection::connect(&first).await?;
    sqlx::query("CREATE TABLE t ()").execute(&mut connection).await?;
    let mut other = PgConnection::connect(&second).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relname = 't'")
        .fetch_one(&mut other)
        .await?;
    assert_eq!(tables, 0);

    let wrong = first.replace(":postgres@", ":guess@");
    let refused = PgConnection::connect(&wrong).await.expect_err("the password is wrong");
    let refused = refused.as_database_error().and_then(|err| err.code().map(|it| it.to_string()));
    assert_eq!(refused.as_deref(), Some("28P01"));
    Ok(())
}

#[tokio::test]
async fn stops() -> Result<(), Box<dyn Error>> {
    let postgres = Postgres::start().await?;
    let url = postgres.url().to_owned();
    println!("{}", postgres.source());
    postgres.stop().await?;
    assert!(PgConnection::connect(&url).await.is_err());
    Ok(())
}
