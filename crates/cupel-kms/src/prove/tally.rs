//! What several tries of one attack come to.

use cupel_tenant::Observed;

use crate::Error;

/// Counts tries: one that reaches is a leak, whatever the others did.
#[derive(Default)]
pub(super) struct Tally {
    tries: usize,
    reached: Vec<&'static str>,
    unclear: Option<Error>,
}

impl Tally {
    /// Notes how the try called `name` ended.
    pub(super) fn note<T>(&mut self, name: &'static str, answer: Result<T, Error>) {
        self.tries += 1;
        match answer {
            Ok(_) => self.reached.push(name),
            Err(error) if is_refusal(&error) => {}
            Err(error) => self.unclear = Some(error),
        }
    }

    /// Concludes the tries.
    pub(super) fn observed(self) -> Observed {
        let Self { tries, reached, unclear } = self;
        match (reached.as_slice(), unclear) {
            ([], None) => Observed::refused(format!("{tries} of {tries} refused")),
            ([], Some(error)) => Observed::unclear(format!("not tried: {error}")),
            (names, _) => Observed::reached(format!("accepted: {}", names.join(", "))),
        }
    }
}

/// Returns whether an error is a refusal, and not a failure that leaves the question open.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.takes_the_key_away() || matches!(error, Error::DoesNotOpen | Error::Malformed { .. })
}
