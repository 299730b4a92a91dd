//! Provision, suspend, resume, erase.

use std::error::Error;
use std::time::Duration;

use cupel_queues::{
    Error as QueuesError, RunFilter, RunStatus, TenantQueues, WorkerLimits, danger,
};
use cupel_tenant::{IsolationLayer, OrgId, OrgSpec, TenantScope, Tier};
use temporal_client::tonic::{Code, Request};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::ResetWorkflowExecutionRequest;
use tokio::time::timeout;

use crate::server;
use crate::work::{Arithmetic, Door, Sum};

type Tested = Result<(), Box<dyn Error>>;

fn spec(org: &OrgId) -> OrgSpec {
    OrgSpec::new(org.clone(), Tier::STANDARD)
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioning_again_changes_nothing() -> Tested {
    let limits = WorkerLimits { activities_per_second: Some(25.0), ..WorkerLimits::default() };
    let queues = server::builder().await?.limits(limits).connect().await?;
    let org = server::org();
    assert_eq!(queues.provision(&spec(&org)).await?.iter().count(), 1);
    assert!(queues.provision(&spec(&org)).await?.is_empty());
    let tenant = queues.scoped(&TenantScope::org(org.clone()));
    assert_eq!(tenant.snapshot().await?.activities_per_second, Some(25.0));

    // A suspension stands through provisioning, and resuming returns to the limit.
    queues.suspend(&org).await?;
    assert!(queues.provision(&spec(&org)).await?.is_empty());
    assert_eq!(tenant.snapshot().await?.activities_per_second, Some(0.0));
    queues.resume(&org).await?;
    assert_eq!(tenant.snapshot().await?.activities_per_second, Some(25.0));

    let unlimited = server::queues().await?;
    assert_eq!(unlimited.provision(&spec(&org)).await?.iter().count(), 1);
    assert!(unlimited.provision(&spec(&org)).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_organization_starts_nothing_in_any_process() -> Tested {
    let here = server::queues().await?;
    let elsewhere = server::queues().await?;
    let (org, other) = (server::org(), server::org());
    let worker = async |queues: &TenantQueues, org: &OrgId| {
        queues
            .worker(org, queues.limits(), |work| {
                work.register_workflow::<Sum>().register_activities(Arithmetic::default())
            })
            .await
    };
    let handle = worker(&here, &org).await?;
    let theirs = worker(&here, &other).await?;
    let tenant = |queues: &TenantQueues, org: &OrgId| queues.scoped(&TenantScope::org(org.clone()));
    assert_eq!(tenant(&elsewhere, &org).start(Sum::run, "warm", vec![1]).await?.result().await?, 1);

    // A reset starts a run too, of one that has ended.
    let reset = async || {
        let request = ResetWorkflowExecutionRequest {
            namespace: here.namespace().to_owned(),
            workflow_execution: Some(WorkflowExecution {
                workflow_id: format!("{org}/warm"),
                ..WorkflowExecution::default()
            }),
            reason: "to run it again".to_owned(),
            // The end of the first workflow task: started, scheduled, started, completed.
            workflow_task_finish_event_id: 4,
            request_id: uuid::Uuid::new_v4().to_string(),
            ..ResetWorkflowExecutionRequest::default()
        };
        let mut service =
            danger::client(&tenant(&here, &org)).await?.connection().workflow_service();
        Ok::<_, Box<dyn Error>>(service.reset_workflow_execution(Request::new(request)).await)
    };
    reset().await??;

    here.suspend(&org).await?;
    here.suspend(&org).await?;
    handle.ended().await?;
    let refused = reset().await?.err().map(|status| status.code());
    assert_eq!(refused, Some(Code::PermissionDenied), "a suspended organization resets a run");
    let refused = tenant(&here, &org).start(Sum::run, "here", vec![1]).await;
    assert!(matches!(refused, Err(QueuesError::Suspended { .. })), "{refused:?}");
    server::eventually("the other process knows", async || {
        let refused = tenant(&elsewhere, &org).start(Sum::run, "elsewhere", vec![1]).await;
        Ok(matches!(refused, Err(QueuesError::Suspended { .. })))
    })
    .await?;
    let refused = worker(&here, &org).await;
    assert!(matches!(refused, Err(QueuesError::Suspended { .. })), "{refused:?}");
    assert!(tenant(&here, &org).snapshot().await?.suspended);
    // Nothing is held against the other organization.
    assert_eq!(tenant(&here, &other).start(Sum::run, "other", vec![2]).await?.result().await?, 2);

    here.resume(&org).await?;
    here.resume(&org).await?;
    let handle = worker(&here, &org).await?;
    let run = tenant(&here, &org).start(Sum::run, "again", vec![3]).await?;
    assert_eq!(run.result().await?, 3);
    handle.stop().await?;
    theirs.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_pauses_and_then_stops_the_workers_of_other_processes() -> Tested {
    let here = server::queues().await?;
    let elsewhere = server::queues().await?;
    let org = server::org();
    let worker = async || {
        elsewhere
            .worker(&org, elsewhere.limits(), |work| {
                work.register_workflow::<Sum>().register_activities(Arithmetic::default())
            })
            .await
    };
    let handle = worker().await?;
    let tenant = elsewhere.scoped(&TenantScope::org(org.clone()));
    tenant.start(Sum::run, "before", vec![1]).await?.result().await?;
    // The other process knows that the organization is not suspended, for a second: long enough to
    // start one more run, whose activity is not handed out.
    here.suspend(&org).await?;
    let late = match tenant.start(Sum::run, "late", vec![2]).await {
        Ok(run) => {
            let result = timeout(Duration::from_secs(2), run.result()).await;
            assert!(result.is_err(), "an activity of a suspended organization ran");
            Some(run)
        }
        Err(QueuesError::Suspended { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    timeout(Duration::from_secs(20), handle.ended()).await??;

    here.resume(&org).await?;
    server::eventually("the other process knows", async || match worker().await {
        Ok(handle) => {
            if let Some(run) = &late {
                assert_eq!(run.result().await?, 2);
            }
            handle.stop().await?;
            Ok(true)
        }
        Err(QueuesError::Suspended { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_leaves_nothing_and_touches_no_other_organization() -> Tested {
    let queues = server::queues().await?;
    let pair = server::prefix_pair()?;
    let (org, other) = (pair.first(), pair.second());
    let tenants = [org, other].map(|org| queues.scoped(&TenantScope::org(org.clone())));
    let worker = queues
        .worker(org, queues.limits(), |work| {
            work.register_workflow::<Sum>().register_activities(Arithmetic::default())
        })
        .await?;
    for tenant in &tenants {
        for name in ["a", "b/c"] {
            tenant.start(Door::run, name, ()).await?;
        }
    }
    tenants[0].start(Sum::run, "done", vec![1]).await?.result().await?;

    let erasure = queues.erase(org).await?;
    assert!(erasure.is_complete(), "{erasure:?}");
    let erased: Vec<_> = erasure.items().iter().map(ToString::to_string).collect();
    assert_eq!(erased, ["3 runs"]);
    worker.ended().await?;
    assert_eq!(queues.scoped(&TenantScope::org(org.clone())).count(&RunFilter::all()).await?, 0);
    assert!(!queues.scoped(&TenantScope::org(org.clone())).snapshot().await?.suspended);
    for name in ["a", "b/c"] {
        assert_eq!(tenants[1].run(Door::run, name)?.status().await?, RunStatus::Running);
    }

    // Again, as after a crash: nothing is left to do.
    let again = queues.erase(org).await?;
    assert!(again.is_complete() && again.items().is_empty(), "{again:?}");
    assert_eq!(queues.erase(other).await?.items().len(), 1);
    Ok(())
}
