//! A spinner on a terminal, plain lines elsewhere; on standard error, so that reports stay clean.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::time::Duration;

use cupel_isolation::Observer;
use indicatif::{ProgressBar, ProgressStyle};

/// Progress for as long as it lives.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts telling.
    pub(crate) fn start() -> Self {
        if !stderr().is_terminal() {
            return Self { bar: None };
        }
        let style = ProgressStyle::with_template("{spinner} {elapsed:>4}  {msg}");
        let bar = ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar: Some(bar) }
    }

    /// Returns what the facade tells its steps to.
    pub(crate) fn observer(&self) -> Observer {
        let say = self.lines();
        Arc::new(move |step| say(format!("{}: {} {}", step.layer, step.action, step.org)))
    }

    /// Returns what a line is told to.
    pub(crate) fn lines(&self) -> impl Fn(String) + Send + Sync + use<> {
        let bar = self.bar.clone();
        move |line| match &bar {
            Some(bar) => bar.set_message(line),
            None => anstream::eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
