//! Which version of a worker a request speaks for. No I/O.
//!
//! A worker deployment is a name that the organizations of a namespace share. Whoever polls under it
//! joins it, with no question asked, takes one of the places that all have together (by default 100
//! deployments, of 100 queues a version; Temporal 1.32.0), and runs can be pinned to it. So Worker
//! Versioning is closed to organizations. A worker may say what it was built from, which the server
//! notes on the runs that it works on, and nowhere looks up; the SDK's workers say that and no more.

#![expect(deprecated, reason = "fields that the server still reads must be looked at")]

use temporalio_common::protos::temporal::api::command::v1::StartChildWorkflowExecutionCommandAttributes;
use temporalio_common::protos::temporal::api::common::v1::{
    WorkerVersionCapabilities, WorkerVersionStamp,
};
use temporalio_common::protos::temporal::api::deployment::v1::{
    Deployment, WorkerDeploymentOptions, WorkerDeploymentVersion,
};
use temporalio_common::protos::temporal::api::enums::v1::WorkerVersioningMode;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueueVersionSelection;
use temporalio_common::protos::temporal::api::worker::v1::WorkerHeartbeat;
use temporalio_common::protos::temporal::api::workflow::v1::post_reset_operation::{
    UpdateWorkflowOptions, Variant,
};
use temporalio_common::protos::temporal::api::workflow::v1::{
    PostResetOperation, VersioningOverride, WorkflowExecutionOptions,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeTaskQueueRequest, PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest,
    ResetWorkflowExecutionRequest, RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedRequest, RespondActivityTaskFailedRequest,
    RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskFailedRequest,
    SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest,
};

use super::names::{Verdict, verdict};

/// A request, or a part of one, that may name a deployment or a version of one.
pub(super) trait Versioned {
    /// Whether it does, or asks for tasks by version.
    fn is_versioned(&self) -> bool;
}

/// Lets through what names no version.
pub(super) fn unversioned(said: &impl Versioned) -> Verdict {
    verdict(!said.is_versioned())
}

/// Implements [`Versioned`] for what may say a version in these fields.
macro_rules! versioned_in {
    ($($message:ty { $($field:ident),* })*) => {
        $(impl Versioned for $message {
            fn is_versioned(&self) -> bool {
                $(self.$field.is_versioned())||*
            }
        })*
    };
}

versioned_in! {
    DescribeTaskQueueRequest { versions }
    PollActivityTaskQueueRequest { worker_version_capabilities, deployment_options }
    PollWorkflowTaskQueueRequest { worker_version_capabilities, deployment_options }
    ResetWorkflowExecutionRequest { post_reset_operations }
    RespondActivityTaskCanceledRequest { worker_version, deployment, deployment_options }
    RespondActivityTaskCompletedRequest { worker_version, deployment, deployment_options }
    RespondActivityTaskFailedRequest { worker_version, deployment, deployment_options }
    RespondWorkflowTaskCompletedRequest { worker_version_stamp, deployment, deployment_options }
    RespondWorkflowTaskFailedRequest { worker_version, deployment, deployment_options }
    SignalWithStartWorkflowExecutionRequest { versioning_override }
    StartChildWorkflowExecutionCommandAttributes { versioning_override }
    StartWorkflowExecutionRequest { versioning_override, eager_worker_deployment_options }
    UpdateWorkflowOptions { workflow_execution_options }
    WorkerHeartbeat { deployment_version }
    WorkflowExecutionOptions { versioning_override }
}

/// Implements [`Versioned`] for what is sent for nothing else.
macro_rules! always_versioned {
    ($($part:ty)*) => {
        $(impl Versioned for $part {
            fn is_versioned(&self) -> bool {
                true
            }
        })*
    };
}

always_versioned! { Deployment TaskQueueVersionSelection VersioningOverride }

impl Versioned for PostResetOperation {
    fn is_versioned(&self) -> bool {
        match &self.variant {
            Some(Variant::SignalWorkflow(_)) => false,
            Some(Variant::UpdateWorkflowOptions(update)) => update.is_versioned(),
            // A kind that a newer server knows.
            None => true,
        }
    }
}

impl Versioned for WorkerDeploymentOptions {
    fn is_versioned(&self) -> bool {
        let mode = WorkerVersioningMode::try_from(self.worker_versioning_mode);
        let by_version = !matches!(
            mode,
            Ok(WorkerVersioningMode::Unspecified | WorkerVersioningMode::Unversioned)
        );
        by_version || !self.deployment_name.is_empty()
    }
}

impl Versioned for WorkerDeploymentVersion {
    fn is_versioned(&self) -> bool {
        !self.deployment_name.is_empty()
    }
}

impl Versioned for WorkerVersionCapabilities {
    fn is_versioned(&self) -> bool {
        self.use_versioning || !self.deployment_series_name.is_empty()
    }
}

