//! Workflow code stays with its organization.

use temporalio_sdk::workflow_interceptors::{
    CancelExternalWorkflowInput, CancelExternalWorkflowResult, CancellableWorkflowOutboundFuture,
    ContinueAsNewInput, ContinueAsNewResult, ScheduleActivityInput, ScheduleActivityResult,
    SignalWorkflowInput, SignalWorkflowResult, SignalWorkflowTarget, StartChildWorkflowInput,
    StartChildWorkflowResult, SyncWorkflowInterceptorContext, WorkflowInterceptor,
    WorkflowInterceptorContext, WorkflowNext, WorkflowOutboundFuture,
};
use uuid::Uuid;

/// Reads every name that workflow code gives as one of its own organization.
///
/// `nightly` is the run `{org_id}/nightly`; so is `{org_id}/nightly` itself, since handles hand out
/// whole ids. A queue named by workflow code is not looked at: the organization has one. The firewall
/// refuses what gets past this, but would fail the run; here the code simply cannot say it.
pub(crate) struct Fence {
    prefix: String,
}

impl Fence {
    pub(crate) fn new(org: &str) -> Self {
        Self { prefix: format!("{org}/") }
    }

    fn own(&self, id: &str) -> String {
        if id.starts_with(&self.prefix) { id.to_owned() } else { format!("{}{id}", self.prefix) }
    }
}

impl WorkflowInterceptor for Fence {
    fn schedule_activity(
        &self,
        _: WorkflowInterceptorContext,
        mut input: ScheduleActivityInput,
        next: WorkflowNext<
            'static,
            ScheduleActivityInput,
            CancellableWorkflowOutboundFuture<ScheduleActivityResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<ScheduleActivityResult> {
        input.options_mut().task_queue = None;
        next.run(input)
    }

    fn start_child_workflow(
        &self,
        context: WorkflowInterceptorContext,
        mut input: StartChildWorkflowInput,
        next: WorkflowNext<
            'static,
            StartChildWorkflowInput,
            CancellableWorkflowOutboundFuture<StartChildWorkflowResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<StartChildWorkflowResult> {
        let options = input.options_mut();
        options.task_queue = None;
        options.workflow_id = Some(match &options.workflow_id {
            Some(id) if !id.is_empty() => self.own(id),
            // The SDK would make up an id without the prefix; the stream replays with the run.
            _ => {
                let random = context.random_stream("cupel-child");
                self.own(&Uuid::from_u64_pair(random.random(), random.random()).to_string())
            }
        });
        next.run(input)
    }

    fn signal_workflow(
        &self,
        context: WorkflowInterceptorContext,
        mut input: SignalWorkflowInput,
        next: WorkflowNext<
            'static,
            SignalWorkflowInput,
            CancellableWorkflowOutboundFuture<SignalWorkflowResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<SignalWorkflowResult> {
        match input.target_mut() {
            SignalWorkflowTarget::Child { workflow_id } => *workflow_id = self.own(workflow_id),
            SignalWorkflowTarget::External { namespace, workflow_id, .. } => {
                *namespace = context.namespace().to_owned();
                *workflow_id = self.own(workflow_id);
            }
            // A kind of target that a newer SDK brings is the firewall's to judge.
            _ => {}
        }
        next.run(input)
    }

    fn cancel_external_workflow(
        &self,
        _: WorkflowInterceptorContext,
        mut input: CancelExternalWorkflowInput,
        next: WorkflowNext<
            'static,
            CancelExternalWorkflowInput,
            WorkflowOutboundFuture<CancelExternalWorkflowResult>,
        >,
    ) -> WorkflowOutboundFuture<CancelExternalWorkflowResult> {
        input.workflow_id = self.own(&input.workflow_id);
        next.run(input)
    }

    fn continue_as_new(
        &self,
        _: SyncWorkflowInterceptorContext,
        mut input: ContinueAsNewInput,
        next: WorkflowNext<'static, ContinueAsNewInput, ContinueAsNewResult>,
    ) -> ContinueAsNewResult {
        input.options_mut().task_queue = None;
        next.run(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_the_organizations_own() {
        let fence = Fence::new("acme");
        assert_eq!(fence.own("nightly"), "acme/nightly");
        assert_eq!(fence.own("acme/nightly"), "acme/nightly");
        assert_eq!(fence.own("globex/nightly"), "acme/globex/nightly");
        assert_eq!(fence.own("acme-b/nightly"), "acme/acme-b/nightly");
    }
}
