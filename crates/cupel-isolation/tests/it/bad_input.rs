//! What is refused, by which rule, and with which remedy. One table, driven through the same door as a
//! service's own configuration.

use std::error::Error as StdError;

use cupel_isolation::{Config, Environment, Error, Isolation, report};

use crate::bed::{self, TestResult};

/// Connects what `text` configures; returns why it was refused.
async fn refused(text: &str) -> Result<(Error, String), Box<dyn StdError>> {
    let connected = match Config::from_toml(text) {
        Ok(config) => Isolation::connect(&config).await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(_) => Err(format!("accepted: {text}").into()),
        Err(error) => {
            let said = report::chain(&error).join(": ");
            Ok((error, said))
        }
    }
}

/// A port of this machine that nothing listens on.
fn closed_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[tokio::test]
async fn a_configuration_is_refused_by_the_rule_that_it_broke() -> TestResult {
    let directory = tempfile::tempdir()?;
    let keyring = directory.path().join("keyring");
    let keyring = keyring.display();
    let cases = [
        ("colour = 'blue'".to_owned(), "unknown field"),
        ("[cache]\nurl = 'redis://localhost'\nttl = 3".to_owned(), "unknown field"),
        ("environment = 'staging'".to_owned(), "unknown variant"),
        ("[tiers.'Gold Plan']\npods = 1".to_owned(), "invalid tier"),
        ("[cache]\nurl = 'redis://localhost'\nisolation = 'acl'".to_owned(), "not built yet"),
        (
            "[database]\nurl = 'postgres://a@localhost/d'\nseal_key = 'k1:hunter2'".to_owned(),
            "openssl rand -hex 32",
        ),
        ("[database]\nurl = 'postgres://a@db.example/d'".to_owned(), "sslmode=verify-full"),
        (format!("[keys]\nprovider = 'local-keyring'\npath = '{keyring}'"), "production"),
        ("[cache]\nurl = 'redis://cache.example:6379'".to_owned(), "rediss://"),
        ("[queues]\naddress = 'http://temporal.example:7233'".to_owned(), "use https"),
        (
            "[keys]\nprovider = 'aws-kms'\nregion = 'eu-west-1'\nendpoint = 'http://kms.example'"
                .to_owned(),
            "use https",
        ),
    ];
    for (text, rule) in cases {
        let (_, said) = refused(&text).await?;
        assert!(said.contains(rule), "{text}\nsaid: {said}");
        assert!(!said.contains("hunter2"), "{text}\nsaid: {said}");
    }
    assert!(!directory.path().join("keyring").exists(), "a refused keyring was written");
    Ok(())
}

#[tokio::test]
async fn a_missing_server_is_named() -> TestResult {
    let port = closed_port()?;
    for (layer, text) in [
        ("database", format!("[database]\nurl = 'postgres://app:pw@127.0.0.1:{port}/d'")),
        ("cache", format!("[cache]\nurl = 'redis://127.0.0.1:{port}'")),
        ("queues", format!("[queues]\naddress = 'http://127.0.0.1:{port}'")),
    ] {
        let (error, said) = refused(&text).await?;
        assert!(error.is_unreachable(), "{layer}: {said}");
        assert!(said.contains(layer), "{said}");
        assert!(!said.contains("pw@"), "the password is told: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn credentials_and_roles_are_refused_before_anything_is_written() -> TestResult {
    use secrecy::ExposeSecret;
    let config = bed::layers(&["database", "cache"]).await?;
    let database = config.database.as_ref().ok_or("configured")?;
    let app = database.url.expose_secret().to_owned();
    let superuser = database.owner_url.as_ref().ok_or("configured")?.expose_secret().to_owned();
    let admin = database.admin_url.as_ref().ok_or("configured")?.expose_secret().to_owned();
    let mut wrong: url::Url = app.parse()?;
    wrong.set_password(Some("wrong-password")).map_err(|()| "a URL with a user")?;
    let unmigrated = cupel_testkit::Postgres::shared().await?.database().await?;
    let mut empty: url::Url = app.parse()?;
    empty.set_path(unmigrated.parse::<url::Url>()?.path());

    for (what, url, rule) in [
        ("wrong password", wrong.to_string(), "password"),
        ("superuser", superuser, "superuser"),
        ("BYPASSRLS", admin, "BYPASSRLS"),
        ("no migrations", empty.to_string(), "not migrated"),
    ] {
        let (_, said) = refused(&format!("[database]\nurl = '{url}'")).await?;
        assert!(said.contains(rule), "{what}: {said}");
        assert!(!said.contains("wrong-password"), "{what}: the password is told");
    }
    Ok(())
}

#[tokio::test]
async fn development_warns_where_production_refuses() -> TestResult {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("keyring");
    let text = format!(
        "environment = 'development'\n[keys]\nprovider = 'local-keyring'\npath = '{}'",
        path.display()
    );
    let isolation = Isolation::connect(&Config::from_toml(&text)?).await?;
    assert_eq!(isolation.environment(), Environment::Development);
    assert!(path.exists());
    Ok(())
}
