//! An organization's runs and workers.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cupel_queues::{
    Error as QueuesError, RunFilter, RunStatus, TenantQueues, WorkerLimits, danger,
};
use cupel_tenant::{Actor, OrgId, TenantScope};
use futures::future::try_join_all;
use temporal_client::WorkflowDescribeOptions;
use temporalio_common::UntypedWorkflow;
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{
    ActivityOptions, ChildWorkflowOptions, SyncWorkflowContext, WorkflowContext,
    WorkflowContextView, WorkflowResult,
};

use crate::server;

type Tested = Result<(), Box<dyn Error>>;

/// Adds up, in an activity.
#[workflow]
#[derive(Default)]
pub(crate) struct Sum;

#[workflow_methods]
impl Sum {
    #[run]
    pub(crate) async fn run(
        ctx: &mut WorkflowContext<Self>,
        numbers: Vec<u64>,
    ) -> WorkflowResult<u64> {
        let options = ActivityOptions::start_to_close_timeout(Duration::from_secs(10));
        Ok(ctx.execute_activity(Arithmetic::sum, numbers, options).await?)
    }
}

/// Has a child add up. The child gets no id, and no prefix.
#[workflow]
#[derive(Default)]
pub(crate) struct Delegate;

#[workflow_methods]
impl Delegate {
    #[run]
    pub(crate) async fn run(
        ctx: &mut WorkflowContext<Self>,
        numbers: Vec<u64>,
    ) -> WorkflowResult<u64> {
        let options = ChildWorkflowOptions::builder().build();
        let child = ctx.start_child_workflow(Sum::run, numbers, options).await?;
        Ok(child.result().await?)
    }
}

/// Waits for the door to be opened.
#[workflow]
#[derive(Default)]
pub(crate) struct Door {
    open: bool,
}

#[workflow_methods]
impl Door {
    #[run]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, _: ()) -> WorkflowResult<String> {
        ctx.wait_condition(|door| door.open).await?;
        Ok("open".to_owned())
    }

    #[signal]
    pub(crate) fn open(&mut self, _: &mut SyncWorkflowContext<Self>, _: ()) {
        self.open = true;
    }

    #[query]
    pub(crate) fn is_open(&self, _: &WorkflowContextView, _: ()) -> bool {
        self.open
    }
}

/// Counts how many of its activities run at once.
#[derive(Default)]
pub(crate) struct Arithmetic {
    running: AtomicUsize,
    most: Arc<AtomicUsize>,
    pause: Duration,
}

#[activities]
impl Arithmetic {
    #[activity]
    pub(crate) async fn sum(
        self: Arc<Self>,
        _: ActivityContext,
        numbers: Vec<u64>,
    ) -> Result<u64, ActivityError> {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.pause).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(numbers.iter().sum())
    }
}

