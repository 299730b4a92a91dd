//! Bad input: a typed error that names the rule, and nothing written.

use std::error::Error;
use std::time::Duration;

use cupel_queues::{Error as QueuesError, InvalidRunName, RunFilter, TenantQueues, WorkerLimits};
use cupel_tenant::{LayerErrorKind, TenantScope};
use tokio::net::TcpListener;

use crate::server;
use crate::work::Door;

type Tested = Result<(), Box<dyn Error>>;

#[tokio::test]
async fn an_address_that_cannot_be_used_is_refused() -> Tested {
    for (address, kind) in [
        ("localhost:7233", LayerErrorKind::Refused),
        ("", LayerErrorKind::Refused),
        ("http://192.0.2.1:7233", LayerErrorKind::Refused),
    ] {
        let error = TenantQueues::connect(address, "default").await.err().ok_or(address)?;
        assert_eq!(error.kind(), kind, "{address}: {error}");
    }
    // A port that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let error = TenantQueues::connect(&format!("http://127.0.0.1:{free}"), "default").await;
    assert!(matches!(error, Err(QueuesError::Unreachable { .. })), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_refused() -> Tested {
    let error = server::builder_of("no-such-namespace").await?.connect().await;
    assert!(matches!(error, Err(QueuesError::Namespace)), "{error:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_no_run_name_starts_nothing() -> Tested {
    let queues = server::queues().await?;
    let tenant = queues.scoped(&TenantScope::org(server::org()));
    for (name, rule) in [
        ("", InvalidRunName::Empty),
        ("../globex/nightly", InvalidRunName::EmptyPart),
        ("/nightly", InvalidRunName::EmptyPart),
        ("a b", InvalidRunName::IllegalByte { offset: 1 }),
        ("x' OR '1", InvalidRunName::IllegalByte { offset: 1 }),
        (&"x".repeat(201), InvalidRunName::TooLong { len: 201 }),
    ] {
        let refused = tenant.start(Door::run, name, ()).await;
        assert!(matches!(&refused, Err(QueuesError::Name(broken)) if *broken == rule), "{name:?}");
        assert!(tenant.run(Door::run, name).is_err(), "{name:?}");
        if let Err(error) = refused
            && !name.is_empty()
        {
            assert!(!error.to_string().contains(name), "the error repeats {name:?}");
        }
    }
    assert_eq!(tenant.count(&RunFilter::all()).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_work_is_refused() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let limits = WorkerLimits { max_concurrent_activities: 0, ..queues.limits() };
    let refused = queues.worker(&org, limits, |work| work.register_workflow::<Door>()).await;
    assert!(matches!(refused, Err(QueuesError::Limits { .. })), "{refused:?}");

    let twice = queues.worker(&org, queues.limits(), |work| {
        work.register_workflow::<Door>().register_workflow::<Door>()
    });
    let refused = twice.await;
    assert!(matches!(refused, Err(QueuesError::Registration { .. })), "{refused:?}");

    let nothing = queues.worker(&org, queues.limits(), |work| work).await;
    assert!(matches!(nothing, Err(QueuesError::Worker { .. })), "{nothing:?}");
    // None of them is in the way of a good one.
    let good = queues.worker(&org, queues.limits(), |work| work.register_workflow::<Door>());
    tokio::time::timeout(Duration::from_secs(30), good).await??.stop().await?;
    Ok(())
}
