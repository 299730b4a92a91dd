use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Args;
use crate::exit;

pub(crate) fn run(shell: Shell) -> ExitCode {
    generate(shell, &mut Args::command(), "cupel", &mut std::io::stdout());
    ExitCode::from(exit::HELD)
}
