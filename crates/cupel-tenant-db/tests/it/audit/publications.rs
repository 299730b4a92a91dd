//! Cases of publications: what goes past row security to whoever subscribes.

use cupel_tenant::Severity;
use cupel_testkit::Postgres;

use super::stage::Who::{Admin, B};
use super::stage::{CASE, Case, Outcome, Who, play_on};

/// A role that may subscribe, and that row security binds.
macro_rules! subscriber {
    ($publication:literal) => {
        concat!("{admin} ALTER ROLE {adm} NOBYPASSRLS REPLICATION; ", $publication)
    };
}

/// What the server sends to a subscriber.
const SUBSCRIBES: &[(Who, &str)] = &[
    (Admin, "SELECT pg_create_logical_replication_slot('sub_{adm}', 'pgoutput', true)::text"),
    (B, "INSERT INTO items VALUES ('b', 7, 7, 'theirs')"),
    (
        Admin,
        "SELECT encode(data, 'escape') FROM pg_logical_slot_get_binary_changes('sub_{adm}', NULL, NULL,
           'proto_version', '1', 'publication_names', 'everything')",
    ),
];

const PUBLICATION: Case = Case {
    rule: "S3",
    object: "publication everything",
    severity: Severity::Low,
    attack: SUBSCRIBES,
    fixed: false,
    ..CASE
};

pub(super) const PUBLICATIONS: &[Case] = &[
    Case {
        broken: subscriber!("CREATE PUBLICATION everything FOR TABLE items"),
        near: subscriber!(
            "CREATE TABLE plans (id int); CREATE PUBLICATION everything FOR TABLE plans"
        ),
        ..PUBLICATION
    },
    Case {
        broken: subscriber!("CREATE PUBLICATION everything FOR ALL TABLES"),
        near: subscriber!("CREATE PUBLICATION everything"),
        ..PUBLICATION
    },
    Case {
        broken: subscriber!("CREATE PUBLICATION everything FOR TABLES IN SCHEMA public"),
        near: subscriber!("CREATE SCHEMA s; CREATE PUBLICATION everything FOR TABLES IN SCHEMA s"),
        ..PUBLICATION
    },
    // A row filter holds rows back, and says nothing of whose they are.
    Case {
        broken: subscriber!(
            "CREATE PUBLICATION everything FOR TABLE items (org_id, id, note) WHERE (id > 1)"
        ),
        near: subscriber!("CREATE PUBLICATION everything FOR TABLE items WHERE (org_id = 'a')"),
        ..PUBLICATION
    },
];

#[tokio::test]
async fn audit_of_publications() -> Outcome<()> {
    // What is not on disk yet is not sent.
    let server = Postgres::configured(&["wal_level=logical", "synchronous_commit=on"]).await?;
    play_on(Some(&server), PUBLICATIONS).await?;
    server.stop().await?;
    Ok(())
}
