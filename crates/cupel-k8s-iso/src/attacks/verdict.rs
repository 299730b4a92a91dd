use cupel_tenant::{Control, Observed};

/// What an answer to an attacker shows; `reached` says what an acceptance gives it.
///
/// Only a refusal that the API server states (403) is one. Anything else shows nothing.
pub(super) fn observed<T>(answer: &kube::Result<T>, reached: &str) -> Observed {
    match answer {
        Ok(_) => Observed::reached(reached),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Observed::refused(refusal(&status.message))
        }
        Err(error) => Observed::unclear(short(error)),
    }
}

/// What an answer to the rightful owner shows; `held` says what it could do.
pub(super) fn control<T>(answer: &kube::Result<T>, held: &str) -> Control {
    match answer {
        Ok(_) => Control::held(held),
        Err(error) => Control::failed(format!("not so: {}", short(error))),
    }
}

fn short(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => refusal(&status.message),
        kube::Error::Api(status) => format!("the API server answers {}", status.code),
        _ => "no answer".to_owned(),
    }
}

/// Says who refused. The server's text is not repeated: it names namespaces and accounts.
fn refusal(message: &str) -> String {
    let policy = message
        .split_once("ValidatingAdmissionPolicy '")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map(|(policy, _)| policy);
    match policy {
        Some(policy) => format!("refused by guard {policy}"),
        None if message.contains("exceeded quota") => "refused by quota".to_owned(),
        None if message.contains("PodSecurity") => "refused by pod security".to_owned(),
        None if message.contains(" cannot ") => "refused: no right".to_owned(),
        None => "refused: forbidden".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, message: &str) -> kube::Result<()> {
        let status = Status::failure(message, "Forbidden").with_code(code);
        Err(kube::Error::Api(status.boxed()))
    }

    #[test]
    fn only_a_stated_refusal_is_one() {
        assert_eq!(
            observed(&answer(403, "x is forbidden: User y cannot get z"), ""),
            Observed::refused("refused: no right")
        );
        assert_eq!(
            observed(&answer(403, "ValidatingAdmissionPolicy 'cupel-x' with binding"), ""),
            Observed::refused("refused by guard cupel-x")
        );
        for code in [401, 404, 409, 422, 500] {
            assert!(matches!(observed(&answer(code, ""), ""), Observed::Unclear(_)), "{code}");
        }
        assert_eq!(observed(&Ok(()), "reads it"), Observed::reached("reads it"));
    }

    #[test]
    fn a_refused_owner_is_a_failed_control() {
        assert!(!control(&answer(403, ""), "").is_held());
        assert!(control(&Ok(()), "").is_held());
    }
}
