//! What the exit code says.

use std::error::Error;
use std::process::ExitCode;

use cupel_isolation::report;

/// Isolation held, or the work is done.
pub(crate) const HELD: u8 = 0;
/// A leak, a finding, or a control that failed.
pub(crate) const LEAKED: u8 = 1;
/// The command was not understood or interrupted, or a server did not answer or refused.
pub(crate) const UNUSABLE: u8 = 2;

/// Prints an error with its causes, and returns the code for it.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> ExitCode {
    let said = report::chain(error);
    anstream::eprintln!("error: {}", said.join("\n  because: "));
    ExitCode::from(UNUSABLE)
}