/// Runs 50 sums for `org`, and returns the last one's result.
async fn fifty(queues: &TenantQueues, org: &OrgId) -> Result<u64, Box<dyn Error>> {
    let tenant = queues.scoped(&TenantScope::org(org.clone()));
    let work = (0..50).map(|n| {
        let tenant = tenant.clone();
        async move { tenant.start(Sum::run, &format!("sum/{n}"), vec![n, 1]).await?.result().await }
    });
    Ok(try_join_all(work).await?.last().copied().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_organizations_run_fifty_each_under_the_same_names() -> Tested {
    let queues = server::queues().await?;
    let (a, b) = (server::org(), server::org());
    let worker = async |org: &OrgId| {
        queues
            .worker(org, queues.limits(), |work| {
                work.register_workflow::<Sum>().register_activities(Arithmetic::default())
            })
            .await
    };
    let (for_a, for_b) = (worker(&a).await?, worker(&b).await?);

    let begun = Instant::now();
    let (sum_a, sum_b) = tokio::join!(fifty(&queues, &a), fifty(&queues, &b));
    println!("2 x 50 runs in {:.1?}", begun.elapsed());
    assert_eq!((sum_a?, sum_b?), (50, 50));

    let tenant = queues.scoped(&TenantScope::org(a.clone()));
    let completed = RunFilter::all().status(RunStatus::Completed).named_under("sum")?;
    server::eventually("50 runs are listed", async || Ok(tenant.count(&completed).await? == 50))
        .await?;
    let listed = tenant.list(&completed, 7).await?;
    assert_eq!(listed.len(), 7);
    assert!(listed.iter().all(|run| *run.id.org_id() == a && run.ended.is_some()));

    let snapshot = tenant.snapshot().await?;
    assert_eq!(snapshot.depth(), 0);
    assert!(snapshot.workflows.pollers >= 1 && snapshot.activities.pollers >= 1);
    assert!(snapshot.activities.add_rate > 0.0, "{snapshot:?}");
    assert!(snapshot.activities.dispatch_rate > 0.0, "{snapshot:?}");
    let waiting = snapshot.waiting.ok_or("nothing was measured")?;
    assert_eq!(waiting.count, 50);
    assert!(waiting.median <= waiting.p99 && waiting.p99 <= waiting.max);
    let limits = WorkerLimits::default();
    server::eventually("the worker's slots are known", async || {
        let snapshot = tenant.snapshot().await?;
        let total = (snapshot.workflows.slots.total, snapshot.activities.slots.total);
        Ok(total == (limits.max_concurrent_runs as u64, limits.max_concurrent_activities as u64))
    })
    .await?;

    for_a.stop().await?;
    for_b.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_no_more_activities_at_once_than_its_limit() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let limits = WorkerLimits { max_concurrent_activities: 3, ..queues.limits() };
    let most = Arc::new(AtomicUsize::new(0));
    let arithmetic = Arithmetic {
        most: Arc::clone(&most),
        // Long beside the time between two hand-outs on a busy machine: the limit is to be reached.
        pause: Duration::from_millis(150),
        ..Arithmetic::default()
    };
    let worker = queues
        .worker(&org, limits, |work| {
            work.register_workflow::<Sum>().register_activities(arithmetic)
        })
        .await?;
    fifty(&queues, &org).await?;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    worker.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_hands_out_no_more_activities_per_second_than_the_limit() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let limits = WorkerLimits { activities_per_second: Some(10.0), ..queues.limits() };
    let worker = queues
        .worker(&org, limits, |work| {
            work.register_workflow::<Sum>().register_activities(Arithmetic::default())
        })
        .await?;
    let begun = Instant::now();
    fifty(&queues, &org).await?;
    // Fifty at ten per second, less the first second's burst.
    assert!(begun.elapsed() >= Duration::from_millis(3500), "took {:?}", begun.elapsed());
    worker.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_without_an_id_is_the_organizations_own() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let worker = queues
        .worker(&org, queues.limits(), |work| {
            work.register_workflow::<Sum>()
                .register_workflow::<Delegate>()
                .register_activities(Arithmetic::default())
        })
        .await?;
    let tenant = queues.scoped(&TenantScope::org(org.clone()));
    let run = tenant.start(Delegate::run, "delegate", vec![40, 2]).await?;
    assert_eq!(run.result().await?, 42);
    server::eventually("the child is listed", async || {
        Ok(tenant.list(&RunFilter::all().workflow("Sum")?, 10).await?.len() == 1)
    })
    .await?;
    worker.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_described_signalled_cancelled_and_terminated_by_its_name() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let worker =
        queues.worker(&org, queues.limits(), |work| work.register_workflow::<Door>()).await?;
    let scope = TenantScope::org(org.clone()).acting_as(Actor::new("alice")?);
    let tenant = queues.scoped(&scope.narrow_to("analytics".parse()?)?);

    let run = tenant.start(Door::run, "door", ()).await?;
    assert_eq!(run.status().await?, RunStatus::Running);
    let again = tenant.start(Door::run, "door", ()).await;
    assert!(matches!(again, Err(QueuesError::AlreadyRunning)), "{again:?}");

    let client = danger::client(&tenant).await?;
    let handle = client.get_workflow_handle::<UntypedWorkflow>(run.id().to_string());
    let memo = handle.describe(WorkflowDescribeOptions::default()).await?.memo();
    assert_eq!(memo.get::<String>("cupel-workspace")?.as_deref(), Some("analytics"));
    assert_eq!(memo.get::<String>("cupel-actor")?.as_deref(), Some("alice"));
    let door = client.get_workflow_handle::<door::Run>(run.id().to_string());
    assert!(!door.query(Door::is_open, (), Default::default()).await?);
    door.signal(Door::open, (), Default::default()).await?;
    assert_eq!(run.result().await?, "open");

    let run = tenant.start(Door::run, "door", ()).await?;
    run.cancel().await?;
    assert!(matches!(run.result().await, Err(QueuesError::RunCancelled)));

    let run = tenant.start(Door::run, "door", ()).await?;
    tenant.run(Door::run, "door")?.terminate("test").await?;
    assert!(matches!(run.result().await, Err(QueuesError::RunTerminated)));

    let nothing = tenant.run(Door::run, "nothing")?.status().await;
    assert!(matches!(nothing, Err(QueuesError::NotFound)), "{nothing:?}");
    worker.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_can_be_replaced_and_has_one_place_per_organization() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let start = || queues.worker(&org, queues.limits(), |work| work.register_workflow::<Door>());
    for _ in 0..3 {
        let worker = start().await?;
        let second = start().await;
        assert!(matches!(second, Err(QueuesError::WorkerRuns)), "{second:?}");
        worker.stop().await?;
    }
    Ok(())
}
