//! What the answers of AWS KMS mean to us.

use std::error::Error as StdError;
use std::sync::Arc;

use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::types::KeyState as AwsState;

use crate::Error;
use crate::provider::KeyState;

/// The code of an error. Throttling and denial are in no error enum of the SDK, so the code is what
/// tells them apart.
pub(super) fn code<E, R>(error: &SdkError<E, R>) -> Option<&str>
where
    E: ProvideErrorMetadata,
{
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Sorts an error into ours. Codes are those of the AWS KMS API reference: "Common Errors", and the
/// errors of `GenerateDataKey` and `Decrypt`.
pub(super) fn failure<E, R>(error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = code(&error).map(str::to_owned);
    let answered = error.as_service_error().is_some();
    let source = Arc::new(error);
    match code.as_deref() {
        Some("InvalidCiphertextException" | "IncorrectKeyException") => Error::DoesNotOpen,
        Some("DisabledException") => Error::Disabled,
        Some("NotFoundException") => Error::NoKey,
        Some("AccessDeniedException" | "KMSInvalidStateException" | "NotAuthorized") => {
            Error::Denied { source }
        }
        Some(
            "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "OptInRequired"
            | "RequestExpired"
            | "UnrecognizedClientException",
        ) => Error::Credentials { source },
        Some("LimitExceededException" | "ThrottlingException") => Error::Throttled { source },
        Some(
            "DependencyTimeoutException"
            | "KMSInternalException"
            | "KeyUnavailableException"
            | "ServiceUnavailable",
        ) => Error::Unreachable { source },
        _ if answered => Error::Service { source },
        _ => Error::Unreachable { source },
    }
}

/// An answer without a part that the API promises.
pub(super) fn missing() -> Error {
    Error::Service { source: Arc::new(Incomplete) }
}

#[derive(Debug, thiserror::Error)]
#[error("the answer lacks a part that the API promises")]
struct Incomplete;

pub(super) fn key_state(state: Option<&AwsState>) -> KeyState {
    match state {
        Some(AwsState::Enabled) => KeyState::Enabled,
        Some(AwsState::Disabled) => KeyState::Disabled,
        Some(AwsState::PendingDeletion | AwsState::PendingReplicaDeletion) => {
            KeyState::PendingDeletion
        }
        _ => KeyState::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kms::error::ErrorMetadata;
    use aws_sdk_kms::operation::decrypt::DecryptError;

    use super::*;

    fn sorted(code: &str) -> Error {
        let error = DecryptError::generic(ErrorMetadata::builder().code(code).build());
        failure(SdkError::service_error(error, ()))
    }

    #[test]
    fn denied_throttled_altered_and_unreachable_are_different() {
        assert!(matches!(sorted("AccessDeniedException"), Error::Denied { .. }));
        assert!(matches!(sorted("KMSInvalidStateException"), Error::Denied { .. }));
        assert!(matches!(sorted("DisabledException"), Error::Disabled));
        assert!(matches!(sorted("ThrottlingException"), Error::Throttled { .. }));
        assert!(matches!(sorted("InvalidCiphertextException"), Error::DoesNotOpen));
        assert!(matches!(sorted("IncorrectKeyException"), Error::DoesNotOpen));
        assert!(matches!(sorted("KMSInternalException"), Error::Unreachable { .. }));
        assert!(matches!(sorted("UnrecognizedClientException"), Error::Credentials { .. }));
        assert!(matches!(sorted("ValidationException"), Error::Service { .. }));
        let timeout: SdkError<DecryptError, ()> = SdkError::timeout_error("no answer");
        assert!(matches!(failure(timeout), Error::Unreachable { .. }));
    }
}
