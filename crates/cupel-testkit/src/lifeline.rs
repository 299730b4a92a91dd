use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use tokio::time;

use crate::Error;

/// A shell that waits for the other end of its standard input, which we hold, and then clears up.
///
/// Nothing has to be run for that in our process, so it works however that ends: the kernel
/// closes the pipe.
#[derive(Debug)]
pub(crate) struct Lifeline(Option<Child>);

impl Lifeline {
    /// Starts a command that reads its standard input until the end, and then clears up.
    pub(crate) fn tie(command: &mut Command) -> Result<Self, Error> {
        let shell = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Its own group: an interrupt typed at the terminal is for the tests, and the
            // servers follow when those have ended.
            .process_group(0)
            .spawn()
            .map_err(Error::machine("start `sh` to supervise a server"))?;
        Ok(Self(Some(shell)))
    }

    /// Lets go, and waits until everything is cleared up.
    pub(crate) async fn cut(mut self) -> Result<(), Error> {
        let Some(mut shell) = self.0.take() else { return Ok(()) };
        drop(shell.stdin.take());
        loop {
            match shell.try_wait().map_err(Error::machine("wait for a server to end"))? {
                Some(_) => return Ok(()),
                None => time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        if let Some(mut shell) = self.0.take() {
            drop(shell.stdin.take());
            // Only so that no finished process stays on the list; if no thread can be had, it
            // stays there until ours ends.
            let _ = thread::Builder::new().spawn(move || shell.wait());
        }
    }
}
