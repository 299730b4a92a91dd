//! Every call that an organization may make, and what is looked at in it.

use prost::Message;
use temporal_client::callback_based::{GrpcRequest, GrpcSuccessResponse};
use temporal_client::tonic::Status;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, DeleteWorkflowExecutionRequest, DescribeNamespaceRequest,
    DescribeTaskQueueRequest, DescribeWorkflowExecutionRequest, GetSystemInfoRequest,
    GetWorkflowExecutionHistoryRequest, GetWorkflowExecutionHistoryReverseRequest,
    ListWorkflowExecutionsRequest, PollActivityTaskQueueRequest,
    PollWorkflowExecutionUpdateRequest, PollWorkflowTaskQueueRequest, QueryWorkflowRequest,
    RecordActivityTaskHeartbeatByIdRequest, RecordActivityTaskHeartbeatRequest,
    RecordWorkerHeartbeatRequest, RequestCancelWorkflowExecutionRequest,
    ResetStickyTaskQueueRequest, ResetWorkflowExecutionRequest,
    RespondActivityTaskCanceledByIdRequest, RespondActivityTaskCanceledRequest,
    RespondActivityTaskCompletedByIdRequest, RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedByIdRequest, RespondActivityTaskFailedRequest,
    RespondQueryTaskCompletedRequest, RespondWorkflowTaskCompletedRequest,
    RespondWorkflowTaskFailedRequest, ShutdownWorkerRequest,
    SignalWithStartWorkflowExecutionRequest, SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest, TerminateWorkflowExecutionRequest,
    UpdateWorkflowExecutionRequest,
};

use super::call::{foreign, noted, upstream_request, written};
use super::gate::Gate;
use super::names::{Foreign, verdict};
use super::versions::unversioned;
use super::{attributes, commands, workers};

const SERVICE: &str = "temporal.api.workflowservice.v1.WorkflowService";

/// Calls that bring new work. A suspended organization is refused them.
const STARTS: [&str; 3] =
    ["ResetWorkflowExecution", "SignalWithStartWorkflowExecution", "StartWorkflowExecution"];

/// Expands to one arm per call: read, judge, send, let the answer be noted, write.
macro_rules! calls {
    ($gate:ident, $call:ident; $($method:ident($request:ident) {
        $judge:expr $(, $note:expr)?
    })*) => {
        match $call.rpc.as_str() {
            $(rpc if rpc == stringify!($request).trim_end_matches("Request") => {
                let mut message = $request::decode($call.proto.clone()).map_err(|_| foreign())?;
                $gate.names.namespace(&message.namespace).map_err(|Foreign| foreign())?;
                let judge: fn(&Gate, &mut $request) -> Result<(), Foreign> = $judge;
                judge($gate, &mut message).map_err(|Foreign| foreign())?;
                let request = upstream_request(message, &$call);
                let answer = $gate.upstream.workflow_service().$method(request).await?;
                $(let answer = noted($gate, answer, $note);)?
                written(answer)
            })*
            _ => Err(Status::permission_denied(
                "this call is not open to an organization; use the calls of cupel-queues",
            )),
        }
    };
}

