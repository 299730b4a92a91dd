//! What workflow code asks the server to do. No I/O.

use temporalio_common::protos::temporal::api::command::v1::command::Attributes;
use temporalio_common::protos::temporal::api::command::v1::{
    Command, FailWorkflowExecutionCommandAttributes,
};
use temporalio_common::protos::temporal::api::enums::v1::CommandType;
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_common::protos::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};

use super::names::{Foreign, Names, Verdict};

/// Puts a failure in the place of `commands` if one of them names anything foreign.
///
/// Refusing the completion would leave the run waiting and its step repeated for ever, so the run is
/// failed instead, with a message for whoever wrote the workflow.
pub(super) fn restrain(names: &Names, commands: &mut Vec<Command>) {
    if commands.iter().any(|command| judge(names, command).is_err()) {
        tracing::warn!(org = %names.org_id(), "a workflow reached for another organization and was failed");
        *commands = vec![failure()];
    }
}

#[expect(deprecated, reason = "a field that the server still reads must be looked at")]
fn judge(names: &Names, command: &Command) -> Verdict {
    // Kinds are listed one by one, so that a kind added by a newer server is refused until judged.
    match command.attributes.as_ref().ok_or(Foreign)? {
        Attributes::ScheduleActivityTaskCommandAttributes(activity) => {
            names.queue_or_none(&activity.task_queue)
        }
        Attributes::StartChildWorkflowExecutionCommandAttributes(child) => {
            names.namespace_or_none(&child.namespace)?;
            names.queue_or_none(&child.task_queue)?;
            names.run_id(&child.workflow_id)
        }
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(next) => {
            names.queue_or_none(&next.task_queue)
        }
        Attributes::SignalExternalWorkflowExecutionCommandAttributes(signal) => {
            names.namespace_or_none(&signal.namespace)?;
            names.run(&signal.execution)
        }
        Attributes::RequestCancelExternalWorkflowExecutionCommandAttributes(cancel) => {
            names.namespace_or_none(&cancel.namespace)?;
            names.run_id(&cancel.workflow_id)
        }
        Attributes::StartTimerCommandAttributes(_)
        | Attributes::CompleteWorkflowExecutionCommandAttributes(_)
        | Attributes::FailWorkflowExecutionCommandAttributes(_)
        | Attributes::RequestCancelActivityTaskCommandAttributes(_)
        | Attributes::CancelTimerCommandAttributes(_)
        | Attributes::CancelWorkflowExecutionCommandAttributes(_)
        | Attributes::RecordMarkerCommandAttributes(_)
        | Attributes::UpsertWorkflowSearchAttributesCommandAttributes(_)
        | Attributes::ProtocolMessageCommandAttributes(_)
        | Attributes::ModifyWorkflowPropertiesCommandAttributes(_)
        | Attributes::RequestCancelNexusOperationCommandAttributes(_) => Ok(()),
        // A Nexus endpoint is the cluster's, not the organization's.
        Attributes::ScheduleNexusOperationCommandAttributes(_) => Err(Foreign),
    }
}

fn failure() -> Command {
    let failure = Failure {
        message:
            "the workflow reached for a queue or a run that is not its organization's; use the \
                  organization's own queue and run names"
                .to_owned(),
        source: "cupel".to_owned(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            r#type: "ForeignCommand".to_owned(),
            non_retryable: true,
            ..ApplicationFailureInfo::default()
        })),
        ..Failure::default()
    };
    Command {
        command_type: CommandType::FailWorkflowExecution.into(),
        attributes: Some(Attributes::FailWorkflowExecutionCommandAttributes(
            FailWorkflowExecutionCommandAttributes { failure: Some(failure) },
        )),
        ..Command::default()
    }
}
