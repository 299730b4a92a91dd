//! Organizations that are not let in, and that are let in again.

use serde_json::json;

use crate::bed::{Bed, Tested, answer, claims, every_route};

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_organization_is_refused_until_it_is_resumed() -> Tested {
    let mut bed = Bed::start().await?;
    let (acme, globex) = (bed.caller(&bed.acme)?, bed.caller(&bed.globex)?);
    for caller in [&acme, &globex] {
        let pipeline = json!({ "id": "nightly", "name": "Nightly import" });
        assert_eq!(caller.post("/pipelines", &pipeline).await?.0, 201);
        let secret = json!({ "secret": "hunter2" });
        assert_eq!(caller.put("/pipelines/nightly/credentials", &secret).await?.0, 204);
    }

    bed.isolation.suspend(&bed.acme).await?;
    for (method, path, body) in every_route("nightly") {
        let (status, body) = answer(acme.request(method.clone(), &path).json(&body)).await?;
        let code = body["error"]["code"].as_str();
        assert_eq!((status, code), (403, Some("organization_not_active")), "{method} {path}");
    }
    assert_eq!(globex.post("/pipelines/nightly/runs", &json!({ "id": "first" })).await?.0, 202);
    globex.ended_runs("nightly").await?;

    bed.isolation.resume(&bed.acme).await?;
    bed.workers.reconcile().await?; // its worker ended when it was suspended
    assert_eq!(acme.post("/pipelines/nightly/runs", &json!({ "id": "first" })).await?.0, 202);
    let done = json!([{ "id": "first", "state": "done" }]);
    assert_eq!(acme.ended_runs("nightly").await?, done);
    bed.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_organization_is_as_unknown_as_one_that_never_was() -> Tested {
    let bed = Bed::start().await?;
    let (acme, globex) = (bed.caller(&bed.acme)?, bed.caller(&bed.globex)?);
    let pipeline = json!({ "id": "nightly", "name": "Nightly import" });
    assert_eq!(acme.post("/pipelines", &pipeline).await?.0, 201);
    assert_eq!(globex.post("/pipelines", &pipeline).await?.0, 201);
    bed.isolation.offboard(&bed.acme).await?;
    let nobody = bed.bearer(&claims("never-was")?)?;
    for caller in [&acme, &nobody] {
        let (status, body) = caller.get("/pipelines").await?;
        assert_eq!((status, body["error"]["code"].as_str()), (403, Some("unknown_organization")));
    }
    assert_eq!(acme.get("/pipelines").await?, nobody.get("/pipelines").await?);
    assert_eq!(globex.get("/pipelines").await?.1, json!([pipeline]));
    bed.stop().await;
    Ok(())
}
