//! A token of one workspace: it reads what its organization shares, and writes its own runs.

use serde_json::json;

use crate::bed::{Bed, Tested, claims};

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_runs_what_its_organization_shares() -> Tested {
    let bed = Bed::start().await?;
    let org = bed.caller(&bed.acme)?;
    let of = |workspace: &str| {
        let workspace = Some(workspace.to_owned());
        bed.bearer(&pipelines_service::Claims { workspace, ..claims(bed.acme.as_str())? })
    };
    let (analytics, finance) = (of("analytics")?, of("finance")?);
    let pipeline = json!({ "id": "nightly", "name": "Nightly import" });
    assert_eq!(org.post("/pipelines", &pipeline).await?.0, 201);
    assert_eq!(org.put("/pipelines/nightly/credentials", &json!({ "secret": "s" })).await?.0, 204);

    assert_eq!(analytics.get("/pipelines/nightly").await?, (200, pipeline));
    let refused = [
        analytics.post("/pipelines", &json!({ "id": "mine", "name": "Mine" })).await?,
        analytics.put("/pipelines/nightly/credentials", &json!({ "secret": "mine" })).await?,
        analytics.put("/schemas/mine", &json!({ "columns": ["id"] })).await?,
    ];
    for (status, body) in refused {
        assert_eq!((status, body["error"]["code"].as_str()), (403, Some("read_only")));
    }

    assert_eq!(analytics.post("/pipelines/nightly/runs", &json!({ "id": "first" })).await?.0, 202);
    let done = json!([{ "id": "first", "state": "done" }]);
    assert_eq!(analytics.ended_runs("nightly").await?, done, "with the organization's credentials");
    assert_eq!(analytics.get("/pipelines/nightly/status").await?.1, json!({ "status": "done" }));
    assert_eq!(org.get("/pipelines/nightly/runs").await?.1, done, "the organization sees all");
    assert_eq!(finance.get("/pipelines/nightly/runs").await?.1, json!([]));
    assert_eq!(finance.get("/pipelines/nightly/status").await?.0, 404);
    bed.stop().await;
    Ok(())
}