impl Versioned for WorkerVersionStamp {
    fn is_versioned(&self) -> bool {
        self.use_versioning
    }
}

impl<T: Versioned> Versioned for Option<T> {
    fn is_versioned(&self) -> bool {
        self.as_ref().is_some_and(T::is_versioned)
    }
}

impl<T: Versioned> Versioned for Vec<T> {
    fn is_versioned(&self) -> bool {
        self.iter().any(T::is_versioned)
    }
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::workflow::v1::post_reset_operation::SignalWorkflow;

    use super::super::names::Foreign;
    use super::*;

    fn options(deployment: &str, mode: i32) -> Option<WorkerDeploymentOptions> {
        Some(WorkerDeploymentOptions {
            deployment_name: deployment.to_owned(),
            build_id: "1a2b3c".to_owned(),
            worker_versioning_mode: mode,
        })
    }

    const BY_VERSION: i32 = WorkerVersioningMode::Versioned as i32;
    const PLAIN: i32 = WorkerVersioningMode::Unversioned as i32;
    /// A mode that a newer server may know.
    const UNKNOWN: i32 = 3;

    #[test]
    fn what_the_sdks_workers_say_is_no_version() {
        let build_id = || "1a2b3c".to_owned();
        let poll = PollWorkflowTaskQueueRequest {
            worker_version_capabilities: Some(WorkerVersionCapabilities {
                build_id: build_id(),
                ..WorkerVersionCapabilities::default()
            }),
            deployment_options: options("", PLAIN),
            ..PollWorkflowTaskQueueRequest::default()
        };
        assert_eq!(unversioned(&poll), Ok(()));
        let answer = RespondActivityTaskCompletedRequest {
            worker_version: Some(WorkerVersionStamp {
                build_id: build_id(),
                use_versioning: false,
            }),
            deployment_options: options("", 0),
            ..RespondActivityTaskCompletedRequest::default()
        };
        assert_eq!(unversioned(&answer), Ok(()));
        let deployment_version =
            Some(WorkerDeploymentVersion { build_id: build_id(), ..Default::default() });
        let report = WorkerHeartbeat { deployment_version, ..WorkerHeartbeat::default() };
        assert_eq!(unversioned(&report), Ok(()));
        assert_eq!(unversioned(&StartWorkflowExecutionRequest::default()), Ok(()));
    }

    #[test]
    fn a_deployment_is_refused_wherever_it_is_named() {
        for (name, mode) in
            [("globex", PLAIN), ("globex", BY_VERSION), ("", BY_VERSION), ("", UNKNOWN)]
        {
            assert!(options(name, mode).is_versioned(), "{name:?} {mode}");
        }
        let parts: [&dyn Versioned; 7] = [
            &WorkerVersionCapabilities {
                deployment_series_name: "globex".to_owned(),
                ..WorkerVersionCapabilities::default()
            },
            &WorkerVersionCapabilities { use_versioning: true, ..Default::default() },
            &WorkerVersionStamp { use_versioning: true, ..WorkerVersionStamp::default() },
            &WorkerDeploymentVersion { deployment_name: "globex".to_owned(), ..Default::default() },
            &Some(Deployment::default()),
            &Some(TaskQueueVersionSelection::default()),
            &Some(VersioningOverride::default()),
        ];
        for (n, part) in parts.into_iter().enumerate() {
            assert!(part.is_versioned(), "part {n}");
        }
    }

    #[test]
    fn one_field_of_many_is_enough() {
        let answer = RespondWorkflowTaskCompletedRequest {
            worker_version_stamp: Some(WorkerVersionStamp::default()),
            deployment: Some(Deployment::default()),
            deployment_options: options("", PLAIN),
            ..RespondWorkflowTaskCompletedRequest::default()
        };
        assert_eq!(unversioned(&answer), Err(Foreign));
        let start = StartWorkflowExecutionRequest {
            eager_worker_deployment_options: options("globex", BY_VERSION),
            ..StartWorkflowExecutionRequest::default()
        };
        assert_eq!(unversioned(&start), Err(Foreign));
    }

    #[test]
    fn a_reset_pins_nothing() {
        let update = |versioning_override| {
            let options = WorkflowExecutionOptions { versioning_override, ..Default::default() };
            Some(Variant::UpdateWorkflowOptions(UpdateWorkflowOptions {
                workflow_execution_options: Some(options),
                ..UpdateWorkflowOptions::default()
            }))
        };
        let signal = || Some(Variant::SignalWorkflow(SignalWorkflow::default()));
        let judged = |second| {
            let operations = [signal(), second].map(|variant| PostResetOperation { variant });
            unversioned(&operations.to_vec())
        };
        assert_eq!(judged(signal()), Ok(()));
        assert_eq!(judged(update(None)), Ok(()));
        assert_eq!(judged(update(Some(VersioningOverride::default()))), Err(Foreign));
        assert_eq!(judged(None), Err(Foreign));
    }
}
