//! What workflow code asks the server to do. No I/O.

use temporalio_common::protos::temporal::api::command::v1::command::Attributes;
use temporalio_common::protos::temporal::api::command::v1::{
    Command, FailWorkflowExecutionCommandAttributes,
};
use temporalio_common::protos::temporal::api::enums::v1::CommandType;
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_common::protos::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};

use super::attributes;
use super::names::{Foreign, Names, Verdict};
use super::versions::unversioned;

/// Puts a failure in the place of `commands` if one of them names anything foreign.
///
/// Refusing the completion would leave the run waiting and its step repeated for ever, so the run is
/// failed instead, with a message for whoever wrote the workflow.
pub(super) fn restrain(names: &Names, commands: &mut Vec<Command>) {
    if commands.iter_mut().any(|command| judge(names, command).is_err()) {
        tracing::warn!(org = %names.org_id(), "a workflow reached for another organization and was failed");
        *commands = vec![failure()];
    }
}

#[expect(deprecated, reason = "a field that the server still reads must be looked at")]
fn judge(names: &Names, command: &mut Command) -> Verdict {
    // Kinds are listed one by one, so that a kind added by a newer server is refused until judged.
    match command.attributes.as_mut().ok_or(Foreign)? {
        Attributes::ScheduleActivityTaskCommandAttributes(activity) => {
            names.queue_or_none(&activity.task_queue)
        }
        Attributes::StartChildWorkflowExecutionCommandAttributes(child) => {
            names.namespace_or_none(&child.namespace)?;
            names.queue_or_none(&child.task_queue)?;
            attributes::at_start(&child.search_attributes)?;
            unversioned(child)?;
            names.run_id(&child.workflow_id)
        }
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(next) => {
            attributes::keep_free(&mut next.search_attributes);
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
        Attributes::UpsertWorkflowSearchAttributesCommandAttributes(upsert) => {
            attributes::by_code(&upsert.search_attributes)
        }
        Attributes::StartTimerCommandAttributes(_)
        | Attributes::CompleteWorkflowExecutionCommandAttributes(_)
        | Attributes::FailWorkflowExecutionCommandAttributes(_)
        | Attributes::RequestCancelActivityTaskCommandAttributes(_)
        | Attributes::CancelTimerCommandAttributes(_)
        | Attributes::CancelWorkflowExecutionCommandAttributes(_)
        | Attributes::RecordMarkerCommandAttributes(_)
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
            "the workflow reached for a queue, a run, a version or a search attribute that is not its \
                  organization's; use the organization's own"
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

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::command::v1::{
        ContinueAsNewWorkflowExecutionCommandAttributes,
        StartChildWorkflowExecutionCommandAttributes, StartTimerCommandAttributes,
        UpsertWorkflowSearchAttributesCommandAttributes,
    };
    use temporalio_common::protos::temporal::api::common::v1::{Payload, SearchAttributes};
    use temporalio_common::protos::temporal::api::workflow::v1::VersioningOverride;

    use super::*;

    /// What becomes of a command that comes after a harmless one.
    fn restrained(attributes: Attributes) -> Vec<Command> {
        let names = Names::of(&"acme".parse().unwrap(), "default");
        let timer = Attributes::StartTimerCommandAttributes(StartTimerCommandAttributes::default());
        let command = |attributes| Command { attributes: Some(attributes), ..Command::default() };
        let mut commands = vec![command(timer), command(attributes)];
        restrain(&names, &mut commands);
        commands
    }

    #[track_caller]
    fn passes(attributes: Attributes) {
        let last = restrained(attributes.clone()).pop().and_then(|command| command.attributes);
        assert_eq!(last, Some(attributes));
    }

    #[track_caller]
    fn fails_the_run(attributes: Attributes) {
        assert_eq!(restrained(attributes), vec![failure()]);
    }

    fn naming(name: &str) -> Option<SearchAttributes> {
        let indexed_fields = [(name.to_owned(), Payload::default())].into_iter().collect();
        Some(SearchAttributes { indexed_fields })
    }

    fn upsert(name: &str) -> Attributes {
        Attributes::UpsertWorkflowSearchAttributesCommandAttributes(
            UpsertWorkflowSearchAttributesCommandAttributes { search_attributes: naming(name) },
        )
    }

    fn child(of: StartChildWorkflowExecutionCommandAttributes) -> Attributes {
        Attributes::StartChildWorkflowExecutionCommandAttributes(
            StartChildWorkflowExecutionCommandAttributes {
                workflow_id: "acme/child".to_owned(),
                ..of
            },
        )
    }

    #[test]
    fn code_sets_its_own_attributes_and_notes_its_patches() {
        passes(upsert("OrgId"));
        passes(upsert("TemporalChangeVersion"));
        fails_the_run(upsert("TemporalNamespaceDivision"));
        fails_the_run(upsert("BuildIds"));
    }

    #[test]
    fn a_child_has_no_reserved_attribute_and_no_version() {
        let with = |search_attributes, versioning_override| {
            child(StartChildWorkflowExecutionCommandAttributes {
                search_attributes,
                versioning_override,
                ..StartChildWorkflowExecutionCommandAttributes::default()
            })
        };
        passes(with(naming("OrgId"), None));
        fails_the_run(with(naming("TemporalNamespaceDivision"), None));
        fails_the_run(with(None, Some(VersioningOverride::default())));
    }

    #[test]
    fn a_run_that_continues_leaves_reserved_attributes_behind() {
        let next = |search_attributes| {
            Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(
                ContinueAsNewWorkflowExecutionCommandAttributes {
                    search_attributes,
                    ..ContinueAsNewWorkflowExecutionCommandAttributes::default()
                },
            )
        };
        passes(next(naming("OrgId")));
        let continued = restrained(next(naming("TemporalScheduledById"))).pop().unwrap();
        assert_eq!(continued.attributes, Some(next(Some(SearchAttributes::default()))));
    }
}
