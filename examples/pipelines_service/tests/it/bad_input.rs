//! What the service is asked and should not do: each a typed error, and nothing written.

use std::error::Error;

use cupel_isolation::OrgId;
use pipelines_service::{Claims, TokenKey};
use reqwest::Method;
use serde_json::{Value, json};

use crate::bed::{Bed, Tested, answer, claims, every_route};

/// The status and the code of an answer, once it has the shape of an error.
fn error((status, body): &(u16, Value)) -> Result<(u16, &str), Box<dyn Error>> {
    let field = |name| body.pointer(name).and_then(Value::as_str);
    field("/error/message").ok_or("an error says what is wrong, and what to do")?;
    Ok((*status, field("/error/code").ok_or("an error has a code")?))
}

/// Counts all rows of all organizations.
async fn rows(bed: &Bed) -> Result<i64, Box<dyn Error>> {
    let count = "SELECT (SELECT count(*) FROM pipelines) + (SELECT count(*) FROM pipeline_runs)
        + (SELECT count(*) FROM connector_credentials) + (SELECT count(*) FROM source_schemas)";
    Ok(sqlx::query_scalar(count).fetch_one(&mut bed.owner().await?).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_that_holds_no_route_answers() -> Tested {
    let bed = Bed::start().await?;
    let good = claims(bed.acme.as_str())?;
    let token = TokenKey::new(&[7; 32])?.sign(&good)?;
    let expired = Claims { exp: good.exp - 7200, ..good };
    let callers = [
        ("no token", bed.sending(None), "no_token"),
        ("another scheme", bed.sending(Some("Basic YWxpY2U6aHVudGVyMg==".to_owned())), "no_token"),
        ("no words", bed.sending(Some("Bearer".to_owned())), "no_token"),
        // Whitespace at the end of a header is cut on the way.
        ("an empty token", bed.sending(Some("Bearer ".to_owned())), "no_token"),
        ("no token at all", bed.sending(Some("Bearer acme-corp".to_owned())), "invalid_token"),
        ("another's signature", bed.sending(Some(format!("Bearer {token}"))), "invalid_token"),
        ("an expired one", bed.bearer(&expired)?, "invalid_token"),
    ];
    for (what, caller, code) in callers {
        for (method, path, body) in every_route("nightly") {
            let answer = answer(caller.request(method.clone(), &path).json(&body)).await?;
            let answer = error(&answer)?;
            assert_eq!(answer, (401, code), "{what}: {method} {path}");
        }
    }
    assert_eq!(rows(&bed).await?, 0);
    bed.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_claim_is_still_checked() -> Tested {
    let bed = Bed::start().await?;
    let good = claims(bed.acme.as_str())?;
    let long = "a".repeat(OrgId::MAX_LEN + 1);
    let orgs = ["", "Acme", "acme:corp", "acme/../globex", "acme' OR '1'='1", "*", "acme\n", &long];
    for org in orgs {
        let caller = bed.bearer(&Claims { org: org.to_owned(), ..good.clone() })?;
        for (method, path, body) in every_route("nightly") {
            let answer = answer(caller.request(method, &path).json(&body)).await?;
            assert_eq!(error(&answer)?, (400, "invalid_organization"), "{org:?}");
            let message = answer.1["error"]["message"].as_str().unwrap_or_default();
            assert!(message.starts_with("invalid organization id: "), "names the rule: {message}");
            assert!(org.len() < 4 || !message.contains(org), "keeps the text: {message}");
        }
    }
    let bad_subject = Claims { sub: "line\nbreak".to_owned(), ..good.clone() };
    let bad_workspace = Claims { workspace: Some("a:b".to_owned()), ..good };
    let of_subject = bed.bearer(&bad_subject)?.get("/pipelines").await?;
    assert_eq!(error(&of_subject)?, (400, "invalid_subject"));
    let of_workspace = bed.bearer(&bad_workspace)?.get("/pipelines").await?;
    assert_eq!(error(&of_workspace)?, (400, "invalid_workspace"));
    assert_eq!(rows(&bed).await?, 0);
    bed.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_break_the_rule_are_refused_everywhere() -> Tested {
    let bed = Bed::start().await?;
    let acme = bed.caller(&bed.acme)?;
    let long = "a".repeat(65);
    // In a path as a client writes it; %00 and %FF are a zero byte and no UTF-8.
    for name in [&long, "Nightly", "%00", "%FF", "a%2Fb", "%27%20OR%201=1--", "-a", "a:b", "%2A"] {
        for (method, path, body) in every_route(name) {
            if path == "/pipelines" {
                continue;
            }
            let answer = answer(acme.request(method.clone(), &path).json(&body)).await?;
            assert_eq!(error(&answer)?, (400, "invalid_name"), "{method} {path}");
        }
    }
    for name in [&long, "Nightly", "\0", "a/b", "' OR 1=1--", "-a", "a:b", "*", ""] {
        let answer = acme.post("/pipelines", &json!({ "id": name, "name": "Any" })).await?;
        assert_eq!(error(&answer)?, (400, "invalid_name"), "{name:?}");
        let answer = acme.post("/pipelines/nightly/runs", &json!({ "id": name })).await?;
        assert_eq!(error(&answer)?, (400, "invalid_name"), "{name:?}");
        let answer = acme.put("/schemas/crm", &json!({ "columns": ["id", name] })).await?;
        assert_eq!(error(&answer)?, (400, "invalid_name"), "{name:?}");
    }
    assert_eq!(rows(&bed).await?, 0);
    bed.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_what_a_route_takes_are_refused() -> Tested {
    let bed = Bed::start().await?;
    let acme = bed.caller(&bed.acme)?;
    let pipeline = |name: &str| json!({ "id": "nightly", "name": name });
    for name in ["", "line\nbreak", "zero\0byte", &"a".repeat(201)] {
        let answer = acme.post("/pipelines", &pipeline(name)).await?;
        assert_eq!(error(&answer)?, (400, "invalid_field"), "{name:?}");
    }
    for secret in [String::new(), "a".repeat(4097)] {
        let answer =
            acme.put("/pipelines/nightly/credentials", &json!({ "secret": secret })).await?;
        assert_eq!(error(&answer)?, (400, "invalid_field"));
    }
    let large = pipeline(&"a".repeat(70_000));
    let foreign = json!({ "id": "nightly", "name": "Any", "org_id": bed.globex.as_str() });
    for (body, status) in [(large, 413), (foreign, 422), (json!([]), 422), (json!({}), 422)] {
        let answer = acme.post("/pipelines", &body).await?;
        assert_eq!(error(&answer)?, (status, "invalid_body"));
    }
    let post = || acme.request(Method::POST, "/pipelines");
    let broken = post().header("content-type", "application/json").body("{");
    assert_eq!(error(&answer(broken).await?)?, (400, "invalid_body"));
    assert_eq!(error(&answer(post().body("{}")).await?)?, (415, "invalid_body"));
    assert_eq!(error(&acme.get("/nothing").await?)?, (404, "not_found"));
    assert_eq!(error(&acme.put("/pipelines", &json!({})).await?)?, (405, "method_not_allowed"));
    assert_eq!(rows(&bed).await?, 0);
    bed.stop().await;
    Ok(())
}
