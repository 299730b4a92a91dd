//! Two organizations at the same time, with the same names for everything.

use std::error::Error;

use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::bed::{Bed, Caller, Tested};

/// How many pipelines each organization has at the same time.
const PIPELINES: usize = 12;

/// One pipeline's life over HTTP. Only `mark` differs between the two organizations.
async fn pipeline(caller: &Caller, mark: &str, n: usize) -> Result<(), Box<dyn Error>> {
    let (path, schema) = (format!("/pipelines/p{n:02}"), format!("/schemas/crm.table{n:02}"));
    let made = json!({ "id": format!("p{n:02}"), "name": format!("{mark} {n}") });
    assert_eq!(caller.post("/pipelines", &made).await?, (201, made.clone()));
    assert_eq!(caller.get(&path).await?, (200, made));

    let columns = json!({ "columns": ["id", format!("{mark}_{n}")] });
    assert_eq!(caller.get(&schema).await?.0, 404, "cached as absent");
    assert_eq!(caller.put(&schema, &columns).await?.0, 204);
    assert_eq!(caller.get(&schema).await?, (200, columns.clone()), "loaded");
    assert_eq!(caller.get(&schema).await?, (200, columns), "cached");

    let secret = json!({ "secret": format!("{mark}'s password") });
    assert_eq!(caller.put(&format!("{path}/credentials"), &secret).await?.0, 204);
    let run = json!({ "id": "2026-11-23" });
    let started = json!({ "id": "2026-11-23", "state": "started" });
    assert_eq!(caller.post(&format!("{path}/runs"), &run).await?, (202, started));
    assert_eq!(caller.post(&format!("{path}/runs"), &run).await?.0, 409, "a name is used once");
    let done = json!([{ "id": "2026-11-23", "state": "done" }]);
    assert_eq!(caller.ended_runs(&format!("p{n:02}")).await?, done);
    Ok(())
}

async fn day(caller: &Caller, mark: &str) -> Result<Value, Box<dyn Error>> {
    try_join_all((0..PIPELINES).map(|n| pipeline(caller, mark, n))).await?;
    let only = json!({ "id": format!("only-{mark}"), "name": "Only here" });
    assert_eq!(caller.post("/pipelines", &only).await?.0, 201);
    Ok(caller.get("/pipelines").await?.1)
}

