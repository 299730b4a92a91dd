//! Cases of what runs, or is sent, without the application calling it by its name.

use std::time::Duration;

use cupel_tenant::Severity;
use sqlx::postgres::PgListener;

use super::stage::Who::{A, B};
use super::stage::{CASE, Case, Outcome, Stage, play, run};
use crate::bed::as_role;

/// What a trigger sends of each row.
const SENDS: &str = "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_notify('items', {payload}); RETURN NULL; END $$;
    CREATE TRIGGER tell AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION tell()";

pub(super) const INDIRECT: &[Case] = &[
    // Whether an aggregate may call its function is a question of who owns the aggregate.
    Case {
        rule: "F1",
        object: "public.add(text, integer)",
        broken: "CREATE FUNCTION add(text, int) RETURNS text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE sql AS 'SELECT string_agg(note, '','') FROM public.items';
            CREATE AGGREGATE total(int) (SFUNC = add, STYPE = text); REVOKE EXECUTE ON FUNCTION add FROM PUBLIC",
        near: "CREATE FUNCTION add(text, int) RETURNS text SECURITY DEFINER SET search_path = pg_catalog, pg_temp
              LANGUAGE sql AS 'SELECT string_agg(note, '','') FROM public.items';
            CREATE AGGREGATE total(int) (SFUNC = add, STYPE = text); REVOKE EXECUTE ON FUNCTION add FROM PUBLIC;
            ALTER AGGREGATE total(int) OWNER TO {own}",
        attack: &[(A, "SELECT total(1)")],
        ..CASE
    },
    Case {
        rule: "S10",
        object: "public.items.tell",
        severity: Severity::Medium,
        broken: "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN PERFORM pg_notify('items', NEW.note); RETURN NULL; END $$;
            CREATE TRIGGER tell AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION tell()",
        near: "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN NOTIFY items; RETURN NULL; END $$;
            CREATE TRIGGER tell AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION tell()",
        fixed: false,
        ..CASE
    },
    Case {
        rule: "F3",
        object: "pg_walinspect: 1 functions",
        severity: Severity::Medium,
        broken: "CREATE EXTENSION pg_walinspect;
            GRANT EXECUTE ON FUNCTION pg_get_wal_record_info(pg_lsn) TO {app}",
        near: "CREATE EXTENSION pg_walinspect;
            GRANT EXECUTE ON FUNCTION pg_get_wal_record_info(pg_lsn) TO {own}",
        ..CASE
    },
];

#[tokio::test]
async fn audit_of_what_runs_without_being_called() -> Outcome<()> {
    play(INDIRECT).await
}

#[tokio::test]
pub(super) async fn whoever_listens_reads_what_a_trigger_sends() -> Outcome<()> {
    for (payload, leaks) in [("NEW.note", true), ("''", false)] {
        let stage = Stage::start().await?;
        stage.root(&SENDS.replace("{payload}", payload)).await?;
        let mut a = PgListener::connect(&as_role(&stage.root_url, &stage.app)?).await?;
        a.listen("items").await?;
        let mut b = stage.connect(B).await?;
        run(&mut b, "UPDATE items SET n = 4").await?;
        let heard = tokio::time::timeout(Duration::from_secs(20), a.recv()).await??;
        assert_eq!(heard.payload() == "theirs", leaks, "{payload}");
        let findings = stage.audit(&[]).await?.findings;
        let told = findings.iter().find(|it| it.rule == "S10").map(|it| it.severity);
        assert_eq!(told >= Some(Severity::Medium), leaks, "{payload}");
    }
    Ok(())
}