/// Lets a call through, or refuses it.
pub(super) async fn pass(gate: &Gate, call: GrpcRequest) -> Result<GrpcSuccessResponse, Status> {
    if call.service != SERVICE {
        return Err(Status::permission_denied("this service is not open to an organization"));
    }
    if STARTS.contains(&call.rpc.as_str()) {
        gate.admit().await.map_err(|error| Status::permission_denied(error.to_string()))?;
    }
    if call.rpc == "GetSystemInfo" {
        let request = upstream_request(GetSystemInfoRequest::default(), &call);
        return written(gate.upstream.workflow_service().get_system_info(request).await?);
    }
    calls! { gate, call;
        // Runs, by id.
        start_workflow_execution(StartWorkflowExecutionRequest) {
            |gate, message| {
                gate.names.queue(&message.task_queue)?;
                gate.names.run_id(&message.workflow_id)?;
                attributes::at_start(&message.search_attributes)?;
                unversioned(message)?;
                verdict(message.completion_callbacks.is_empty())
            }
        }
        signal_with_start_workflow_execution(SignalWithStartWorkflowExecutionRequest) {
            |gate, message| {
                gate.names.queue(&message.task_queue)?;
                gate.names.run_id(&message.workflow_id)?;
                attributes::at_start(&message.search_attributes)?;
                unversioned(message)
            }
        }
        signal_workflow_execution(SignalWorkflowExecutionRequest) {
            |gate, message| gate.names.run(&message.workflow_execution)
        }
        request_cancel_workflow_execution(RequestCancelWorkflowExecutionRequest) {
            |gate, message| gate.names.run(&message.workflow_execution)
        }
        terminate_workflow_execution(TerminateWorkflowExecutionRequest) {
            |gate, message| gate.names.run(&message.workflow_execution)
        }
        delete_workflow_execution(DeleteWorkflowExecutionRequest) {
            |gate, message| gate.names.run(&message.workflow_execution)
        }
        reset_workflow_execution(ResetWorkflowExecutionRequest) {
            |gate, message| {
                gate.names.run(&message.workflow_execution)?;
                unversioned(message)
            }
        }
        describe_workflow_execution(DescribeWorkflowExecutionRequest) {
            |gate, message| gate.names.run(&message.execution)
        }
        query_workflow(QueryWorkflowRequest) {
            |gate, message| gate.names.run(&message.execution)
        }
        update_workflow_execution(UpdateWorkflowExecutionRequest) {
            |gate, message| {
                gate.names.run(&message.workflow_execution)?;
                let update = message.request.as_ref().ok_or(Foreign)?;
                verdict(update.completion_callbacks.is_empty())
            }
        }
        poll_workflow_execution_update(PollWorkflowExecutionUpdateRequest) {
            |gate, message| {
                let update = message.update_ref.as_ref().ok_or(Foreign)?;
                gate.names.run(&update.workflow_execution)
            }
        }
        get_workflow_execution_history(GetWorkflowExecutionHistoryRequest) {
            |gate, message| {
                verdict(gate.issued.knows(&message.next_page_token))?;
                gate.names.run(&message.execution)
            },
            |gate, answer| gate.issued.note(&answer.next_page_token)
        }
        get_workflow_execution_history_reverse(GetWorkflowExecutionHistoryReverseRequest) {
            |gate, message| {
                verdict(gate.issued.knows(&message.next_page_token))?;
                gate.names.run(&message.execution)
            },
            |gate, answer| gate.issued.note(&answer.next_page_token)
        }
        // Runs, by query. Rows are looked at again on the way back.
        list_workflow_executions(ListWorkflowExecutionsRequest) {
            |gate, message| gate.names.query(&message.query),
            |gate, answer| answer.executions.retain(|row| gate.names.run(&row.execution).is_ok())
        }
        count_workflow_executions(CountWorkflowExecutionsRequest) {
            |gate, message| gate.names.query(&message.query)
        }
        // Workers.
        describe_namespace(DescribeNamespaceRequest) {
            |_, message| verdict(message.id.is_empty()),
            |_, answer| {
                // Commands come over a queue that is no organization's, so its workers wait for none.
                let namespace = answer.namespace_info.as_mut();
                if let Some(can) = namespace.and_then(|namespace| namespace.capabilities.as_mut()) {
                    can.worker_commands = false;
                }
            }
        }
        describe_task_queue(DescribeTaskQueueRequest) {
            |gate, message| {
                gate.names.queue(&message.task_queue)?;
                unversioned(message)
            }
        }
        poll_workflow_task_queue(PollWorkflowTaskQueueRequest) {
            |gate, message| {
                gate.names.queue(&message.task_queue)?;
                unversioned(message)?;
                gate.names.bind(&mut message.worker_instance_key)?;
                verdict(message.worker_control_task_queue.is_empty())
            },
            |gate, answer| gate.issued.note(&answer.next_page_token)
        }
        poll_activity_task_queue(PollActivityTaskQueueRequest) {
            |gate, message| {
                gate.names.queue(&message.task_queue)?;
                unversioned(message)?;
                gate.names.bind(&mut message.worker_instance_key)?;
                verdict(message.worker_control_task_queue.is_empty())
            }
        }
        respond_workflow_task_completed(RespondWorkflowTaskCompletedRequest) {
            |gate, message| {
                gate.names.task(&message.task_token)?;
                if let Some(sticky) = &message.sticky_attributes {
                    gate.names.queue(&sticky.worker_task_queue)?;
                }
                unversioned(message)?;
                gate.names.bind(&mut message.worker_instance_key)?;
                commands::restrain(&gate.names, &mut message.commands);
                verdict(message.worker_control_task_queue.is_empty())
            },
            |gate, answer| {
                if let Some(task) = &answer.workflow_task {
                    gate.issued.note(&task.next_page_token);
                }
            }
        }
        respond_workflow_task_failed(RespondWorkflowTaskFailedRequest) {
            |gate, message| {
                gate.names.task(&message.task_token)?;
                unversioned(message)
            }
        }
        respond_query_task_completed(RespondQueryTaskCompletedRequest) {
            |gate, message| gate.names.query_task(&message.task_token)
        }
        respond_activity_task_completed(RespondActivityTaskCompletedRequest) {
            |gate, message| {
                gate.names.task(&message.task_token)?;
                unversioned(message)
            }
        }
        respond_activity_task_failed(RespondActivityTaskFailedRequest) {
            |gate, message| {
                gate.names.task(&message.task_token)?;
                unversioned(message)
            }
        }
        respond_activity_task_canceled(RespondActivityTaskCanceledRequest) {
            |gate, message| {
                gate.names.task(&message.task_token)?;
                unversioned(message)
            }
        }
        record_activity_task_heartbeat(RecordActivityTaskHeartbeatRequest) {
            |gate, message| gate.names.task(&message.task_token)
        }
        respond_activity_task_completed_by_id(RespondActivityTaskCompletedByIdRequest) {
            |gate, message| gate.names.run_id(&message.workflow_id)
        }
        respond_activity_task_failed_by_id(RespondActivityTaskFailedByIdRequest) {
            |gate, message| gate.names.run_id(&message.workflow_id)
        }
        respond_activity_task_canceled_by_id(RespondActivityTaskCanceledByIdRequest) {
            |gate, message| gate.names.run_id(&message.workflow_id)
        }
        record_activity_task_heartbeat_by_id(RecordActivityTaskHeartbeatByIdRequest) {
            |gate, message| gate.names.run_id(&message.workflow_id)
        }
        reset_sticky_task_queue(ResetStickyTaskQueueRequest) {
            |gate, message| gate.names.run(&message.execution)
        }
        record_worker_heartbeat(RecordWorkerHeartbeatRequest) {
            |gate, message| workers::restrain(&gate.names, &mut message.worker_heartbeat)
        }
        shutdown_worker(ShutdownWorkerRequest) {
            |gate, message| {
                gate.names.queue_text_or_none(&message.sticky_task_queue)?;
                gate.names.queue_text_or_none(&message.task_queue)?;
                gate.names.bind(&mut message.worker_instance_key)?;
                workers::restrain(&gate.names, message.worker_heartbeat.as_mut_slice())
            }
        }
    }
}
