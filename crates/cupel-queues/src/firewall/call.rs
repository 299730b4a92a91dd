//! One call: what goes to the server, and what comes back.

use prost::Message;
use temporal_client::callback_based::{GrpcRequest, GrpcSuccessResponse};
use temporal_client::tonic::metadata::MetadataValue;
use temporal_client::tonic::{Request, Response, Status};

use super::gate::Gate;

/// Wraps `message` for the server. Of the caller's headers only the deadline goes along: who speaks
/// is the process, and its credentials are upstream's.
pub(super) fn upstream_request<M>(message: M, call: &GrpcRequest) -> Request<M> {
    let mut request = Request::new(message);
    let deadline = call.headers.get("grpc-timeout").and_then(|value| value.to_str().ok());
    if let Some(deadline) = deadline.and_then(|text| MetadataValue::try_from(text).ok()) {
        request.metadata_mut().insert("grpc-timeout", deadline);
    }
    request
}

/// Lets `note` look at an answer, or change it, before the organization sees it.
pub(super) fn noted<M>(
    gate: &Gate,
    mut answer: Response<M>,
    note: impl FnOnce(&Gate, &mut M),
) -> Response<M> {
    note(gate, answer.get_mut());
    answer
}

pub(super) fn written<M: Message>(answer: Response<M>) -> Result<GrpcSuccessResponse, Status> {
    Ok(GrpcSuccessResponse {
        headers: Default::default(),
        proto: answer.into_inner().encode_to_vec(),
    })
}

pub(super) fn foreign() -> Status {
    Status::permission_denied("the call names something that is not this organization's")
}