fn pipelines_of(mark: &str) -> Value {
    let only = json!({ "id": format!("only-{mark}"), "name": "Only here" });
    let shared = |n| json!({ "id": format!("p{n:02}"), "name": format!("{mark} {n}") });
    std::iter::once(only).chain((0..PIPELINES).map(shared)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sees_its_own_under_the_same_names() -> Tested {
    let bed = Bed::start().await?;
    let (acme, globex) = (bed.caller(&bed.acme)?, bed.caller(&bed.globex)?);
    let (of_acme, of_globex) = tokio::try_join!(day(&acme, "acme"), day(&globex, "globex"))?;
    assert_eq!(of_acme, pipelines_of("acme"));
    assert_eq!(of_globex, pipelines_of("globex"));
    bed.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_anothers_answers_as_what_is_not_there() -> Tested {
    let bed = Bed::start().await?;
    let (acme, globex) = (bed.caller(&bed.acme)?, bed.caller(&bed.globex)?);
    // Everything of globex that has a name is there, and live.
    assert_eq!(globex.post("/pipelines", &json!({ "id": "theirs", "name": "T" })).await?.0, 201);
    assert_eq!(
        globex.put("/pipelines/theirs/credentials", &json!({ "secret": "s" })).await?.0,
        204
    );
    assert_eq!(globex.put("/schemas/theirs", &json!({ "columns": ["id"] })).await?.0, 204);
    assert_eq!(globex.post("/pipelines/theirs/runs", &json!({ "id": "first" })).await?.0, 202);
    globex.ended_runs("theirs").await?;
    for path in ["/pipelines/theirs", "/pipelines/theirs/status", "/schemas/theirs"] {
        assert_eq!(globex.get(path).await?.0, 200, "the owner reads {path}");
    }

    let not_found =
        json!({ "error": { "code": "not_found", "message": "there is no such thing" } });
    for path in ["/pipelines/{}", "/pipelines/{}/status", "/schemas/{}"] {
        for id in ["theirs", "nobodys"] {
            let answer = acme.get(&path.replace("{}", id)).await?;
            assert_eq!(answer, (404, not_found.clone()), "{path} of {id}");
        }
    }
    for id in ["theirs", "nobodys"] {
        let path = format!("/pipelines/{id}/credentials");
        let answer = acme.put(&path, &json!({ "secret": "mine" })).await?;
        assert_eq!(answer, (404, not_found.clone()), "{path}");
        let path = format!("/pipelines/{id}/runs");
        let answer = acme.post(&path, &json!({ "id": "first" })).await?;
        assert_eq!(answer, (404, not_found.clone()), "{path}");
        assert_eq!(acme.get(&path).await?, (200, json!([])), "{path}");
    }

    // And acme may use every name that globex uses.
    assert_eq!(acme.post("/pipelines", &json!({ "id": "theirs", "name": "A" })).await?.0, 201);
    assert_eq!(acme.get("/pipelines").await?.1, json!([{ "id": "theirs", "name": "A" }]));
    assert_eq!(globex.get("/pipelines").await?.1, json!([{ "id": "theirs", "name": "T" }]));
    bed.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_credentials_fails_though_the_others_has_some() -> Tested {
    let bed = Bed::start().await?;
    let (acme, globex) = (bed.caller(&bed.acme)?, bed.caller(&bed.globex)?);
    for caller in [&acme, &globex] {
        let pipeline = json!({ "id": "nightly", "name": "Nightly import" });
        assert_eq!(caller.post("/pipelines", &pipeline).await?.0, 201);
    }
    let secret = json!({ "secret": "acme's password" });
    assert_eq!(acme.put("/pipelines/nightly/credentials", &secret).await?.0, 204);
    for (caller, state) in [(&acme, "done"), (&globex, "failed")] {
        assert_eq!(caller.post("/pipelines/nightly/runs", &json!({ "id": "first" })).await?.0, 202);
        let runs = caller.ended_runs("nightly").await?;
        assert_eq!(runs, json!([{ "id": "first", "state": state }]));
    }

    let sealed: Vec<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM connector_credentials")
        .fetch_all(&mut bed.owner().await?)
        .await?;
    let [sealed] = sealed.as_slice() else { return Err("one secret is stored".into()) };
    let secret = b"acme's password";
    assert!(!sealed.windows(secret.len()).any(|bytes| bytes == secret), "it is not sealed");
    bed.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_row_level_security_the_list_would_show_both() -> Tested {
    let bed = Bed::start().await?;
    let (acme, globex) = (bed.caller(&bed.acme)?, bed.caller(&bed.globex)?);
    for caller in [&acme, &globex] {
        let pipeline = json!({ "id": "nightly", "name": "Nightly import" });
        assert_eq!(caller.post("/pipelines", &pipeline).await?.0, 201);
    }
    let seen = async || Ok::<_, Box<dyn Error>>(acme.get("/pipelines").await?.1);
    let mut owner = bed.owner().await?;
    assert_eq!(seen().await?.as_array().map(Vec::len), Some(1));
    sqlx::query("ALTER TABLE pipelines DISABLE ROW LEVEL SECURITY").execute(&mut owner).await?;
    assert_eq!(
        seen().await?.as_array().map(Vec::len),
        Some(2),
        "what kept them apart is the server"
    );
    sqlx::query("ALTER TABLE pipelines ENABLE ROW LEVEL SECURITY").execute(&mut owner).await?;
    assert_eq!(seen().await?.as_array().map(Vec::len), Some(1));
    bed.stop().await;
    Ok(())
}
