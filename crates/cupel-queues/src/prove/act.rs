//! Answers, read as what an attacker or an owner saw.
//!
//! The evidence of an act is a verb phrase, so that it reads after its subject: "terminates the run".

use cupel_tenant::{Control, Observed};
use temporal_client::tonic::{Code, Status};

/// What an attacker saw: `Ok` reached the victim, a refusal or "no such thing" did not, and any other
/// answer says nothing.
pub(super) fn observed(answer: Result<String, Status>) -> Observed {
    match answer {
        Ok(evidence) => Observed::reached(evidence),
        Err(status) => match status.code() {
            Code::PermissionDenied => Observed::refused("refused: permission denied"),
            Code::NotFound => Observed::refused("refused: no such run"),
            code => Observed::unclear(format!("answered {code:?}")),
        },
    }
}

/// What the owner could do.
pub(super) fn control(answer: Result<String, Status>) -> Control {
    match answer {
        Ok(evidence) => Control::held(format!("owner {evidence}")),
        Err(status) => Control::failed(format!("owner was answered {:?}", status.code())),
    }
}

/// What the service could do, where no organization may.
pub(super) fn service_control(answer: Result<String, Status>) -> Control {
    match answer {
        Ok(evidence) => Control::held(format!("the service {evidence}")),
        Err(status) => Control::failed(format!("the service was answered {:?}", status.code())),
    }
}
